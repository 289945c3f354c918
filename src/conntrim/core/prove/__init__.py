"""The meaning of rule sets for all packets at once, as decision diagrams; obligations and witnesses."""
