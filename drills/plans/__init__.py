"""Plans of drills: drawn up, frozen, approved, started; and what became of them."""
