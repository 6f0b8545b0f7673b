"""Benchmarks of an account: results of load generators that were taken in, with their file and the environment."""
