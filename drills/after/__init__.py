"""What follows a drill: findings, what is done about them, reports, comparison with earlier drills."""
