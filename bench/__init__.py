"""What reading a table costs, ours and others', in one run: `make bench`."""
