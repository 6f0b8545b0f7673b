"""Scenarios of fire drills: their shape, the library that comes with the portal, and what each team makes of it."""
