"""The node: runs each pod of the history with podman, and writes into it what became of it."""

from __future__ import annotations

import copy
import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.kubernetes.pod_history import Key, PodHistory
from tests.kubernetes.pod_objects import ApiError, Pod, not_scheduled, now, with_status

NOT_PULLED = "the node takes no image from a registry"
MEMORY = 64 * 2**30
"""Bytes of the node's memory, as far as pods' requests are concerned."""

ENDING = 60.0
"""Seconds within which a container's end is noticed, on a machine that does much else."""


class PodmanNode:
    """Runs pods, each in a thread of its own; `folder` is for their manifests, `environ` names podman's storage."""

    def __init__(self, history: PodHistory, folder: Path, environ: Mapping[str, str]) -> None:
        self._history = history
        self._folder = folder
        self._environ = dict(environ)
        self._images: set[str] = set()
        self._runs: dict[str, threading.Thread] = {}
        self._threads: list[threading.Thread] = []

    def has_image(self, name: str) -> None:
        """Say that podman's storage has an image by now."""
        self._images.add(name)

    def take(self, pod: Pod) -> None:
        """Run a pod that was just created."""
        thread = threading.Thread(target=self._run, args=(pod,), daemon=True)
        self._runs[pod["metadata"]["uid"]] = thread
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Kill all that runs, and wait for it."""
        self._podman("pod", "rm", "--all", "--force", "--time=0")
        for thread in self._threads:
            thread.join(5)  # a `podman wait` may outlast its container

    def delete(self, pod: Pod, grace: int) -> None:
        """End a pod's containers (SIGTERM, after `grace` seconds SIGKILL) and take it away, in the background."""
        thread = threading.Thread(target=self._delete, args=(pod, grace), daemon=True)
        self._threads.append(thread)
        thread.start()

    def log(self, pod: Pod, container: str, options: Mapping[str, str]) -> Iterator[bytes]:
        """What a container has written; raises ApiError where it has not been started."""
        name = f"{pod['metadata']['name']}-{container}"
        if self._podman("container", "exists", name).returncode:
            what = f'container "{container}" in pod "{pod["metadata"]["name"]}" is waiting to start'
            raise ApiError(400, what)
        words = ["logs"]
        if "tailLines" in options:
            words.append(f"--tail={options['tailLines']}")
        words += ["--follow"] if options.get("follow") == "true" else []
        words += ["--timestamps"] if options.get("timestamps") == "true" else []
        return self._lines([*words, name])

    def _lines(self, words: list[str]) -> Iterator[bytes]:
        with subprocess.Popen(
            ["podman", *words], env=self._environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout
            yield from process.stdout

    def _run(self, pod: Pod) -> None:
        key: Key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if why := unschedulable(pod):
            self._change(pod, lambda current: not_scheduled(current, why))
            return
        containers = [one["name"] for one in pod["spec"]["containers"]]
        waiting = {name: {"waiting": {"reason": "ContainerCreating"}} for name in containers}
        self._tell(pod, "Pending", waiting)
        if missing := self._missing_image(pod):
            name, image = missing
            waiting[name] = {"waiting": {"reason": "ErrImagePull", "message": f"{image}: {NOT_PULLED}"}}
            self._tell(pod, "Pending", waiting)
            waiting[name] = {
                "waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling {image}"}
            }
            self._tell(pod, "Pending", waiting)
            return
        manifest = self._folder / f"{pod['metadata']['uid']}.json"
        manifest.write_text(json.dumps(as_podman_plays(pod)), encoding="utf-8")
        played = self._podman("kube", "play", "--quiet", str(manifest))
        if played.returncode:
            waiting[containers[0]] = {"waiting": {"reason": "CreateContainerError", "message": played.stdout}}
            self._tell(pod, "Pending", waiting)
            return
        started = now()
        self._tell(pod, "Running", {name: {"running": {"startedAt": started}} for name in containers})
        ends = {name: self._end_of(f"{key[1]}-{name}", started) for name in containers}
        failed = any(one["terminated"]["exitCode"] for one in ends.values())
        self._tell(pod, "Failed" if failed else "Succeeded", ends)

    def _missing_image(self, pod: Pod) -> tuple[str, str] | None:
        for container in pod["spec"]["containers"]:
            if container["image"] not in self._images:
                return container["name"], container["image"]
        return None

    def _end_of(self, name: str, started: str) -> dict[str, Any]:
        """How a container ended, once it has; one that was removed is told as killed."""
        waited = self._podman("wait", name)
        words = waited.stdout.split()
        code = int(words[-1]) if waited.returncode == 0 and words else 137
        code = code if code >= 0 else 137
        reason = "Error" if code else "Completed"
        told = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": now()}
        return {"terminated": told}

    def _tell(self, pod: Pod, phase: str, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Write a pod's status, if it is still there."""
        self._change(pod, lambda current: with_status(current, phase, states))

    def _change(self, pod: Pod, how: Callable[[Pod], Pod]) -> None:
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])

        def changed(current: Pod) -> Pod:
            if current["metadata"]["uid"] != pod["metadata"]["uid"]:
                raise ApiError(409, "another pod has the name")
            return how(current)

        try:
            self._history.change(key, changed)
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    def _delete(self, pod: Pod, grace: int) -> None:
        key, name = (pod["metadata"]["namespace"], pod["metadata"]["name"]), pod["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            self._podman("stop", "--ignore", f"--time={grace}", f"{name}-{container['name']}")
        self._runs[pod["metadata"]["uid"]].join(ENDING)  # how its containers ended is told before it goes
        self._podman("pod", "rm", "--ignore", "--force", "--time=0", name)
        self._history.remove(key, pod["metadata"]["uid"])

    def _podman(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *words],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def unschedulable(pod: Pod) -> str:
    """Why no node takes a pod, in the words of Kubernetes' scheduler; empty where the node does."""
    if any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or []):
        return "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    asked = [
        one.get("resources", {}).get("requests", {}).get("memory", "") for one in pod["spec"]["containers"]
    ]
    if sum(int(one.removesuffix("Gi")) * 2**30 for one in asked if one) > MEMORY:
        return "0/1 nodes are available: 1 Insufficient memory."
    return ""


def as_podman_plays(pod: Pod) -> Pod:
    """A pod as podman runs it here: on the machine's own network, with images that are there."""
    played = copy.deepcopy(pod)
    del played["status"]
    kept = {"name": pod["metadata"]["name"], "labels": pod["metadata"].get("labels") or {}}
    played["metadata"] = kept
    played["spec"]["hostNetwork"] = True
    for container in [*played["spec"]["containers"], *(played["spec"].get("initContainers") or [])]:
        container["imagePullPolicy"] = "Never"
    return played
