"""Drills in other programs' formats. Pure: nothing that a file names is ever run, imported or asked."""
