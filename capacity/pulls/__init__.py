"""Samples that the portal fetches by itself: from a Prometheus server."""
