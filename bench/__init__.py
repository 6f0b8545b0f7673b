"""Measurements: `make bench` (ARGS=name for one). Prints a table, writes bench/results.json."""
