"""What conntrim knows, as pure functions over values: no I/O, no clock, no randomness."""
