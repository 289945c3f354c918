"""Plans that are proved, held to the kernel: tried, kept and taken back while every kind of dialogue runs."""
