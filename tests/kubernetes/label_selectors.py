"""Label and field selectors of Kubernetes' API, as https://kubernetes.io/docs/concepts/overview/working-with-objects has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Pod = dict[str, Any]
Matches = Callable[[Pod], bool]

_SET = re.compile(r"(?P<key>\S+)\s+(?P<how>in|notin)\s+\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<key>[^!=\s]+)\s*(?P<how>!=|==?)\s*(?P<value>\S*)")
_EXISTS = re.compile(r"(?P<how>!?)\s*(?P<key>[^!=\s]+)")
_COMMA = re.compile(r",(?![^(]*\))")

FIELDS = ("metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy", "status.phase")
"""Fields of pods that can be selected by."""


def labels_match(selector: str) -> Matches:
    """Whether a pod's labels fulfil all of a selector's requirements; raises ValueError for no selector."""
    requirements = [_of_labels(one.strip()) for one in _COMMA.split(selector) if one.strip()]
    return lambda pod: all(holds(pod["metadata"].get("labels") or {}) for holds in requirements)


def _of_labels(text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.fullmatch(text):
        key, values = found["key"], {one.strip() for one in found["values"].split(",")}
        if found["how"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.fullmatch(text):
        key, value = found["key"], found["value"]
        if found["how"] == "!=":  # an object without the label matches, too
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(text):
        key, wanted = found["key"], not found["how"]
        return lambda labels: (key in labels) is wanted
    raise ValueError(f"unable to parse requirement: {text}")


def fields_match(selector: str) -> Matches:
    """Whether a pod's fields have these values; raises ValueError for a field that can't be selected by."""
    requirements = []
    for text in selector.split(","):
        if not text.strip():
            continue
        found = _EQUAL.fullmatch(text.strip())
        if found is None or found["key"] not in FIELDS:
            raise ValueError(f"field label not supported: {text}")
        requirements.append((found["key"].split("."), found["value"], found["how"] != "!="))

    def match(pod: Pod) -> bool:
        return all((_field(pod, path) == value) is equal for path, value, equal in requirements)

    return match


def _field(pod: Pod, path: list[str]) -> str:
    value: Any = pod
    for name in path:
        value = (value or {}).get(name)
    return str(value or "")
