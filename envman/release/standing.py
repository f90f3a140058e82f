"""A generation of a release that the host has already: whether it is the same, and whose manifest it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from envman.errors import Problem, StoreError
from envman.release.known_layers import KnownLayers
from envman.release.layer_record import record_text
from envman.store import layout
from envman.store.folder import Store
from envman.store.locks import try_emptied
from envman.store.manifest import Manifest
from envman.store.switches import Action
from envman.store.verification import verify_generation
from envman.system.files import write_atomic

_SHOWN = 10


def another_name(environment: str, more: str = "") -> str:
    """What has the next release bring the same content under another name, which this host does not have."""
    command = f"envman build {environment} --rebuild{more}"
    return f"Where it was built: {command}, for another name; push that, and pull it."


@dataclass(frozen=True)
class Standing:
    """A generation below a root folder, as one of an environment's; the caller holds its builder's lock."""

    store: Store
    environment: str
    generation: str

    def check_same(self, released: Manifest) -> None:
        """Raises StoreError unless it has the files and the content of a release's generation of its name."""
        standing = self.store.manifest(self.generation)
        if standing is None or _content(standing) != _content(released):
            of_same_files = standing is not None and standing.files == released.files
            other = "another manifest" if of_same_files else "other files"
            what = f"{self._origin()}, with {other} than the release has"
            raise StoreError(Problem(self._where, what, another_name(self.environment)))

    def check_undamaged(self) -> None:
        """Read all of its files; raises StoreError where they are not those of its list."""
        found = verify_generation(self.store, self.environment, self.generation).differences
        if found:
            listed = "; ".join(f"{one.path} {one.kind}" for one in found[:_SHOWN])
            more = f", and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            what = (
                f"{self.generation} is here already, and its files are not those of its list: {listed}{more}"
            )
            raise StoreError(Problem(self._where, what, another_name(self.environment)))

    def why_kept(self, manifest: str, signatures: Mapping[str, str], known: KnownLayers, stamp: str) -> str:
        """Put a release's manifest, and its signatures for environments, in the place of those that stand.

        Returns why they are left as they are, empty where they were replaced. Whoever starts in the
        generation waits meanwhile, and looks at the manifest's name again. Raises OSError.
        """
        store, generation = self.store, self.generation
        others = [
            name for name in store.environments() if name not in signatures and self._is_signed_for(name)
        ]
        if others:
            return f"it is signed for {', '.join(others)}, too, of which the release says nothing good"
        path = Path(layout.manifest_path(store.root, generation))
        layers = store.folder(generation) / layout.LAYERS
        with known.let_go(generation), try_emptied(path) as is_empty:
            if not is_empty:
                return "a process lives in it, which has to end first, or its file system has no locks"
            if not layers.exists():  # built here: the stamp that counts on this host is in its own manifest
                write_atomic(layers, record_text(stamp, {}, {}))
            for name, signature in signatures.items():
                write_atomic(Path(layout.signature_path(store.root, name, generation)), signature)
            write_atomic(path, manifest)
        return ""

    @property
    def _where(self) -> str:
        return f"environment '{self.environment}'"

    def _is_signed_for(self, environment: str) -> bool:
        signature = Path(layout.signature_path(self.store.root, environment, self.generation))
        return self.store.current(environment) == self.generation and signature.exists()

    def _origin(self) -> str:
        """Where it came from, by the history of the host."""
        for switch in reversed(self.store.history(self.environment)):
            if switch.generation == self.generation and switch.action is not Action.ROLLBACK:
                verb = "built" if switch.action is Action.BUILD else "pulled"
                return f"this host has {verb} {self.generation} before"
        return f"this host has {self.generation} already"


def _content(manifest: Manifest) -> Manifest:
    """What a manifest says of a generation, without who made it when and for which spec."""
    interpreter = replace(manifest.interpreter, stamp="")
    return replace(
        manifest, environment="", created="", seconds=0.0, spec="", tools={}, interpreter=interpreter
    )
