"""Steady-state reviews: the walk through an account, what came of it, and how every account stands."""
