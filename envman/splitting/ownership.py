"""Whose the files of bundles are, by the CODEOWNERS file of the repository that each is in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from envman.errors import Problem, UsageError
from envman.splitting.codeowners import PLACES, OwnerRule, owner_of, parse_owners

LARGEST = 3 * 2**20
"""Bytes that GitHub reads of the file."""


class Ownership:
    """Owners of files, by bundle and path; nobody's until the files are read."""

    def __init__(self, folders: Mapping[str, Path], file: Path | None) -> None:
        self._folders = folders
        self._file = file
        self._rules: dict[str, tuple[Path, tuple[OwnerRule, ...]]] = {}

    def read(self) -> None:
        """Read the file that was named, else that of each bundle's repository; raises UsageError."""
        for bundle, folder in self._folders.items():
            file = (
                Path(os.path.realpath(self._file)) if self._file else _found(Path(os.path.realpath(folder)))
            )
            if file is None:
                what = f"there is no CODEOWNERS file in {folder} or above"
                raise UsageError(Problem(f"bundle '{bundle}'", what, "Name it: --codeowners FILE"))
            self._rules[bundle] = (_repository(file), parse_owners(_text(file)))

    def owner(self, bundle: str, path: str) -> str:
        """The owner of a bundle's file; '' where nobody owns it, or it is outside of the repository."""
        if bundle not in self._rules:
            return ""
        repository, rules = self._rules[bundle]
        try:
            inside = Path(os.path.realpath(self._folders[bundle]), path).relative_to(repository)
        except ValueError:
            return ""
        return owner_of(rules, inside.as_posix())


def _found(folder: Path) -> Path | None:
    for above in (folder, *folder.parents):
        for place in PLACES:
            if (above / place).is_file():
                return above / place
        if (above / ".git").exists():
            break
    return None


def _repository(file: Path) -> Path:
    is_inside = file.parent.name in {Path(place).parent.name for place in PLACES if "/" in place}
    return file.parent.parent if is_inside else file.parent


def _text(file: Path) -> str:
    try:
        if not file.is_file():
            raise FileNotFoundError(2, "there is no such file")
        with file.open(encoding="utf-8-sig") as stream:
            text = stream.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UsageError(
            Problem(str(file), f"can't be read: {why}", "Name another: --codeowners FILE")
        ) from None
    if len(text) > LARGEST:
        raise UsageError(Problem(str(file), f"has more than {LARGEST:,} characters", "Name another one."))
    return text
