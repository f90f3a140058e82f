"""The pods that there are, each change with a version of its own, and who watches them."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.kubernetes.label_selectors import Matches
from tests.kubernetes.pod_objects import ApiError, Pod

Key = tuple[str, str]
"""A pod's namespace and name."""


@dataclass(frozen=True)
class Change:
    """What one version changed: the pod before, the pod after; None where there was none."""

    version: int
    before: Pod | None
    after: Pod | None


class PodHistory:
    """Pods by namespace and name. A pod that is given out is a copy."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pods: dict[Key, Pod] = {}
        self._changes: list[Change] = []
        self._version = 1000
        self._oldest = 1000
        self._generation = 0

    @property
    def version(self) -> int:
        return self._version

    def all(self, matches: Matches = lambda _: True) -> tuple[list[Pod], int]:
        """The pods that match, by namespace and name, and the version that this is the state of."""
        with self._changed:
            found = [copy.deepcopy(pod) for _, pod in sorted(self._pods.items()) if matches(pod)]
            return found, self._version

    def get(self, key: Key) -> Pod:
        """A pod; raises ApiError."""
        with self._changed:
            return copy.deepcopy(self._existing(key))

    def _existing(self, key: Key) -> Pod:
        if key not in self._pods:
            raise ApiError(404, f'pods "{key[1]}" not found')
        return self._pods[key]

    def create(self, pod: Pod) -> Pod:
        """Add a pod; raises ApiError where its name is taken."""
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        with self._changed:
            if key in self._pods:
                raise ApiError(409, f'pods "{key[1]}" already exists', "AlreadyExists")
            return self._put(key, pod)

    def change(self, key: Key, how: Callable[[Pod], Pod]) -> Pod:
        """Replace a pod by what a function makes of it, with nobody in between; raises ApiError."""
        with self._changed:
            return self._put(key, how(copy.deepcopy(self._existing(key))))

    def _put(self, key: Key, pod: Pod) -> Pod:
        self._version += 1
        pod["metadata"]["resourceVersion"] = str(self._version)
        self._note(Change(self._version, self._pods.get(key), pod))
        self._pods[key] = pod
        return copy.deepcopy(pod)

    def remove(self, key: Key, uid: str) -> None:
        """Take a pod away, if it is still that one."""
        with self._changed:
            pod = self._pods.get(key)
            if pod is None or pod["metadata"]["uid"] != uid:
                return
            self._version += 1
            gone = copy.deepcopy(pod)
            gone["metadata"]["resourceVersion"] = str(self._version)
            del self._pods[key]
            self._note(Change(self._version, gone, None))

    def _note(self, change: Change) -> None:
        self._changes.append(change)
        self._changed.notify_all()

    def forget(self) -> None:
        """Forget all changes so far, and end all watches: who goes on from an older version is too late."""
        with self._changed:
            self._oldest = self._version = self._version + 1
            self._generation += 1
            self._changes.clear()
            self._changed.notify_all()

    def watch(self, since: int, seconds: float, matches: Matches) -> Iterator[dict[str, Any] | None]:
        """Events of the pods that match from a version on, for so many seconds; None where nothing happened.

        From version 0 on, or from none, all pods that there are come first. Raises ApiError (410) where changes
        since that version are no longer known.
        """
        with self._changed:
            generation = self._generation
            if since and since < self._oldest:
                raise ApiError(410, f"too old resource version: {since} ({self._oldest})")
            now = [] if since else [copy.deepcopy(pod) for pod in self._pods.values() if matches(pod)]
            seen = since or self._version
        yield from ({"type": "ADDED", "object": pod} for pod in now)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with self._changed:
                if self._generation != generation:
                    return
                fresh = [change for change in self._changes if change.version > seen]
                if not fresh:
                    self._changed.wait(min(left, 1))
            if not fresh:
                yield None
            for change in fresh:
                seen = change.version
                if event := _event(change, matches):
                    yield event


def _event(change: Change, matches: Matches) -> dict[str, Any] | None:
    """What a watcher is told; a pod that no longer matches is deleted as far as it can see."""
    before = change.before is not None and matches(change.before)
    after = change.after is not None and matches(change.after)
    if after:
        return {"type": "MODIFIED" if before else "ADDED", "object": copy.deepcopy(change.after)}
    if not before:
        return None
    gone = copy.deepcopy(change.before)
    gone["metadata"]["resourceVersion"] = str(change.version)
    return {"type": "DELETED", "object": gone}
