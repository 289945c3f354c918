"""Hosts made of network namespaces: the incident, and the kernel as judge of the model."""
