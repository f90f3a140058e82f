"""What an environment is at this moment: its current generation."""

from __future__ import annotations

from dataclasses import replace

from envman.errors import Problem, ResolveError
from envman.generation.manifest import Manifest
from envman.launch.root import current_generation
from envman.store.generations import read_manifest


def current_manifest(root: str, environment: str) -> Manifest:
    """The manifest of the environment's current generation, under this environment's name.

    Raises ResolveError where it isn't built, StoreError for a damaged manifest.
    """
    generation = current_generation(root, environment)
    manifest = read_manifest(root, generation)
    if manifest is None:
        what = f"its generation {generation} is not whole"
        raise ResolveError(Problem(f"environment '{environment}'", what, f"Run: envman build {environment}"))
    return replace(manifest, environment=environment)
