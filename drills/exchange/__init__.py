"""Drills that come in from files of other programs and go out as such: services, pages and API over `drills.interchange`."""
