"""Fonts that are embedded into what is printed (`tools/vendor.py` renews them)."""
