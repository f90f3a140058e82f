"""The cluster of a test: its API, its node, its images, and a kubeconfig for its clients."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.images import machine
from tests.kubernetes.pod_api import PodApi, Request, serve
from tests.kubernetes.pod_history import PodHistory
from tests.kubernetes.pod_node import PodmanNode
from tests.kubernetes.pod_objects import Pod
from tests.waiting import until

NETWORK = '[containers]\nnetns = "host"\n'


class Cluster:
    """One node's cluster on loopback; `kubeconfig` is the file that clients read."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.environ = environ
        self._history = PodHistory()
        self._node = PodmanNode(self._history, folder, environ)
        self._api = PodApi(self._history, self._node)
        token = secrets.token_urlsafe()
        self._server = serve(self._api, token)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(kubeconfig(self.url, token)), encoding="utf-8")
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._history.forget()  # ends the watches
        self._node.end()

    def take_image(self, layout: Path, name: str) -> None:
        """Have an image of an OCI layout on the node."""
        words = ["skopeo", "copy", "--quiet", f"oci:{layout}:{name}", f"containers-storage:{name}"]
        machine.run(words, self.environ)
        self._node.has_image(name)

    def pods(self) -> list[Pod]:
        """All pods that there are."""
        return self._history.all()[0]

    def asked(self, method: str) -> list[Request]:
        """The requests so far, by their method."""
        return [request for request in self._api.asked if request.method == method]

    def delete_pod(self, namespace: str, name: str, **options: str) -> None:
        """Delete a pod as somebody does who asks for no more (kubectl delete pod)."""
        self._api.answer(Request("DELETE", namespace, name, "", options, {}, None))

    def log(self, pod: Pod, container: str = "base") -> str:
        """What a container of a pod has written."""
        return b"".join(self._node.log(pod, container, {})).decode(errors="replace")

    def forget_history(self) -> None:
        """End all watches, and be unable to go on from where they were (410)."""
        self._history.forget()


@dataclass(frozen=True)
class Namespace:
    """One namespace of a cluster: the pods of a deployment's own, whoever else has some there."""

    cluster: Cluster
    name: str

    def pods(self, dag: str = "") -> list[Pod]:
        """The pods that there are, of a Dag where one is named."""
        pods = [pod for pod in self.cluster.pods() if pod["metadata"]["namespace"] == self.name]
        return [pod for pod in pods if not dag or dag_of(pod) == dag]

    def created(self, dag: str = "") -> list[Pod]:
        """The pods that clients have asked for so far, as they asked; of a Dag where one is named."""
        asked = [request for request in self.cluster.asked("POST") if request.namespace == self.name]
        return [request.body for request in asked if not dag or dag_of(request.body) == dag]

    def delete(self, name: str) -> None:
        """Delete a pod (kubectl delete pod)."""
        self.cluster.delete_pod(self.name, name)

    def clear(self) -> None:
        """Kill the pods that are left, and wait until they are gone."""
        for pod in self.pods():
            self.cluster.delete_pod(self.name, pod["metadata"]["name"], gracePeriodSeconds="0")
        until(lambda: not self.pods(), lambda: f"pods do not end: {self.pods()}")


def dag_of(pod: Pod) -> str:
    """The Dag whose task a pod of the KubernetesExecutor runs."""
    return str(pod["metadata"]["annotations"]["dag_id"])


def kubeconfig(url: str, token: str) -> dict[str, Any]:
    """What a client reads to find the cluster (JSON is YAML)."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": url}}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster with storage of its own for podman."""
    with machine.own_disk() as disk, machine.storage(disk) as storage:
        conf = Path(storage["CONTAINERS_CONF"])
        conf.write_text(conf.read_text().replace("[containers]\n", NETWORK), encoding="utf-8")
        made = Cluster(folder, {**os.environ, **storage})
        try:
            yield made
        finally:
            made.close()
            subprocess.run(
                ["podman", "rm", "--all", "--force"], env=made.environ, capture_output=True, check=False
            )
