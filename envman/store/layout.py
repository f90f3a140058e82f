"""Where things stand below the root folder. On the launch path: strings, no imports.

    /venv/env_a -> .gen/3f9c2a7b10de     the environment's name: a link to its current generation
    /venv/.gen/3f9c2a7b10de/             a generation; whole once envman.json stands in it
    /venv/.dev/3f9c2a7b10de-5d41402a/    a dev overlay of a generation; whole with envman-dev.json
    /venv/.state/table                   the published table
    /venv/.state/table.5f0c....sig       the signature of the table with that digest
    /venv/.state/env_a@3f9c2a7b10de.sig  the signature of the generation, as one of env_a
    /venv/.state/env_a.history           which generations the name pointed to, when and why
    /venv/.state/env_a.hold              why the environment stays in the generation that it has
    /venv/.lock/                         files that builders hold locks on
    /venv/.pull/                         what a pull has fetched and not unpacked yet

Names stay short: the kernel reads 127 bytes of a script's first line.
"""

from __future__ import annotations

GENERATIONS = ".gen"
OVERLAYS = ".dev"
STATE = ".state"
LOCKS = ".lock"
PULLED = ".pull"
MANIFEST = "envman.json"
FILES = "envman.files"
LAYERS = "envman.layers"
"""In a generation that was pulled: which layers of a release its files came in."""

OVERLAY_MARK = "envman-dev.json"
"""In a dev overlay: what it holds. It is written last."""

DATABASE = "database"
"""What the name of a folder beside dev overlays ends with that holds an empty database of a generation's
Airflow, to be copied."""

LOCK_COPY = "envman.lock"
SOURCES = ".sources"
"""Where a build of a generation builds packages from source; gone before anything of it counts."""

GIT_IGNORE = ".gitignore"
TRASH_PREFIX = "trash-"


def link_path(root: str, environment: str) -> str:
    """The environment's name below the root."""
    return f"{root}/{environment}"


def link_target(generation: str) -> str:
    """What an environment's link holds: relative, so that a root can be looked at under another mount."""
    return f"{GENERATIONS}/{generation}"


def generation_path(root: str, generation: str) -> str:
    """The generation's folder, which is a virtual environment."""
    return f"{root}/{GENERATIONS}/{generation}"


def overlay_path(root: str, overlay: str) -> str:
    """The folder of a dev overlay, which is a virtual environment over a generation's."""
    return f"{root}/{OVERLAYS}/{overlay}"


def manifest_path(root: str, generation: str) -> str:
    """The manifest, written last: a generation without one is not whole."""
    return f"{root}/{GENERATIONS}/{generation}/{MANIFEST}"


def table_path(root: str) -> str:
    """The published table."""
    return f"{root}/{STATE}/table"


def history_path(root: str, environment: str) -> str:
    """The environment's history."""
    return f"{root}/{STATE}/{environment}.history"


def hold_path(root: str, environment: str) -> str:
    """The environment's hold, where it has one."""
    return f"{root}/{STATE}/{environment}.hold"


def table_signature_path(root: str, digest: str) -> str:
    """The signature of the table with a digest: it is there before the table is."""
    return f"{root}/{STATE}/table.{digest}.sig"


def signature_path(root: str, environment: str, generation: str) -> str:
    """The signature of a generation as one of an environment's; no name has an `@`."""
    return f"{root}/{STATE}/{environment}@{generation}.sig"


def lock_path(root: str, name: str) -> str:
    """The file that a builder locks: a generation's identifier, or 'store'."""
    return f"{root}/{LOCKS}/{name}"
