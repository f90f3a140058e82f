"""Whether a base image has the Debian packages that environments need; envman's own engine installs none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from envman.errors import ImageError, Problem
from envman.image.dpkg import STATUS_FILE, STATUS_FOLDER, installed_packages, missing_packages
from envman.oci.bases import Base
from envman.spec.project import Environment
from envman.system.beneath import names_in_root, read_in_root

LARGEST_STATUS = 64 * 2**20
"""Bytes of a file of dpkg; a desktop's has 5 MB."""


def check_packages(base: Base, environments: Iterable[Environment]) -> None:
    """Raises ImageError naming what of `[image] apt` an unpacked base lacks."""
    wanted = {one.name: one.apt for one in environments if one.apt}
    if not wanted:
        return
    there = installed_packages(_status(base))
    missing = {name: missing_packages(there, packages) for name, packages in wanted.items()}
    problems = [
        Problem(
            f"environment '{name}'",
            f"the base {base.name} lacks the Debian packages of its image.apt: {' '.join(packages)}",
            "Choose a base that has them, or install them with --engine buildah, podman or docker.",
        )
        for name, packages in missing.items()
        if packages
    ]
    if problems:
        raise ImageError(problems)


def _status(base: Base) -> str:
    """What dpkg notes of the base; empty where it is no Debian."""
    root = str(base.root)
    names = [name for name in names_in_root(root, STATUS_FOLDER) if not name.endswith(".md5sums")]
    texts: list[str] = []
    for path in (STATUS_FILE, *(f"{STATUS_FOLDER}/{name}" for name in names)):
        with contextlib.suppress(OSError):  # what is no file of the base says nothing
            texts.append(read_in_root(root, path, LARGEST_STATUS).decode(errors="replace"))
    return "\n\n".join(texts)
