"""This kernel: netlink, nft, iptables, /proc, sysctl, namespaces, the clock."""
