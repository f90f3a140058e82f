"""uv's messages as envman's errors: which kind of failure it was, and what helps."""

from __future__ import annotations

import re
from itertools import takewhile

from packaging.specifiers import SpecifierSet

from envman.errors import EnvmanError, LockError, Problem, UnsatisfiableError
from envman.spec.inputs import Inputs
from envman.system.child_process import Finished

_ERROR_STARTS = ("error:", "×")

_SNIPPET = re.compile(r"\s*[0-9]*\s+\|")

_NOT_IN_WHEELHOUSE = "not found in the provided package locations"

_REMEDIES = (
    ("No space left on device", "The disk is full: free space for the root folder and uv's cache."),
    (
        "Hash mismatch",
        "The file is not the one that was locked. Find out why; to accept it, lock anew with -P.",
    ),
    ("Permission denied", "Let this user write to the root folder and to uv's cache."),
    ("etwork connectivity is disabled", "Fill uv's cache or a wheelhouse first, or leave --offline out."),
    ("etwork was disabled", "Fill uv's cache or a wheelhouse first, or leave --offline out."),
    (_NOT_IN_WHEELHOUSE, "Fill the wheelhouse first: envman wheelhouse"),
    ("401 Unauthorized", "Give uv the index's credentials (netrc, UV_INDEX_<NAME>_PASSWORD, keyring)."),
    ("403 Forbidden", "Give uv the index's credentials (netrc, UV_INDEX_<NAME>_PASSWORD, keyring)."),
    ("Failed to fetch", "Check the index in uv's configuration, the proxy and the network."),
    ("error sending request", "Check the index in uv's configuration, the proxy and the network."),
    (
        "there is no version of",
        "A locked file is not there: fill the wheelhouse (envman wheelhouse), or use an index.",
    ),
    (
        "was not found in the",
        "A locked file is not there: fill the wheelhouse (envman wheelhouse), or use an index.",
    ),
    ("has no usable wheels", "Lock a version that has a wheel for this Python and this machine."),
)


_UNREACHED = ("etwork was disabled", "etwork connectivity is disabled", "401 Unauthorized", "403 Forbidden")
"""Signs that uv found no solution only because it could not see what there is."""


_WANTED_PYTHON = re.compile(r"requires Python ((?:[<>=!~]{1,2}[0-9.*]+)(?:, ?[<>=!~]{1,2}[0-9.*]+)*)")

_TOO_NEW = re.compile("`([A-Za-z0-9._-]+)` was filtered by `exclude-newer`")

_PYTHONS = tuple(f"3.{minor}.{micro}" for minor in range(7, 30) for micro in range(40))
"""Versions to try a range of Pythons with."""


def resolution_error(inputs: Inputs, finished: Finished) -> EnvmanError:
    """The error for a failed resolution of an environment."""
    words = last_words(finished)
    where = f"environment '{inputs.environment}'"
    said = _one_line(finished)
    if "No solution found" not in said or any(sign in said for sign in _UNREACHED):
        return LockError(Problem(where, f"uv could not resolve it\n  {words}", remedy_for(finished)))
    remedy = _python_remedy(said, inputs.requires_python)
    if _NOT_IN_WHEELHOUSE in said:
        remedy = remedy_for(finished)
    elif filtered := list(dict.fromkeys(_TOO_NEW.findall(said))):
        named = ", ".join(f'"{package}"' for package in filtered)
        remedy = f"Wait until it is old enough for exclude-newer, or add: exclude-newer-except = [{named}]"
    return UnsatisfiableError(
        Problem(where, f"its requirements can't be satisfied together\n  {words}", remedy)
    )


def _python_remedy(said: str, requires_python: str) -> str:
    """What helps where no versions fit: often the spec allows more Pythons than anybody runs."""
    wanted = list(dict.fromkeys(_WANTED_PYTHON.findall(said)))
    narrowed = ",".join([requires_python, *wanted]).replace(", ", ",")
    if not wanted or not any(SpecifierSet(narrowed).filter(_PYTHONS)):
        python = " or requires-python" if wanted else ""
        return f"Change one of the requirements named{python}, or state an override."
    return (
        f'Set requires-python = "{narrowed}", as a package does not run on all Pythons of the spec; '
        "or change one of the requirements named."
    )


def as_warning(line: str) -> tuple[bool, str]:
    """Whether a line of uv's output warns of something, and what it says."""
    text = line.strip()
    said = text.removeprefix("warning:")
    return said != text, said.strip()


def last_words(finished: Finished) -> str:
    """uv's error, its lines indented, without the list of what it has done before and without its hints.

    Lines of a configuration file, which uv shows where it can't read one, are left out: they may be secret.
    """
    text = finished.stderr if finished.stderr.strip() else finished.stdout
    lines = list(takewhile(lambda line: not line.lstrip().startswith("hint:"), text.splitlines()))
    starts = [index for index, line in enumerate(lines) if line.lstrip().startswith(_ERROR_STARTS)]
    shown = [line for line in (lines[starts[0] :] if starts else lines) if not _SNIPPET.match(line)]
    return "\n  ".join(line.rstrip() for line in shown).strip() or f"exit code {finished.exit_code}"


def remedy_for(finished: Finished) -> str:
    """What helps against a failure, as far as uv's words tell."""
    said = _one_line(finished)
    for sign, remedy in _REMEDIES:
        if sign in said:
            return remedy
    return "Read uv's message above; what was published before still works."


def _one_line(finished: Finished) -> str:
    """What uv said, however it broke its lines."""
    return " ".join(finished.stderr.split())
