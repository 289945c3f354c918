"""conntrim: keeps the connection-tracking table of a Linux host from filling."""

__version__ = "0.1.0"
