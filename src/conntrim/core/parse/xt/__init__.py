"""iptables-save and ip6tables-save text to rule sets."""
