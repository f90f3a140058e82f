"""KubernetesExecutor: a real scheduler, and each of its pods run by podman."""
