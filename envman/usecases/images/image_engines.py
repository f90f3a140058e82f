"""`envman image engines`: what of this machine can build images, and what is missing for it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from envman.errors import ImageError
from envman.oci.engines import PACKAGES, Engine, Tool
from envman.system.child_process import Finished
from envman.system.processes import Processes


@dataclass(frozen=True)
class EngineState:
    """One engine: whether it works here, the programs that it needs with their versions, what is missing."""

    engine: str
    works: bool
    programs: dict[str, str]
    missing: tuple[str, ...]
    remedy: str


def probe_engines(processes: Processes) -> tuple[EngineState, ...]:
    """Try out what each engine needs; none of it changes anything."""
    tools = (Engine.BUILDAH, Engine.PODMAN, Engine.DOCKER)
    return (_own(processes), *(_tool(engine, processes) for engine in tools))


def _own(processes: Processes) -> EngineState:
    programs, missing = _programs(processes, {"bwrap": "bubblewrap", "skopeo": "skopeo", "umoci": "umoci"})
    remedy = _install(missing)
    if "bwrap" in programs:
        words = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--unshare-pid", "--unshare-ipc", "true"]
        finished = _run(processes, words)
        if finished.exit_code:
            lines = finished.stderr.strip().splitlines() or ["it said nothing"]
            missing["user namespaces"] = ""
            remedy = remedy or f"bwrap can't make a sandbox: {lines[-1]}. Allow user namespaces to this user."
    return EngineState(Engine.ENVMAN.value, not missing, programs, tuple(missing), remedy)


def _tool(engine: Engine, processes: Processes) -> EngineState:
    programs, missing = _programs(processes, {engine.value: PACKAGES[engine], "skopeo": "skopeo"})
    remedy = _install(missing)
    if engine is Engine.DOCKER and engine.value in programs:
        what, why = _docker(processes)
        if what:
            missing[what] = ""
            remedy = remedy or why
    return EngineState(engine.value, not missing, programs, tuple(missing), remedy)


def _docker(processes: Processes) -> tuple[str, str]:
    """What docker lacks besides its program, and the remedy; both empty where it lacks nothing."""
    try:
        tool = Tool(Engine.DOCKER, processes)
    except ImageError as error:
        return "daemon", error.problems[0].remedy
    version = tool.run("version", "--format", "{{.Client.Version}}").stderr.strip()
    major = version.partition(".")[0]
    if major.isdigit() and int(major) >= 23 and tool.run("buildx", "version").exit_code:
        return "BuildKit", "Install BuildKit's client: apt-get install docker-buildx"
    return "", ""


def _programs(processes: Processes, wanted: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the programs that are there, and the packages of those that are not."""
    there = {name: _version(processes, name) for name in wanted if shutil.which(name)}
    return there, {name: package for name, package in wanted.items() if name not in there}


def _version(processes: Processes, program: str) -> str:
    finished = _run(processes, [program, "--version"])
    words = [word.strip(",") for word in finished.stdout.split() if word[:1].isdigit()]
    return words[0] if words and not finished.exit_code else "unknown"


def _install(missing: dict[str, str]) -> str:
    packages = " ".join(package for package in missing.values() if package)
    return f"Install: apt-get install {packages}" if packages else ""


def _run(processes: Processes, words: list[str]) -> Finished:
    return processes.run(words, os.environ, "/", timeout=30)
