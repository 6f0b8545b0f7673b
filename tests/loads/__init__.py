"""Benchmarks that the portal runs itself."""
