"""What a fork server is made of, as one name: whatever of it changes, the next workload gets another server.

That is all that the server was started with, what it has read as it started (Airflow's configuration, the
local settings, plugins, certificates), and what its children inherit of the component that started it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from envman.airflow.runtime import Runtime
from envman.confine.cgroup_files import COMPONENTS
from envman.inside import protocol
from envman.inside.protocol import FORK_SERVER
from envman.launch.airflow_configuration import AirflowConfiguration

PROTOCOL = (Path(protocol.__file__), Path(protocol.__file__).with_name(f"{FORK_SERVER}.py"))
"""What tells one envman's servers from another's."""

NAMESPACES = ("mnt", "net", "pid", "user", "ipc", "uts")
"""What a child must have of the component that asks for it: its files, its network and so on."""

LIMITS = sorted(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))

MODULES_AND_DATA = (".py", ".so", ".json", ".yaml", ".yml", ".toml", ".cfg", ".ini")
"""Of a folder of modules: they, and what they may read as they are imported."""

CERTIFICATES = re.compile("CERT|_CA|CA_|SSL|TLS")
"""Variables that name certificates, as libraries read them once."""

Stamp = tuple[str, int, int, int]
"""A path, its inode, its size and when it was changed: what tells one content of it from another."""


def name_of(runtime: Runtime) -> str:
    """The name of all servers that would be the same for an environment's workloads, started by this process.

    Raises SpecError where Airflow's configuration can't be read.
    """
    parts = [
        runtime.root,
        runtime.environment,
        runtime.generation,
        sorted(runtime.variables.items()),
        runtime.preload,
        runtime.server_idle,
        runtime.user,
        runtime.limits,
        [_stamp(str(one)) for one in PROTOCOL],  # another envman speaks another one
        unit("/proc/self/cgroup"),
        [os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES],
        _priorities(),
        [*_read_at_the_start(runtime)],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def unit(file: str) -> str:
    """The container or service that a process belongs to, by its file of cgroups; empty where it has none.

    A service that is stopped ends all processes that it has started: servers are not shared between services.
    """
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(line.removesuffix(f"/{COMPONENTS}").rstrip("/") for line in lines)


def _priorities() -> list[object]:
    """What of a process the kernel hands on to all that it starts: nice, ionice, processors, ulimits."""
    return [
        os.getpriority(os.PRIO_PROCESS, 0),
        os.sched_getscheduler(0),
        psutil.Process().ionice(),
        sorted(os.sched_getaffinity(0)),
        [resource.getrlimit(limit) for limit in LIMITS],
    ]


def _read_at_the_start(runtime: Runtime) -> Iterator[Stamp]:
    """The files that a server reads before its first workload, as they are now.

    A file that is not there counts, too: it may come. Of what variables name certificates count: files that
    are written all the time would give each workload a server.
    """
    variables = runtime.variables
    configuration = AirflowConfiguration(variables)
    yield _stamp(configuration.path)
    for folder in configuration.module_folders():
        yield from _tree(folder)
    for value in sorted({value for name, value in variables.items() if CERTIFICATES.search(name)}):
        if value.startswith("/") and os.path.isfile(value):
            yield _stamp(value)


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)
    except OSError:
        return path, 0, 0, 0
    # a folder changes with each __pycache__ that is written into it: its entries are looked at
    changed = 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
    return path, status.st_ino, changed and status.st_size, changed


def _tree(folder: str, above: frozenset[int] = frozenset()) -> Iterator[Stamp]:
    """A folder, all modules below it and their data; links are followed, but not into what they are in."""
    stamp = _stamp(folder)
    yield stamp
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.endswith(MODULES_AND_DATA):
            yield _stamp(entry.path)
        elif entry.is_dir() and entry.name != "__pycache__" and stamp[1] not in above:
            yield from _tree(entry.path, above | {stamp[1]})
