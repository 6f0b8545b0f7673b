"""Whom support calls for an account: people, rotations, proofs, coverage, and who used what is held about them."""
