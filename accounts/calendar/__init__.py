"""The calendar of an account: freezes, events, drills, reviews, windows, the provider's maintenance, and feeds of them."""
