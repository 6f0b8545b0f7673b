"""Benchmarks that the portal runs itself: profiles, their approval, and runs of Locust in a process of its own."""
