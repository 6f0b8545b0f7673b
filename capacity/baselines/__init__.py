"""Baselines from measurements: proposed, approved, compared with what comes after."""
