"""Whether a base image has the Debian packages that environments need; envman's own engine installs none."""

from __future__ import annotations

from collections.abc import Iterable

from envman.errors import ImageError, Problem
from envman.image.dpkg import STATUS_FILE, STATUS_FOLDER, installed_packages, missing_packages
from envman.oci.bases import Base
from envman.spec.project import Environment


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
    folder, file = base.root / STATUS_FOLDER, base.root / STATUS_FILE
    files = [file] if file.is_file() else []
    if folder.is_dir():
        files += sorted(one for one in folder.iterdir() if one.is_file() and one.suffix != ".md5sums")
    return "\n\n".join(one.read_text(encoding="utf-8", errors="replace") for one in files)
