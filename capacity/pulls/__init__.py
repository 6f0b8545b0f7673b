"""Samples that the portal fetches by itself: from a Prometheus server, and from the provider's monitoring."""
