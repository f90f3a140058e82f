"""What stands in the layers of an image: the environments, the launcher."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import envman
from envman.errors import BuildError, ImageError, Problem
from envman.image import launcher
from envman.image.entries import Entry, Kind, folder, portable_mode, written
from envman.image.labels import EnvironmentLabels, ImageLabels
from envman.oci.bases import Base
from envman.oci.layer import entries_below
from envman.spec.declared import spec_digest
from envman.spec.workspace import Workspace
from envman.store import layout
from envman.store.folder import Store
from envman.store.inventory import FileEntry, listing_text, parse_inventory
from envman.store.manifest import BaseInterpreter, Manifest, list_digest
from envman.system.beneath import place_in_root, read_in_root
from envman.system.digests import Digests
from envman.system.source_date import rfc3339

ACCOUNTS = "etc/passwd"
LARGEST_LIST = 2**20
"""Bytes of a base's list of accounts."""


@dataclass(frozen=True)
class Held:
    """An environment that an image holds: its generation's manifest, with the lock's text as it is now."""

    folder: Path
    manifest: Manifest
    lock_text: str


def held(workspace: Workspace, store: Store, generations: Mapping[str, str]) -> dict[str, Held]:
    """Environments of an image by name, each with its generation; raises BuildError."""
    found: dict[str, Held] = {}
    for name, generation in sorted(generations.items()):
        manifest = store.manifest(generation)
        if manifest is None:
            what = f"its generation {generation} went away while the image was built"
            raise BuildError(Problem(f"environment '{name}'", what, "Build the image again."))
        environment = workspace.project.environments[name]
        text = workspace.lock_path(environment).read_text(encoding="utf-8")
        said = replace(manifest, environment=name, spec=spec_digest(environment))
        found[name] = Held(store.folder(generation), said, text)
    return found


def environment_entries(
    found: Mapping[str, Held], place: str, table: str, epoch: int, digests: Digests
) -> list[Entry]:
    """The environments' layer; `place` is the root folder in the image.

    A generation may be older than a spec or a lock that says the same in other words, and environments may
    share one: what it says of itself is written anew, as a fresh build at the image's time would say it.
    There is no history.
    """
    inside = place.strip("/")
    folders = [inside, f"{inside}/{layout.GENERATIONS}", f"{inside}/{layout.STATE}"]
    entries = [folder(path) for path in folders]
    entries.append(written(layout.table_path(inside), table.encode()))
    packed: set[str] = set()
    for name, one in found.items():
        generation = one.manifest.generation
        link = layout.link_path(inside, name)
        entries.append(Entry(link, Kind.SYMBOLIC_LINK, 0o777, target=layout.link_target(generation)))
        if generation not in packed:
            packed.add(generation)
            entries += _generation_entries(one, layout.generation_path(inside, generation), epoch, digests)
    return entries


_WRITTEN_ANEW = frozenset({layout.MANIFEST, layout.FILES, layout.LOCK_COPY})


def _generation_entries(one: Held, place: str, epoch: int, digests: Digests) -> Iterator[Entry]:
    yield from entries_below(one.folder, place, digests, lambda path: path in _WRITTEN_ANEW)
    lock = written(f"{place}/{layout.LOCK_COPY}", one.lock_text.encode())
    text = (one.folder / layout.FILES).read_text(encoding="utf-8")
    listed = {path: _portable(listed) for path, listed in parse_inventory(text).items()}
    listed[layout.LOCK_COPY] = FileEntry(f"{stat.S_IFREG | lock.mode:o}", lock.digest)
    listing = listing_text(listed)
    manifest = replace(
        one.manifest,
        created=rfc3339(epoch),
        seconds=0.0,
        lock_text=f"sha256:{lock.digest}",
        files=list_digest(listing.encode()),
    )
    yield lock
    yield written(f"{place}/{layout.FILES}", listing.encode())
    yield written(f"{place}/{layout.MANIFEST}", manifest.to_json().encode())


def _portable(listed: FileEntry) -> FileEntry:
    """A listed file with the mode that it has in the image."""
    mode = int(listed.mode, 8)
    if stat.S_ISLNK(mode):
        return listed
    return replace(listed, mode=f"{stat.S_IFMT(mode) | portable_mode(stat.S_IMODE(mode)):o}")


def stage_launcher(folder: Path) -> None:
    """Copy what of envman starts workloads into a folder, where its bytecode can be put beside it."""
    package = Path(envman.__file__).parent
    for source in sorted(package.rglob("*.py")):
        path = source.relative_to(package).as_posix()
        if launcher.is_launched(path):
            target = folder / "envman" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def program_entries(staged: Path, python: BaseInterpreter, digests: Digests) -> list[Entry]:
    """The launcher's folder."""
    inside = launcher.FOLDER.strip("/")
    entries = [folder(inside), folder(f"{inside}/bin")]
    source = Path(envman.__file__).parent / launcher.SOURCE
    program = launcher.program_text(python.executable, source.read_text(encoding="utf-8"))
    entries.append(written(launcher.PROGRAM.strip("/"), program.encode(), 0o755))
    entries += entries_below(staged, launcher.PACKAGES.strip("/"), digests, lambda _path: False)
    return entries


def launcher_entries(staged: Path, base: Base, python: BaseInterpreter, digests: Digests) -> list[Entry]:
    """The launcher's layer, and the account that the image runs as where its base leaves it root."""
    entries = program_entries(staged, python, digests)
    if launcher.runs_as_root(base.config):
        home = base.environ().get("AIRFLOW_HOME", launcher.AIRFLOW_HOME).strip("/")
        entries.append(folder(home, user=launcher.USER, mode=0o775))
        place, text = _passwd(base)
        if changed := launcher.passwd_with_user(text):
            entries.append(written(place, changed.encode("utf-8", "surrogateescape")))
    return entries


def _passwd(base: Base) -> tuple[str, str]:
    """The base's list of accounts: where it is in the image, and its text. Raises ImageError."""
    root = str(base.root)
    try:
        content = read_in_root(root, ACCOUNTS, LARGEST_LIST)
        return place_in_root(root, ACCOUNTS), content.decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ACCOUNTS, "root:x:0:0:root:/root:/bin/sh\n"
    except OSError as error:
        what = f"its /{ACCOUNTS} can't be read: {error.strerror}"
        raise ImageError(Problem(base.name, what, "Choose a base whose accounts are in a file.")) from None


def facts(found: Mapping[str, Held], base_digest: str) -> ImageLabels:
    """What the image says of itself, for `inspect`, `diff` and for clusters that look at it."""
    environments = {
        name: EnvironmentLabels(
            generation=one.manifest.generation,
            lock=one.manifest.lock,
            python=one.manifest.interpreter.version,
            packages=one.manifest.packages,
        )
        for name, one in found.items()
    }
    return ImageLabels(base_digest, envman.__version__, environments)
