"""Platforms and Python versions of a lock, as PEP 508 markers and as marker environments."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version

_MARKERS = {
    "linux-x86_64": ("linux", "x86_64"),
    "linux-aarch64": ("linux", "aarch64"),
    "macos-arm64": ("darwin", "arm64"),
    "macos-x86_64": ("darwin", "x86_64"),
    "windows-x86_64": ("win32", "AMD64"),
}


def environment_markers(requires_python: str, platforms: Iterable[str]) -> list[str]:
    """One marker for each platform, narrowed to the Pythons; disjoint, as uv asks of `environments`."""
    python = " and ".join(
        f"python_full_version {part.operator} '{part.version}'"
        for part in sorted(SpecifierSet(requires_python), key=str)
    )
    markers = []
    for name in platforms:
        system, machine = _MARKERS[name]
        markers.append(f"sys_platform == '{system}' and platform_machine == '{machine}' and {python}")
    return markers


def marker_environment(name: str, python: str) -> dict[str, str]:
    """The marker environment (PEP 508) of CPython on a platform; `python` is a minor version, '3.12'."""
    system, machine = _MARKERS[name]
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "nt" if system == "win32" else "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": {"win32": "Windows"}.get(system, system.capitalize()),
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": system,
    }


def wheel_machine(name: str, tag: str) -> bool:
    """Whether a wheel with this platform tag (PEP 600) may be for a platform, by system and machine."""
    system, machine = _MARKERS[name]
    begins = {"linux": ("manylinux", "linux"), "darwin": ("macosx",), "win32": ("win",)}[system]
    return tag.startswith(begins) and tag.endswith((machine.lower(), *_MACOS.get(name, ())))


_MACOS = {"macos-arm64": ("universal2",), "macos-x86_64": ("universal2", "intel", "universal")}


def lowest_python(requires_python: str) -> str:
    """The lowest minor version that a specifier admits, such as '3.12' for '==3.12.*'.

    A specifier that admits none, such as '>=3.12,<3.11', answers with its lower bound.
    """
    specifier = SpecifierSet(requires_python)
    floor = max(_floor(part) for part in specifier if part.operator in _FLOORS)
    for minor in range(floor.minor, floor.minor + _MINORS):
        if any(specifier.contains(f"{floor.major}.{minor}.{patch}") for patch in range(_PATCHES)):
            return f"{floor.major}.{minor}"
    return f"{floor.major}.{floor.minor}"


_FLOORS = frozenset({"==", "===", ">=", ">", "~="})
_MINORS, _PATCHES = 20, 60
"""How far above its lower bound a specifier's first version is looked for."""


def _floor(part: Specifier) -> Version:
    return Version(part.version.removesuffix(".*"))


def host_platform() -> str:
    """The platform of this machine, by the name that a spec uses, or 'linux-riscv64' and the like."""
    system, machine = sys.platform, platform.machine()
    for name, known in _MARKERS.items():
        if known == (system, machine):
            return name
    return f"{system}-{machine}"
