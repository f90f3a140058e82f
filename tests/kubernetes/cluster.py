"""The cluster of a test: its API, its node, its images, and a kubeconfig for its clients."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.images import machine
from tests.kubernetes.pod_api import PodApi, Request, serve
from tests.kubernetes.pod_history import PodHistory
from tests.kubernetes.pod_node import PodmanNode
from tests.kubernetes.pod_objects import Pod

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

    def pods(self) -> list[Pod]:
        """All pods that there are."""
        return self._history.all()[0]

    def asked(self, method: str) -> list[Request]:
        """The requests so far, by their method."""
        return [request for request in self._api.asked if request.method == method]

    def created(self) -> list[dict[str, Any]]:
        """The pods that clients have asked for so far, as they asked."""
        return [request.body for request in self.asked("POST")]

    def delete_pod(self, namespace: str, name: str) -> None:
        """Delete a pod as somebody does who asks for no more (kubectl delete pod)."""
        self._api.answer(Request("DELETE", namespace, name, "", {}, {}, None))

    def log(self, pod: Pod, container: str = "base") -> str:
        """What a container of a pod has written."""
        return b"".join(self._node.log(pod, container, {})).decode(errors="replace")

    def forget_history(self) -> None:
        """End all watches, and be unable to go on from where they were (410)."""
        self._history.forget()


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
    with machine.storage() as storage:
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
