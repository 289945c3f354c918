"""The obligations of a plan: one file each, whose docstring is its manual page, and one line in the registry."""
