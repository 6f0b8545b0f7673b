"""Reaching people: whom to ask next, how long to wait, who answered and when."""
