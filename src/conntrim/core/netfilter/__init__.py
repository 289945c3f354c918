"""What a rule set means for one packet or dialogue; the readable reference."""
