"""What a source distribution says of its build (PEP 517, PEP 518), and what its backend answers; all of it is
a stranger's word.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from packaging.requirements import Requirement

from envman.build.built_wheel import read_result
from envman.build.source_archive import UnfitError
from envman.system.beneath import open_beneath

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pyproject_hooks import BuildBackendHookCaller

ANSWER = "output.json"
QUESTION = "input.json"
"""What pyproject-hooks and its script, which runs in the build's own interpreter, tell each other."""

MOST_TEXT = 4 * 1024 * 1024
MOST_REQUIREMENTS = 200
LEGACY = ("setuptools>=40.8.0",), "setuptools.build_meta:__legacy__"
"""What builds a source that does not say what builds it (PEP 518)."""

_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class BuildSystem:
    """The table `build-system` of a source's pyproject.toml, or what stands for it."""

    requires: tuple[str, ...]
    backend: str
    path: tuple[str, ...] = ()


def build_system(source: Path) -> BuildSystem:
    """What a source asks for to be built; raises UnfitError."""
    try:
        descriptor = open_beneath(str(source), "pyproject.toml")
    except OSError:
        if not (source / "setup.py").is_file():
            raise UnfitError("it has neither a pyproject.toml nor a setup.py") from None
        return BuildSystem(*LEGACY)
    with os.fdopen(descriptor, "rb") as stream:
        content = stream.read(MOST_TEXT)
    try:
        table = tomllib.loads(content.decode("utf-8")).get("build-system")
    except (ValueError, RecursionError) as error:
        raise UnfitError(f"its pyproject.toml can't be read: {error}") from None
    if table is None:
        return BuildSystem(*LEGACY)
    if not isinstance(table, dict) or not _are_texts(table.get("requires")):
        raise UnfitError("build-system.requires of its pyproject.toml is no list of requirements")
    backend, path = table.get("build-backend", LEGACY[1]), table.get("backend-path", [])
    if not isinstance(backend, str) or not backend or not _are_texts(path):
        raise UnfitError("build-system of its pyproject.toml names no backend")
    return BuildSystem(requirements(table["requires"]), backend, tuple(path))


def requirements(lines: object) -> tuple[str, ...]:
    """What a build asks for, as requirements (PEP 508); raises UnfitError for anything else, as a line
    could be an option of the installer's.
    """
    if not isinstance(lines, list | tuple) or not _are_texts(lines) or len(lines) > MOST_REQUIREMENTS:
        raise UnfitError("what its build asks for is no list of requirements")
    found = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except (ValueError, RecursionError):  # InvalidRequirement, and what its parser did not think of
            raise UnfitError(f"its build asks for {line[:200]!r}, which is no requirement") from None
        if requirement.url:
            raise UnfitError(f"its build asks for a file by its address: {line[:200]!r}")
        found.append(str(requirement))
    return tuple(dict.fromkeys(found))


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def copy_script(target: Path) -> None:
    """Write the script that calls a hook in the build's own interpreter, as pyproject-hooks has it.

    A wheel holds the modes of its files, which must not depend on the builder's umask.
    """
    script = importlib.resources.files("pyproject_hooks._in_process") / "_in_process.py"
    target.write_bytes(b"import os; os.umask(0o022)\n" + script.read_bytes())


def call_hook(
    system: BuildSystem,
    source: str,
    run: Callable[[str, Path, Mapping[str, str]], Path],
    hook: Callable[[BuildBackendHookCaller], ResultT],
) -> ResultT:
    """Call a hook of a source's backend; raises UnfitError.

    `run` runs the script of pyproject-hooks: it gets the hook's name, the file with the question and further
    variables, and returns the folder where the answer is. `source` is the source's folder as that sees it.
    """
    from pyproject_hooks import (  # where something is built from source
        BackendUnavailable,
        BuildBackendHookCaller,
        HookMissing,
        UnsupportedOperation,
    )

    def runner(
        cmd: Sequence[str],
        cwd: str | None = None,  # noqa: ARG001
        extra_environ: Mapping[str, str] | None = None,
    ) -> None:
        name, exchange = cmd[-2], Path(cmd[-1])
        folder = run(name, exchange / QUESTION, extra_environ or {})
        (exchange / ANSWER).write_text(json.dumps(_answer(folder)), encoding="utf-8")

    try:
        return hook(BuildBackendHookCaller(source, system.backend, system.path, runner))
    except BackendUnavailable as error:
        raise UnfitError(f"its backend {system.backend} can't be imported{_end(error.traceback)}") from None
    except UnsupportedOperation as error:
        raise UnfitError(f"its backend builds no wheel of it{_end(error.traceback)}") from None
    except HookMissing as error:
        raise UnfitError(f"its backend {system.backend} has no {error.hook_name}") from None
    except (ValueError, RecursionError) as error:
        raise UnfitError(f"its backend is not in it, or says nothing: {error}") from None


def _answer(folder: Path) -> Mapping[str, Any]:
    """What the script has written, as far as it is what may be said; raises UnfitError."""
    try:
        said = json.loads(read_result(folder, (ANSWER,), MOST_TEXT))
    except (UnfitError, ValueError, RecursionError) as error:
        raise UnfitError(f"its backend gave no answer: {error}") from None
    if not isinstance(said, dict):
        raise UnfitError("its backend gave no answer")
    flags = {name: True for name in ("unsupported", "no_backend", "hook_missing") if said.get(name)}
    texts = {name: str(said.get(name) or "") for name in ("traceback", "backend_error", "missing_hook_name")}
    value = said.get("return_val")
    return {**flags, **texts, "return_val": value if isinstance(value, str) or _are_texts(value) else None}


def _end(traceback: str) -> str:
    return "".join(f"\n  {line}" for line in traceback.strip().splitlines()[-3:])


def static_metadata(source: Path, most: int = MOST_TEXT) -> str | None:
    """The metadata that a source has itself (PEP 643), None where some of it comes from its build."""
    try:
        descriptor = open_beneath(str(source), "PKG-INFO")
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        text = stream.read(most).decode("utf-8", errors="replace")
    return text if _is_static(text.partition("\n\n")[0].splitlines()) else None


def _is_static(lines: Iterable[str]) -> bool:
    fields = [
        (name.lower(), value.strip().lower()) for name, _, value in (one.partition(":") for one in lines)
    ]
    version = _VERSION.fullmatch(dict(fields).get("metadata-version", ""))
    built = {value for name, value in fields if name == "dynamic"}
    return (
        version is not None
        and (int(version[1]), int(version[2])) >= (2, 2)
        and built.isdisjoint({"requires-dist", "requires-python", "provides-extra"})
    )
