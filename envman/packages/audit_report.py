"""pip-audit's input, its report and its failures, as values.

The input is a pylock.toml (PEP 751): of the formats that pip-audit reads without resolving anything, it is
the one that may hold several versions of a package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import tomlkit
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from envman.errors import EnvmanError, Problem

Pinned = tuple[str, str]
"""A package's normalized name and its version."""


@dataclass(frozen=True)
class Advisory:
    """A known vulnerability of one version of a package; `fixed_in` are versions, the oldest first."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    fixed_in: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class Report:
    """What a database knows: advisories, and the names of packages that it has never heard of."""

    advisories: tuple[Advisory, ...]
    unknown: tuple[str, ...]


def question(pins: Collection[Pinned]) -> str:
    """The text of a pylock.toml that names packages and versions, and where none of them comes from."""
    packages = [{"name": name, "version": version} for name, version in sorted(pins)]
    return tomlkit.dumps({"lock-version": "1.0", "created-by": "envman", "packages": packages})


def parse_report(text: str, pins: Collection[Pinned]) -> Report:
    """Read pip-audit's report (`--format json`) about these packages.

    Raises EnvmanError for one that is none, or that leaves a package out.
    """
    spelled = {(name, _version(version)): version for name, version in pins}
    advisories: list[Advisory] = []
    unknown: set[str] = set()
    answered: set[tuple[str, str]] = set()
    try:
        for entry in json.loads(text)["dependencies"]:
            name = canonicalize_name(entry["name"])
            if "skip_reason" in entry:
                unknown.add(name)
                continue
            key = (name, _version(entry["version"]))
            answered.add(key)
            advisories += [_advisory(name, spelled[key], one) for one in entry["vulns"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _nonsense(f"pip-audit's report is none: {type(error).__name__}: {error}") from None
    left_out = [f"{name} {version}" for name, version in spelled if (name, version) not in answered]
    if missing := [one for one in left_out if one.partition(" ")[0] not in unknown]:
        raise _nonsense(f"pip-audit's report says nothing of {', '.join(missing)}")
    if pins and not answered:
        raise _nonsense(f"it has never heard of any of {len(pins)} packages")
    return Report(tuple(sorted(advisories, key=_order)), tuple(sorted(unknown)))


def _advisory(name: str, version: str, data: dict[str, Any]) -> Advisory:
    return Advisory(
        package=name,
        version=version,
        id=str(data["id"]),
        aliases=tuple(sorted(str(alias) for alias in data.get("aliases") or ())),
        fixed_in=tuple(str(fixed) for fixed in data["fix_versions"]),
        description=str(data.get("description") or ""),
    )


def _order(advisory: Advisory) -> tuple[str, Version, str]:
    return advisory.package, Version(advisory.version), advisory.id


def _version(text: str) -> str:
    try:
        return str(Version(text))
    except InvalidVersion:
        return text


_RAISED = re.compile(r"(?P<kind>[\w.]+(?:Error|Timeout|Redirects)): (?P<what>.*)")
_UNREACHABLE = frozenset(
    {"ConnectionError", "ConnectTimeout", "ReadTimeout", "ProxyError", "SSLError", "TooManyRedirects"}
)
_TIMED_OUT = re.compile(r"Could not connect to .*|\w+ is not redirecting properly")
"""What pip-audit says itself, without a traceback."""


def failure(stderr: str) -> EnvmanError:
    """Why pip-audit ended without a report, by its traceback on standard error: the first cause is told."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    raised = [match for line in lines if (match := _RAISED.match(line))]
    kinds = {match["kind"].rpartition(".")[2] for match in raised}
    told = raised[0]["what"] if raised else (lines or ["pip-audit said nothing"])[-1]
    for line in lines:
        if match := _TIMED_OUT.search(line):
            return _unreachable(match[0])
    if "HTTPError" in kinds:
        return _nonsense(f"it answered {told}")
    if kinds & _UNREACHABLE:
        return _unreachable(told)
    return _nonsense(told)


def _unreachable(what: str) -> EnvmanError:
    remedy = "Check the network and HTTPS_PROXY, or name a server that can be reached: --url"
    return EnvmanError(Problem("vulnerability database", f"can't be reached: {what.strip()}", remedy))


def _nonsense(what: str) -> EnvmanError:
    remedy = "Try again later. With --url: check that the server speaks the OSV API, /v1/query."
    return EnvmanError(Problem("vulnerability database", f"gave no answer that can be used: {what}", remedy))
