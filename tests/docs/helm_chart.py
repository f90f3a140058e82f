"""What Airflow's official Helm chart makes of values: facts about version 1.22.0, for the values that the docs show.

No package registry has the chart, so its rules stand here as data: which values there are, of which kind, and where
in a worker's pod template or in a component's pod they end up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CHART = "1.22.0"
COMPONENTS = ("scheduler", "dagProcessor", "triggerer", "apiServer")
CELERY = "workers.celery"
VALUES: dict[str, type] = {
    "executor": str,
    "env": list,
    "images.airflow.repository": str,
    "images.airflow.tag": str,
    "images.pod_template.repository": str,
    "images.pod_template.tag": str,
    "workers.kubernetes.command": list,
    "workers.kubernetes.terminationGracePeriodSeconds": int,
    "workers.kubernetes.securityContexts.pod.runAsUser": int,
    "dagProcessor.enabled": bool,
    "triggerer.enabled": bool,
    **{f"{name}.{key}": list for name in (*COMPONENTS, CELERY) for key in ("command", "args")},
    **{
        f"{name}.{key}": kind
        for name in (*COMPONENTS, CELERY)
        for key, kind in {
            "terminationGracePeriodSeconds": int,
            "securityContexts.pod.runAsUser": int,
            "livenessProbe.command": list,
            "livenessProbe.initialDelaySeconds": int,
            "livenessProbe.periodSeconds": int,
            "livenessProbe.timeoutSeconds": int,
        }.items()
    },
}
DEPRECATED = {
    # value: the sections below `workers` that have it instead; `args` and probes since 1.19.0, the others since 1.20.0
    "workers.args": "celery",
    "workers.command": "celery, kubernetes",
    "workers.livenessProbe": "celery",
    "workers.terminationGracePeriodSeconds": "celery, kubernetes",
    "workers.securityContexts": "celery, kubernetes",
}
PASSWORD = "a-database-pass-word"
FIXED = {
    "AIRFLOW_HOME": "/opt/airflow",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql://airflow:{PASSWORD}@127.0.0.1:9/airflow",
}
"""Variables that every pod of the chart gets, a worker's, too; the chart takes their values from its secrets."""


def leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with its dotted path; lists are values."""
    for key, value in values.items():
        path = f"{above}.{key}" if above else key
        if isinstance(value, Mapping):
            yield from leaves(value, path)
        else:
            yield path, value


def wrong(values: Mapping[str, Any]) -> list[str]:
    """What the chart doesn't know of these values, or no longer wants."""
    found = []
    for path, value in leaves(values):
        old = next((one for one in DEPRECATED if f"{path}.".startswith(f"{one}.")), "")
        if old:
            found.append(f"{path} is deprecated: it is in {DEPRECATED[old]}")
        elif path not in VALUES:
            found.append(f"the chart has no {path}")
        elif not isinstance(value, VALUES[path]):
            found.append(f"{path} is no {VALUES[path].__name__}")
    return found


def worker_template(values: Mapping[str, Any]) -> dict[str, Any]:
    """The pod template that the chart gives to the KubernetesExecutor, as far as these values decide it."""
    images = values.get("images", {})
    airflow, own = images.get("airflow", {}), images.get("pod_template", {})
    container = {
        "name": "base",
        "image": f"{own.get('repository') or airflow['repository']}:{own.get('tag') or airflow['tag']}",
        "env": [
            {"name": "AIRFLOW__CORE__EXECUTOR", "value": values["executor"]},
            *({"name": name, "value": value} for name, value in FIXED.items()),
            *values.get("env", []),
        ],
    }
    if command := values.get("workers", {}).get("kubernetes", {}).get("command"):
        container["command"] = command
    security = {"runAsUser": 50000, "fsGroup": 0}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 600, "containers": [container]}
    spec |= {"securityContext": security}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "placeholder-name"}, "spec": spec}
