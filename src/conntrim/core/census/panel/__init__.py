"""Births, deaths, lifetimes and silences of entries, from readings of the same part of a table (K94)."""
