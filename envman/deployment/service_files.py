"""What starts a deployment's components: systemd units, a Compose file, values of the Helm chart. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from envman.errors import Problem, UsageError

RUN_FOLDER = "/run/envman-airflow"
GRACE = 3600
"""Seconds that a component which waits for its tasks has until it is killed."""

PROBE = {"period": 30, "timeout": 20, "start": 300}
"""Of health checks, in seconds; `start` is what a component has for its first beat."""

_TITLES = {
    "api-server": "Airflow API server",
    "scheduler": "Airflow scheduler",
    "dag-processor": "Airflow Dag processor",
    "triggerer": "Airflow triggerer",
    "worker": "Airflow Celery worker",
    "edge-worker": "Airflow edge worker",
}
COMPONENTS = tuple(_TITLES)
WAITING = ("scheduler", "worker", "edge-worker")
"""Components below which tasks run that are let end."""

_CHART = {
    "api-server": "apiServer",
    "scheduler": "scheduler",
    "dag-processor": "dagProcessor",
    "triggerer": "triggerer",
    "worker": "workers.celery",
}
"""The names of chart 1.20.0 and newer, which has values for Celery's workers apart from those for pods."""


class UnitFormat(str, Enum):
    """What starts the components."""

    SYSTEMD = "systemd"
    COMPOSE = "compose"
    HELM = "helm"


@dataclass(frozen=True)
class WantedUnits:
    """What the files are for.

    `program` is envman's path there, `image` the components' image, `env_file` the file with their
    variables. `has_users` and `has_limits` say whether an environment has a user of its own, or limits.
    """

    components: tuple[str, ...]
    root: str
    program: str
    env_file: str
    image: str = ""
    has_users: bool = False
    has_limits: bool = False


def unit_files(wanted: WantedUnits, how: UnitFormat) -> dict[str, str]:
    """The files by their names; raises UsageError for a component that the format has no place for."""
    if how is UnitFormat.SYSTEMD:
        return {f"airflow-{name}.service": _service(wanted, name) for name in wanted.components}
    if not wanted.image:
        raise UsageError(Problem("--image", f"{how.value} starts components from an image", "Name it."))
    if how is UnitFormat.COMPOSE:
        return {"compose.yaml": _compose(wanted)}
    return {"values.yaml": _helm(wanted)}


def _service(wanted: WantedUnits, name: str) -> str:
    """A unit (systemd.service(5))."""
    runs_bundles = name != "api-server"
    lines = ["[Unit]", f"Description={_TITLES[name]}"]
    lines += ["After=network-online.target", "Wants=network-online.target", "", "[Service]"]
    lines += ["User=airflow", f"EnvironmentFile={_specified(wanted.env_file)}"]
    variables = [_unit_word(f"ENVMAN_ROOT={wanted.root}")]
    variables += [f"ENVMAN_RUN={RUN_FOLDER}"] if runs_bundles else []
    lines.append(f"Environment={' '.join(variables)}")
    lines.append(f"ExecStart={_unit_word(wanted.program)} launch {name}")
    if runs_bundles:
        folder = RUN_FOLDER.rpartition("/")[2]
        lines += [f"RuntimeDirectory={folder}", "RuntimeDirectoryMode=0700"]
        lines += ["RuntimeDirectoryPreserve=yes", "KillMode=mixed"]
    if name == "edge-worker":
        lines.append("KillSignal=SIGINT")
    if name in WAITING:
        lines.append(f"TimeoutStopSec={GRACE}")
    if wanted.has_limits and runs_bundles:
        lines.append("Delegate=yes")
    if wanted.has_users and runs_bundles:
        lines.append("AmbientCapabilities=CAP_SETUID CAP_SETGID")
    lines += ["Restart=always", f"ReadOnlyPaths={_unit_word(wanted.root)}"]
    lines += ["", "[Install]", "WantedBy=multi-user.target"]
    return "".join(f"{line}\n" for line in lines)


def _specified(text: str) -> str:
    """Text of a unit in which `%` is itself."""
    return text.replace("%", "%%")


def _unit_word(text: str) -> str:
    """A word of a unit, quoted where it has to be. Nothing of these is an argument: `$` is itself."""
    text = _specified(text)
    return text if shlex.quote(text) == text else json.dumps(text, ensure_ascii=False)


def _compose(wanted: WantedUnits) -> str:
    services = {name: _compose_service(wanted, name) for name in wanted.components}
    return _yaml({"services": services}).replace("$", "$$")  # else Compose puts variables in its place


def _compose_service(wanted: WantedUnits, name: str) -> dict[str, object]:
    service: dict[str, object] = {
        "image": wanted.image,
        "entrypoint": [wanted.program, "launch"],
        "command": [name],
        "env_file": wanted.env_file,
        "environment": {"ENVMAN_ROOT": wanted.root},
        "init": True,
        "restart": "always",
    }
    if name == "api-server":
        return {**service, "ports": ["8080:8080"]}
    if wanted.has_users:
        service["user"] = "0:0"
    if name == "edge-worker":
        service["stop_signal"] = "SIGINT"
    if name in WAITING:
        service["stop_grace_period"] = f"{GRACE}s"
    service["healthcheck"] = {
        "test": ["CMD", wanted.program, "launch", name, "--health"],
        "interval": f"{PROBE['period']}s",
        "timeout": f"{PROBE['timeout']}s",
        "start_period": f"{PROBE['start']}s",
    }
    return service


def _helm(wanted: WantedUnits) -> str:
    missing = [name for name in wanted.components if name not in _CHART]
    if missing:
        what = f"the official chart has no {', '.join(missing)}"
        raise UsageError(Problem("--component", what, "Leave it out, and write a Deployment for it."))
    repository, _, tag = wanted.image.rpartition(":")
    if not repository or "/" in tag:
        repository, tag = wanted.image, "latest"
    values: dict[str, object] = {
        "images": {"airflow": {"repository": repository, "tag": tag}},
        "env": [{"name": "ENVMAN_ROOT", "value": wanted.root}],
    }
    for name in wanted.components:
        above, _, below = _CHART[name].partition(".")
        component = _helm_component(wanted, name)
        values[above] = {below: component} if below else component
    return _yaml(values)


def _helm_component(wanted: WantedUnits, name: str) -> dict[str, object]:
    program = shlex.quote(wanted.program)
    component: dict[str, object] = {"enabled": True} if name in {"dag-processor", "triggerer"} else {}
    component["args"] = ["bash", "-c", f"exec {program} launch {name}"]
    if name == "api-server":
        return component
    if wanted.has_users:
        component["securityContexts"] = {"pod": {"runAsUser": 0}}
    if name in WAITING:
        component["terminationGracePeriodSeconds"] = GRACE
    component["livenessProbe"] = {
        "command": [wanted.program, "launch", name, "--health"],
        "initialDelaySeconds": PROBE["start"],
        "periodSeconds": PROBE["period"],
        "timeoutSeconds": PROBE["timeout"],
    }
    return component


def _yaml(value: Mapping[str, object], depth: int = 0) -> str:
    """A mapping as block YAML whose scalars and lists are JSON, which YAML 1.2 holds."""
    lines = []
    for key, item in value.items():
        begin = f"{'  ' * depth}{key}:"
        if isinstance(item, Mapping):
            lines.append(f"{begin}\n{_yaml(item, depth + 1)}")
        else:
            lines.append(f"{begin} {json.dumps(item, ensure_ascii=False)}\n")
    return "".join(lines)
