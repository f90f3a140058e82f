"""What uv is told by files and variables: its own configuration, and nothing behind the spec's back.

uv runs in a folder made for the call, whose pyproject.toml holds the deployment's uv.toml and the platforms
of the lock; so uv merges the user's and the system's configuration as ever, and finds no other project.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.utils import canonicalize_name

from envman.errors import Problem, SpecError
from envman.spec.parse import parse_toml

HIDDEN_INPUTS = frozenset(
    {
        "UV_CONFIG_FILE",
        "UV_NO_CONFIG",
        "UV_CONSTRAINT",
        "UV_OVERRIDE",
        "UV_EXCLUDE",
        "UV_BUILD_CONSTRAINT",
        "UV_PYTHON",
        "UV_SYSTEM_PYTHON",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_WORKING_DIR",
        "UV_CUSTOM_COMPILE_COMMAND",
        "UV_NO_VERIFY_HASHES",
        "UV_BREAK_SYSTEM_PACKAGES",
        "CONDA_PREFIX",
        "PYTHONHOME",
        "PYTHONPATH",
        "VIRTUAL_ENV",
    }
)
"""Variables that would add requirements to a lock, or lead uv to another environment than the one built."""

HIDDEN_KEYS = frozenset(
    {
        "environments",
        "required-environments",
        "constraint-dependencies",
        "override-dependencies",
        "exclude-dependencies",
        "build-constraint-dependencies",
        "workspace",
        "sources",
        "no-cache",
        "upgrade",
        "upgrade-package",
    }
)
"""Keys of a uv.toml that would do the same; the spec has its own for what they say. `wants_no_cache` tells of
`no-cache`.
"""


PIP_KEYS = frozenset(
    {
        "index-url",
        "extra-index-url",
        "no-index",
        "find-links",
        "index-strategy",
        "keyring-provider",
        "no-build",
        "no-binary",
        "only-binary",
        "no-build-isolation",
        "no-build-isolation-package",
        "config-settings",
        "config-settings-package",
        "extra-build-dependencies",
        "dependency-metadata",
        "exclude-newer",
        "exclude-newer-package",
        "prerelease",
        "resolution",
        "fork-strategy",
        "link-mode",
    }
)
"""Keys of a uv.toml's [pip] table that say where and how; its others would say what, and for whom."""


def uv_environment(caller: Mapping[str, str]) -> dict[str, str]:
    """The variables that uv runs with."""
    environment = {key: value for key, value in caller.items() if key not in HIDDEN_INPUTS}
    environment["NO_COLOR"] = "1"
    environment["TZ"] = "UTC"  # a date of exclude-newer is the same day on every machine
    return environment


BUILD_KEYS = frozenset(
    {
        *("no-binary", "no-binary-package", "only-binary", "no-build", "no-build-package"),
        *("no-build-isolation", "no-build-isolation-package"),
    }
)
"""Keys that say what uv builds; it builds nothing here."""

INDEX_KEYS = frozenset({"index", "index-url", "extra-index-url", "find-links", "no-index"})
"""Keys that name where files come from."""


@contextmanager
def uv_folder(
    config: str | None,
    markers: Sequence[str] = (),
    without: Collection[str] = (),
    known: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Path]:
    """A folder to run uv in, for its owner's eyes only; it goes when the context ends.

    `config` is the deployment's uv.toml, `markers` the platforms to resolve for; `without` are keys of the
    configuration that are left out, of its table `pip`, too. `known` is metadata of packages, besides what
    the configuration states (`dependency-metadata`). Raises SpecError.
    """
    import tomlkit  # only where uv is run

    table = read_uv_config(config) if config else {}
    table = {key: value for key, value in table.items() if key not in without}
    if isinstance(pip := table.get("pip"), dict):
        table["pip"] = {key: value for key, value in pip.items() if key not in without}
    if markers:
        table["environments"] = list(markers)
    if known:
        table["dependency-metadata"] = [*table.get("dependency-metadata", ()), *known]
    document = {"project": {"name": "envman-workspace", "version": "0"}, "tool": {"uv": table}}
    with TemporaryDirectory(prefix="envman-uv-") as name:
        folder = Path(name)
        (folder / "pyproject.toml").write_text(tomlkit.dumps(document), encoding="utf-8")
        yield folder


@dataclass(frozen=True)
class BuildSettings:
    """What a uv.toml says of a package's build from source: further requirements, constraints of all of its
    build's requirements, and settings of its backend.
    """

    requires: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    backend: Mapping[str, str | list[str]] = field(default_factory=dict)


def build_settings(config: str | None, package: str) -> BuildSettings:
    """What a uv.toml says of the build of a package (normalized name, PEP 503): `extra-build-dependencies`,
    `build-constraint-dependencies`, `config-settings` and `config-settings-package`. Raises SpecError.
    """
    table = _uv_table(config) if config else {}
    try:
        of_package: dict[str, Any] = {}
        for name, extra in _of(table, "extra-build-dependencies"):
            of_package[canonicalize_name(name)] = extra
        extras = [one if isinstance(one, str) else one["requirement"] for one in of_package.get(package, [])]
        backend = dict(_of(table, "config-settings"))
        for name, settings in _of(table, "config-settings-package"):
            backend |= settings if canonicalize_name(name) == package else {}
        constraints = _list(table.get("build-constraint-dependencies", []))
    except (AttributeError, TypeError, KeyError, ValueError):
        remedy = "Write it as uv's documentation shows: tables by package, lists of strings."
        raise SpecError(Problem(str(config), "a setting of builds has the wrong type", remedy)) from None
    return BuildSettings(tuple(map(str, extras)), tuple(map(str, constraints)), backend)


def wants_no_cache(caller: Mapping[str, str], config: str | None) -> bool:
    """Whether uv is told to keep nothing, by its variable or the deployment's uv.toml; raises SpecError."""
    return bool(caller.get("UV_NO_CACHE")) or bool(config and _uv_table(config).get("no-cache"))


def _of(table: Mapping[str, Any], key: str) -> Iterable[tuple[str, Any]]:
    """The entries of a table of a uv.toml, which may stand in its table `pip`, too."""
    return {**table.get("pip", {}).get(key, {}), **table.get(key, {})}.items()


def _uv_table(config: str) -> dict[str, Any]:
    try:
        table, problems = parse_toml(Path(config).read_text(encoding="utf-8"), config)
    except (OSError, ValueError) as error:
        raise SpecError(
            Problem(config, f"can't be read: {error}", "Make it a uv configuration file.")
        ) from None
    if problems:
        raise SpecError(problems)
    return table


def read_uv_config(config: str) -> dict[str, Any]:
    """A uv.toml as a table, its relative paths made absolute, hidden inputs left out; raises SpecError."""
    table = _uv_table(config)
    folder = str(Path(config).parent)
    kept = {key: value for key, value in table.items() if key not in HIDDEN_KEYS}
    try:
        if "pip" in kept:
            pip = {key: value for key, value in kept["pip"].items() if key in PIP_KEYS}
            kept["pip"] = _with_anchors(folder, pip)
        return _with_anchors(folder, kept)
    except (AttributeError, TypeError):
        remedy = "Write it as uv's documentation shows: [[index]] tables with a url, lists of strings."
        raise SpecError(Problem(config, "a setting of its indexes has the wrong type", remedy)) from None


def _with_anchors(folder: str, table: dict[str, Any]) -> dict[str, Any]:
    """The table with relative paths made absolute; raises AttributeError, TypeError for wrong types."""
    anchored = dict(table)
    for key in ("find-links", "extra-index-url"):
        if key in table:
            anchored[key] = [_anchored(folder, item) for item in _list(table[key])]
    for key in ("cache-dir", "index-url"):
        if key in table:
            anchored[key] = _anchored(folder, table[key])
    if "index" in table:
        anchored["index"] = [
            {**index, "url": _anchored(folder, index["url"])} if "url" in index else dict(index.items())
            for index in _list(table["index"])
        ]
    return anchored


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def _anchored(folder: str, location: object) -> str:
    """A relative path of uv.toml, which counts from that file; URLs stay as they are."""
    if not isinstance(location, str):
        raise TypeError(location)
    return location if "://" in location else os.path.normpath(os.path.join(folder, location))
