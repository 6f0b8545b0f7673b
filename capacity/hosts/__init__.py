"""Hosts that an account has proven to be its own: the only ones that the portal puts load on."""
