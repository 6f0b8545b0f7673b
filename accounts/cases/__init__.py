"""Support cases: calls for help with everything attached that support needs."""
