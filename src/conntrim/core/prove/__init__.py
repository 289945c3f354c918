"""The same meaning for all packets at once, as decision diagrams; the only door to oxidd."""
