"""Fire drills. They stand on the run engine, approvals and contacts, and never import `scaledown`."""
