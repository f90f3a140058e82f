"""Requirements that stand in other files: pip requirements files, PEP 735 groups, PEP 621 extras.

The files are flattened to requirement strings, so that a lock's fingerprint answers to what they ask for and
not to their comments. Reading is handed in: `read` takes a path relative to the project and returns text.
"""

from __future__ import annotations

import errno
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from envman.errors import Problem
from envman.names import nearest
from envman.spec.model import PyprojectSource
from envman.spec.parse import parse_toml
from envman.spec.requirement_text import parse_requirement
from envman.system.redaction import redact

Read = Callable[[str], str]

_OPTIONS = frozenset(
    {
        *("-r", "-c", "--pre", "--prefer-binary", "--require-hashes", "--no-binary", "--only-binary"),
        *("--use-feature", "--global-option", "--config-settings", "--requirements", "--constraints"),
    }
)
"""Options that are named where they are refused; any other text is not shown."""

DEEPEST, MOST_FILES = 50, 500
"""Files or groups that include each other, one below the other and in all."""
MOST_ENTRIES = 10_000
"""Requirements of a dependency group, with those of the groups that it includes."""

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASHES = re.compile(r"\s--hash[=\s]\S+")
_INCLUDE = re.compile(r"^(?:(-r|-c)\s*|(--requirement|--constraint)(?:\s+|\s*=\s*))(\S.*)$")


@dataclass
class Flattened:
    """What a source asks for, and what is wrong with it."""

    requirements: list[str] = field(default_factory=list)
    constraints: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0


def flatten_requirements_file(path: str, read: Read) -> Flattened:
    """Read a requirements file and the ones that it includes with -r and -c."""
    result = Flattened()
    _read_into(result, path, read, trail=(), as_constraint=False)
    return result


def flatten_requirements_text(text: str, label: str) -> Flattened:
    """Read requirement lines that stand for themselves, such as a constraints file fetched from a URL."""
    result = Flattened()
    for number, line in _logical_lines(text):
        if line.startswith("-"):
            result.problems.append(_refused(f"{label}:{number}", line))
        else:
            _requirement_into(result.requirements, result, f"{label}:{number}", line)
    return result


def _read_into(result: Flattened, path: str, read: Read, trail: tuple[str, ...], as_constraint: bool) -> None:
    if path in trail:
        chain = " -> ".join((*trail, path))
        result.problems.append(Problem(path, f"includes itself: {chain}", "Take one of these lines out."))
        return
    result.files += 1
    if len(trail) > DEEPEST or result.files > MOST_FILES:
        if result.files <= MOST_FILES + 1:
            what = f"more than {MOST_FILES} files include each other, or {DEEPEST} one below the other"
            result.problems.append(Problem(path, what, "Join some of them."))
        return
    text = read_source(path, read, result.problems)
    if text is None:
        return
    for number, line in _logical_lines(text):
        where = f"{path}:{number}"
        include = _INCLUDE.match(line)
        if include and "://" in include[3]:
            remedy = "Keep a copy of the file in the project, or name it in the spec's constraints."
            result.problems.append(Problem(where, f"includes a URL: {redact(include[3].strip())}", remedy))
        elif include:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), include[3].strip()))
            constraint = as_constraint or (include[1] or include[2]) in {"-c", "--constraint"}
            _read_into(result, target, read, (*trail, path), constraint)
        elif line.startswith("-"):
            result.problems.append(_refused(where, line))
        else:
            _requirement_into(
                result.constraints if as_constraint else result.requirements, result, where, line
            )


def read_source(path: str, read: Read, problems: list[Problem]) -> str | None:
    """Read a file that a spec names; what can't be read becomes a problem.

    Whoever may write a spec may not thereby read files of the machine: all of them are the project's own.
    """
    inner = posixpath.normpath(path)
    if inner.startswith(("/", "../")) or inner == "..":
        problems.append(Problem(path, "is outside of the project's folder", _KEEP_INSIDE))
        return None
    try:
        return read(path)
    except FileNotFoundError:
        problems.append(Problem(path, "there is no such file", "Correct the path, or add the file."))
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EXDEV:
            problems.append(
                Problem(path, "is an absolute link, or one out of the project's folder", _KEEP_INSIDE)
            )
            return None
        why = (isinstance(error, OSError) and error.strerror) or error
        problems.append(Problem(path, f"can't be read: {why}", "Make it a readable UTF-8 text file."))
    return None


_OWN_CODE = 'sources = ["../libs/warehouse"]'

_KEEP_INSIDE = "Keep the file itself below the folder of envman.toml; a link to it is relative."


def _refused(where: str, line: str) -> Problem:
    option = line.split(maxsplit=1)[0].split("=", maxsplit=1)[0] if line.startswith("--") else line[:2]
    if option in {
        "-i",
        "--index-url",
        "--extra-index-url",
        "-f",
        "--find-links",
        "--no-index",
        "--trusted-host",
    }:
        return Problem(
            where, f"'{option}' names an index", "Indexes belong into uv's configuration (uv.toml)."
        )
    if option in {"-e", "--editable"}:
        return Problem(
            where, "an editable install can't be locked", f"Name its folder in the spec: {_OWN_CODE}"
        )
    named = f"the option '{option}'" if option in _OPTIONS else "an option"
    return Problem(where, f"{named} is not supported", "Take it out of the file.")


def _requirement_into(target: list[str], result: Flattened, where: str, line: str) -> None:
    text = _HASHES.sub("", f" {line}").strip()
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement:
        remedy = (
            "Write PEP 508: name, version specifier, marker. Bare URLs can't be locked; a folder of the "
            f"project is named in the spec: {_OWN_CODE}"
        )
        result.problems.append(Problem(where, "this line is not a requirement", remedy))  # nor is it shown
        return
    if requirement.url is not None:
        remedy = "A lock holds no URL: name a version and serve the file from an index."
        if requirement.url.startswith(("file:", ".", "/")):
            remedy = f"A lock holds no path: name its folder in the spec: {_OWN_CODE}"
        result.problems.append(Problem(where, f"'{requirement.name}' is given by URL", remedy))
        return
    target.append(str(requirement))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines joined over a trailing backslash, without comments and blank lines; numbers count from 1."""
    start, buffer = 0, ""
    for number, raw in enumerate([*text.lstrip("\N{ZERO WIDTH NO-BREAK SPACE}").splitlines(), ""], start=1):
        start = start if buffer else number
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            buffer += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", buffer + raw).strip()
        buffer = ""
        if line:
            yield start, line


def flatten_pyproject(source: PyprojectSource, read: Read) -> Flattened:
    """Read what a `pyprojects` entry asks for (see `PyprojectSource` for which parts that is)."""
    result = Flattened()
    text = read_source(source.path, read, result.problems)
    if text is None:
        return result
    data, problems = parse_toml(text, source.path)
    result.problems.extend(problems)
    if problems:
        return result
    if source.extras or not source.dependency_groups:
        _project_into(result, source, _table(data, "project"))
    for group in source.dependency_groups:
        _group_into(result, source.path, group, _table(data, "dependency-groups"))
    return result


def flatten_script(path: str, read: Read) -> tuple[Flattened, str]:
    """Read what a script asks for in a comment (PEP 723): its dependencies, and `requires-python`."""
    result = Flattened()
    text = read_source(path, read, result.problems)
    if text is None:
        return result, ""
    blocks = list(_script_blocks(text))
    if len(blocks) != 1:
        what = "has several blocks '# /// script'" if blocks else "has no block '# /// script' (PEP 723)"
        result.problems.append(Problem(path, what, "Write one, with the dependencies of the script."))
        return result, ""
    data, problems = parse_toml(blocks[0], path)
    result.problems.extend(problems)
    _list_into(result, f"{path}: dependencies", data.get("dependencies", []))
    return result, str(data.get("requires-python", ""))


def _script_blocks(text: str) -> Iterator[str]:
    """The contents of closed blocks; the last line that can close one does."""
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if line.rstrip() != "# /// script":
            continue
        body = list(takewhile(lambda one: one == "#" or one.startswith("# "), lines[start + 1 :]))
        ends = [index for index, one in enumerate(body) if one.rstrip() == "# ///"]
        if ends:
            yield "\n".join(one[2:] for one in body[: ends[-1]])


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    """A table of a file that is not ours; where it is something else it counts as absent."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _project_into(result: Flattened, source: PyprojectSource, project: dict[str, Any]) -> None:
    listed = project.get("dynamic")
    needed = {"dependencies", "optional-dependencies"} if source.extras else {"dependencies"}
    dynamic = sorted(key for key in needed if isinstance(listed, list) and key in listed)
    if not project or dynamic:
        what = f"{', '.join(dynamic)} is dynamic" if dynamic else "there is no [project] table"
        remedy = "State the dependencies in the file, or take them from a dependency group (PEP 735)."
        result.problems.append(Problem(f"{source.path}: project", what, remedy))
        return
    _list_into(result, f"{source.path}: project.dependencies", project.get("dependencies", []))
    optional = _table(project, "optional-dependencies")
    extras = {canonicalize_name(name): lines for name, lines in optional.items()}
    own_name = canonicalize_name(str(project.get("name", "")))
    wanted = [canonicalize_name(extra) for extra in source.extras]
    for extra in wanted:  # grows while it is walked: extras may name extras of the same project
        where = f"{source.path}: project.optional-dependencies.{extra}"
        if extra not in extras:
            result.problems.append(Problem(where, "there is no such extra", nearest(extra, extras)))
            continue
        inner = _list_into(result, where, extras[extra], own_name)
        wanted.extend(canonicalize_name(name) for name in inner if name not in wanted)


def _list_into(result: Flattened, where: str, lines: object, own_name: str = "") -> list[str]:
    """Take a list of requirement strings; returns the extras of the project itself that it asks for."""
    own_extras: list[str] = []
    if not isinstance(lines, list):
        result.problems.append(
            Problem(where, "is not a list", "Write a list of requirement strings (PEP 621).")
        )
        return own_extras
    for index, line in enumerate(lines):
        found: list[str] = []
        place = f"{where}[{index}]"
        if isinstance(line, str):
            _requirement_into(found, result, place, line)
        else:
            result.problems.append(
                Problem(place, "is not a requirement string", "Write it in quotes (PEP 508).")
            )
        for text in found:
            requirement = parse_requirement(text)
            if not own_name or canonicalize_name(requirement.name) != own_name:
                result.requirements.append(text)
            elif requirement.marker:
                remedy = "Put the marker on the requirements of that extra."
                result.problems.append(Problem(place, "has a marker on the project's own extra", remedy))
            else:
                own_extras.extend(canonicalize_name(extra) for extra in requirement.extras)
    return own_extras


def _group_into(result: Flattened, path: str, group: str, groups: dict[str, Any]) -> None:
    where = f"{path}: dependency-groups.{group}"
    if canonicalize_name(group) not in {canonicalize_name(name) for name in groups}:
        result.problems.append(Problem(where, "there is no such dependency group", nearest(group, groups)))
        return
    if _length(group, groups) > MOST_ENTRIES:
        what = f"has more than {MOST_ENTRIES:,} entries with those of the groups that it includes"
        result.problems.append(Problem(where, what, "Include each group once."))
        return
    try:
        lines = list(resolve_dependency_groups(groups, group))
    except Exception as error:  # noqa: BLE001 - the library raises groups of ValueError, LookupError, TypeError
        reasons = "; ".join(str(inner) for inner in getattr(error, "exceptions", [error]))
        result.problems.append(Problem(where, reasons, "Correct the group (PEP 735)."))
        return
    _list_into(result, where, lines)


def _length(group: str, groups: Mapping[str, Any]) -> int:
    """How many entries a group has with all that it includes; nothing is written out to know it.

    What is nested too deeply counts as too many, a cycle as nothing: the library tells of it.
    """
    entries: dict[str, Any] = {canonicalize_name(name): value for name, value in groups.items()}
    known: dict[str, int] = {}

    def length(name: str, depth: int) -> int:
        if depth > DEEPEST:
            return MOST_ENTRIES + 1
        if name not in known:
            known[name] = 0
            listed = entries.get(name)
            included = [_included(entry) for entry in listed] if isinstance(listed, list) else []
            known[name] = sum(1 if one is None else length(one, depth + 1) for one in included)
        return known[name]

    return length(canonicalize_name(group), 0)


def _included(entry: object) -> str | None:
    name = entry.get("include-group") if isinstance(entry, dict) else None
    return canonicalize_name(name) if isinstance(name, str) else None
