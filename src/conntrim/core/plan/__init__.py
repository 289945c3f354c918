"""Census, policy, rule set and host facts to a plan with its obligations."""
