"""A change of the rules, read in several ways: done to a rule set, written for the kernel, taken back, guarded."""
