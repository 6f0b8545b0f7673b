"""Steady State: the portal in which launch managers keep customers at the right size."""
