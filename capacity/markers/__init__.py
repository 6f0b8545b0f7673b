"""Markers: when the software of a site, or its configuration, was changed."""
