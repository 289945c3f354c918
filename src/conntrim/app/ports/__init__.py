"""What the verbs need of the outside world, one protocol a file; its adapter in host/ or store/ has the same name."""
