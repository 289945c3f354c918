"""The doctor's checks, one file each; a check's docstring is its manual page."""
