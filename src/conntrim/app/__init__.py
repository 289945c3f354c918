"""The verbs, and the protocols of the host and the store that they need."""
