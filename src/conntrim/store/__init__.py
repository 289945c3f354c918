"""The journal of applied plans."""
