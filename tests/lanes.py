"""The lanes of the tests: what stands in each, and what each needs of a machine.

A lane is a session of the noxfile: `nox -s unit`, or `pytest --lane=unit`. Each test file stands in exactly one:
that of the longest entry that it is, or is below of; tests/test_lanes.py holds it. tests/needs.py reads the needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

TESTS = Path(__file__).parent

PYTHONS = ("3.10", "3.13", "3.14")
"""Pythons that envman itself is tested on, in the lane `unit`: the oldest, and the two newest."""


@dataclass(frozen=True)
class Lane:
    """Some of the tests, and their needs: programs, Pythons ("Python 3.10"), and facts such as "root"."""

    entries: tuple[str, ...]
    needs: tuple[str, ...] = ()


AIRFLOW_NEEDS = (
    *("root", "Python 3.10", "Python 3.11", "Python 3.12", "Python 3.13"),
    *("unshare", "mount", "setpriv", "sudo", "initdb", "redis-server", "ssh-keygen", "git"),
)

ON_REQUEST = frozenset({"kubernetes"})
"""Lanes that are not part of the default run: see CONTRIBUTING.md."""

LANES = {
    # no network, no root, no other Python than the one that runs them, less than a second each
    "unit": Lane(
        (
            *(
                *("adoption", "proof", "splitting"),
                "airflow",
                "deployment",
                "door",
                "image",
                "launch",
                "lock",
                "oci",
                "others",
                "packages",
                "release",
                "resolver",
            ),
            *("servers", "spec", "store", "supervisor", "system", "usecases", "uv", "test_kept.py"),
            *("test_failures.py", "test_lanes.py", "test_layers.py"),
            *("test_names.py", "test_once.py", "test_ports.py", "test_waiting.py"),
        )
    ),
    # the documentation: generated pages, links, examples as they stand
    "docs": Lane(
        ("docs", "deployment/test_service_files.py"),
        ("systemd-analyze", "docker-compose", "ssh-keygen", "git"),
    ),
    # real uv, real builds, the package registry, interpreters of several versions
    "real": Lane(
        (
            *("build", "cli", "inside", "integration", "registry", "upstream", "airflow/test_child_start.py"),
            *("airflow/test_handed_credentials.py", "airflow/test_lying_servers.py"),
            *("airflow/test_server_budget.py", "airflow/test_server_starts.py"),
            *("airflow/test_signed_workloads.py", "signing"),
            *("launch/test_launched.py", "launch/test_own_credentials.py"),
            *("launch/test_container_entrypoint.py", "servers/test_status.py", "system/test_remote.py"),
        ),
        (
            *("root", "Python 3.10", "Python 3.13", "unshare", "mount", "bwrap", "gcc", "zsh", "fish"),
            *("ssh-keygen", "git"),
        ),
    ),
    # users and limits, by this machine's kernel
    "limits": Lane(
        (
            *("confine", "build/test_source_builds.py", "deployment/test_confined.py"),
            "store/test_other_users.py",
        ),
        ("root", "cgroup v1", "setpriv", "bwrap", "gcc"),
    ),
    # a whole Airflow, component by component
    "airflow": Lane(("e2e",), AIRFLOW_NEEDS),
    # the same, while its processes are killed at random
    "chaos": Lane(("e2e/test_chaos.py",), AIRFLOW_NEEDS),
    # images by each engine: built, pushed to a registry, run in containers
    "images": Lane(
        ("images",),
        (
            *("root", "Python 3.12", "unshare", "buildah", "podman", "skopeo", "umoci", "runc", "bwrap"),
            *("mmdebstrap", "dockerd", "docker-registry", "gpg", "ssh-keygen"),
        ),
    ),
    # KubernetesExecutor: a whole Airflow, the tests' own cluster, and podman, which runs its pods
    "kubernetes": Lane(
        ("kubernetes", "e2e/kubernetes"),
        (
            *("root", "Python 3.10", "Python 3.11", "Python 3.12", "Python 3.13", "initdb"),
            *("bwrap", "skopeo", "umoci", "podman", "runc", "catatonit", "mount", "mke2fs"),
        ),
    ),
    # a Debian with systemd and cgroup v2, in user-mode Linux
    "machine": Lane(("machine",), ("root", "linux.uml", "mmdebstrap", "mke2fs")),
}

DEBIAN = {
    # program: Debian's package that has it
    "buildah": "buildah",
    "bwrap": "bubblewrap",
    "docker-compose": "docker-compose",
    "catatonit": "catatonit",
    "docker-registry": "docker-registry",
    "dockerd": "docker.io",
    "fish": "fish",
    "gcc": "gcc",
    "git": "git",
    "gpg": "gpg",
    "initdb": "postgresql",
    "linux.uml": "user-mode-linux",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "patchelf": "patchelf",
    "podman": "podman",
    "redis-server": "redis-server",
    "runc": "runc",
    "setpriv": "util-linux",
    "skopeo": "skopeo",
    "ssh-keygen": "openssh-client",
    "sudo": "sudo",
    "systemd-analyze": "systemd",
    "umoci": "umoci",
    "unshare": "util-linux",
    "zsh": "zsh",
}

MAKERS = ("mmdebstrap", "patchelf")
DEBIAN_PYTHONS = {"3.13": "trixie", "3.14": "forky"}
"""Releases of Debian that have a Python, from which a machine without it gets one for the lane `unit`."""


def lane_of(path: Path) -> str:
    """The lane of a file below tests/; empty where it stands in none."""
    return _lane_of_parts(path.relative_to(TESTS))


def _lane_of_parts(path: PurePath) -> str:
    entries = {entry: name for name, lane in LANES.items() for entry in lane.entries}
    for candidate in (path, *path.parents):
        if lane := entries.get(candidate.as_posix()):
            return lane
    return ""


def may_hold(folder: Path, lane: str) -> bool:
    """Whether a folder below tests/ has tests of a lane in it."""
    path = folder.relative_to(TESTS)
    below = any(path in PurePath(entry).parents for entry in LANES[lane].entries)
    return below or _lane_of_parts(path) == lane
