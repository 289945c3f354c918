"""Bytes or text to values; the opposite of emit."""
