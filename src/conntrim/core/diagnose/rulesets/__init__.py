"""The checks of rule sets, one file each; a check's docstring is its manual page."""
