"""Hosts made of network namespaces: the incident, and the kernel as oracle of the model."""
