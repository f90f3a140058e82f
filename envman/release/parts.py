"""Which files of a generation go together into one layer: those of an installed distribution. Pure.

A layer of a distribution is the same in each environment that has the distribution's files, and in the next
generation. What names the generation's own path (scripts, and the RECORDs that have a script's digest) goes
with all that no distribution has brought into one layer more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

BYTECODE = "__pycache__"


def in_parts(
    paths: Iterable[str], recorded: Mapping[str, Collection[str]], apart: Collection[str]
) -> tuple[tuple[str, ...], ...]:
    """The files of each distribution with their bytecode, and last those of none.

    `recorded` are the paths that each distribution's RECORD names, `apart` those that belong to none all the
    same. Each path is in one part; parts without files are left out.
    """
    known = sorted(paths)
    there = set(known)
    owners: dict[str, str] = {}
    for name in sorted(recorded):
        has_script = any(path in apart for path in recorded[name])
        for path in recorded[name]:
            record = has_script and path.endswith(f"/{name}.dist-info/RECORD")
            if path in there and path not in apart and not record:
                owners.setdefault(path, name)
    parts: dict[str, list[str]] = {}
    for path in known:
        owner = owners.get(path) or owners.get(source_of(path), "")
        parts.setdefault("" if path in apart else owner, []).append(path)
    rest = parts.pop("", [])
    return (*(tuple(parts[name]) for name in sorted(parts)), *((tuple(rest),) if rest else ()))


def source_of(path: str) -> str:
    """The source of bytecode (PEP 3147); empty for what is no bytecode."""
    folder, _, file = path.rpartition("/")
    if not file.endswith(".pyc") or folder.rpartition("/")[2] != BYTECODE:
        return ""
    above = folder.removesuffix(BYTECODE)
    return f"{above}{file.partition('.')[0]}.py"
