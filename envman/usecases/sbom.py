"""`envman sbom`: the bill of materials of a generation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from envman.errors import Problem, StoreError
from envman.lock.lockfile import parse_lock
from envman.packages.bill_of_materials import Contents, bill_of_materials
from envman.packages.installed import read_packages, site_packages
from envman.resolver.snapshot import resolve_environment
from envman.store import layout
from envman.store.folder import Store
from envman.store.manifest import Manifest
from envman.store.root import read_table
from envman.system.source_date import source_date


def environment_bill(store: Store, environment: str, environ: Mapping[str, str]) -> bytes:
    """The bill of an environment's current generation (CycloneDX 1.6, JSON).

    Its time is SOURCE_DATE_EPOCH, else when the generation was made. Raises ResolveError where the
    environment is not built, StoreError for a damaged generation, EnvmanError without the library for it.
    """
    resolve_environment(read_table(store.root), environment)
    manifest = store.current_manifest(environment)
    folder = store.folder(manifest.generation)
    lock = folder / layout.LOCK_COPY
    try:
        text = lock.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"Build it anew: envman build {environment} --rebuild"
        raise StoreError(Problem(str(lock), f"can't be read: {error}", remedy)) from None
    return generation_bill(manifest, text, folder, source_date(manifest.created, environ))


def generation_bill(manifest: Manifest, lock_text: str, folder: Path, epoch: int) -> bytes:
    """The bill of a generation in a folder, under the environment's name that its manifest has.

    `epoch` is the bill's time in seconds since 1970. Raises LockError for a text that is no lock, EnvmanError
    without cyclonedx-python-lib.
    """
    lock = parse_lock(lock_text, str(folder / layout.LOCK_COPY), manifest.environment)
    packages = read_packages(site_packages(folder))
    own = frozenset(source.name for source in lock.sources)
    return bill_of_materials(Contents(manifest, lock.pins, packages, own), epoch)
