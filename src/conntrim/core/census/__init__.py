"""A flow table to a census: who fills the table."""
