"""Pods as values: what the API server makes of a request's, and what it answers with."""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

Pod = dict[str, Any]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
}


class ApiError(Exception):
    """An answer that is no success: HTTP's status, and a message; `reason` as Kubernetes calls it."""

    def __init__(self, code: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.reason = code, message, reason or REASONS[code]

    def status(self) -> dict[str, Any]:
        """The `Status` that clients get."""
        about = {"status": "Failure", "message": self.message, "reason": self.reason, "code": self.code}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}} | about


def now() -> str:
    """This moment, in Kubernetes' format (RFC 3339, whole seconds)."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def admitted(body: Pod, namespace: str) -> Pod:
    """A pod as it is stored when it is created: checked, and with defaults; raises ApiError."""
    pod = copy.deepcopy(body)
    pod |= {"apiVersion": "v1", "kind": "Pod"}
    metadata, spec = pod.setdefault("metadata", {}), pod.setdefault("spec", {})
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + uuid.uuid4().hex[:5]
    if metadata.setdefault("namespace", namespace) != namespace:
        raise ApiError(400, "the namespace of the provided object does not match the request's")
    if wrong := _wrong(metadata, spec):
        raise ApiError(422, f'Pod "{metadata.get("name", "")}" is invalid: {"; ".join(wrong)}')
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    for container in _containers(spec):
        latest = ":" not in container["image"].rpartition("/")[2] or container["image"].endswith(":latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    pod["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    return pod


def _containers(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _wrong(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    name = metadata.get("name") or ""
    wrong = []
    if not _NAME.fullmatch(name) or len(name) > 253:
        wrong.append(f"metadata.name: Invalid value: {name!r}: a lowercase RFC 1123 subdomain")
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL.fullmatch(value):
            wrong.append(f"metadata.labels: Invalid value: {key}={value!r}")
    for key, value in (metadata.get("annotations") or {}).items():
        if not isinstance(value, str):
            wrong.append(f"metadata.annotations: Invalid value: {key}={value!r}")
    if not spec.get("containers"):
        wrong.append("spec.containers: Required value")
    for container in _containers(spec):
        wrong += [
            f"spec.containers.{key}: Required value" for key in ("name", "image") if not container.get(key)
        ]
    return wrong


def patched(pod: Pod, patch: Pod) -> Pod:
    """A pod after a patch of its metadata; raises ApiError for one of its spec.

    For maps of strings JSON merge patch (RFC 7396) and Kubernetes' strategic one are the same.
    """
    if set(patch) - {"metadata", "kind", "apiVersion"}:
        raise ApiError(422, "pod updates may not change fields of its spec other than its images")
    new = copy.deepcopy(pod)
    for key, value in (patch.get("metadata") or {}).items():
        if key in {"labels", "annotations"}:
            kept = (new["metadata"].get(key) or {}) | (value or {})
            new["metadata"][key] = {name: given for name, given in kept.items() if given is not None}
        elif key not in {"name", "namespace", "uid", "resourceVersion"}:
            raise ApiError(422, f"metadata.{key} is not patched here")
        elif pod["metadata"][key] != value:
            raise ApiError(
                409, "the object has been modified; please apply your changes to the latest version"
            )
    if wrong := _wrong(new["metadata"], new["spec"]):
        raise ApiError(422, f'Pod "{pod["metadata"]["name"]}" is invalid: {"; ".join(wrong)}')
    return new


def partial(pod: Pod) -> Pod:
    """A pod's metadata alone, as clients get it that ask for PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": copy.deepcopy(pod["metadata"]),
    }


def with_status(pod: Pod, phase: str, states: Mapping[str, Mapping[str, Any]]) -> Pod:
    """A pod in a phase, with the state of each container, such as {"base": {"running": {}}}."""
    new = copy.deepcopy(pod)
    images = {one["name"]: one["image"] for one in _containers(pod["spec"])}
    statuses = [
        {
            "name": name,
            "image": images[name],
            "imageID": "",
            "restartCount": 0,
            "ready": "running" in state,
            "state": dict(state),
        }
        for name, state in states.items()
    ]
    new["status"] = {"qosClass": "BestEffort", "phase": phase, "containerStatuses": statuses}
    new["status"] |= {key: pod["status"].get(key) or now() for key in ("startTime",)}
    new["spec"]["nodeName"] = "podman"
    return new


def not_scheduled(pod: Pod, why: str) -> Pod:
    """A pod that no node takes: it stays Pending, and its condition says why."""
    new = copy.deepcopy(pod)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    new["status"] = {"qosClass": "BestEffort", "phase": "Pending", "conditions": [condition]}
    return new
