"""Rule sets as the programs of many hosts load them, each drawn anew: what a plan must be true on."""
