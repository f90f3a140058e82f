"""A Kubernetes for tests: pods' part of its API on loopback, and podman in the place of its nodes."""
