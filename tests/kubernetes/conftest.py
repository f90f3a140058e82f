"""A cluster with a small image, and the official client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from kubernetes import client, config

from tests.images.own_base import make_base_of
from tests.kubernetes.cluster import Cluster, cluster

SHELL = "registry.company.example/shell:1"
NAMESPACE = "tests"

MakePod = Callable[..., client.V1Pod]


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    make_base_of(folder / "image", [], ["/bin/sh", "/bin/sleep"], SHELL)
    with cluster(folder) as made:
        made.take_image(folder / "image", SHELL)
        yield made


@pytest.fixture
def api(node: Cluster) -> Iterator[client.CoreV1Api]:
    configuration = client.Configuration()
    config.load_kube_config(str(node.kubeconfig), client_configuration=configuration)
    with client.ApiClient(configuration) as one:
        yield client.CoreV1Api(one)


@pytest.fixture
def make(api: client.CoreV1Api) -> MakePod:
    """Create a pod that runs a line of the shell; further arguments are its labels."""

    def make(name: str, line: str = "exit 0", image: str = SHELL, **labels: str) -> client.V1Pod:
        container = client.V1Container(name="base", image=image, command=["/bin/sh", "-c", line])
        spec = client.V1PodSpec(restart_policy="Never", containers=[container])
        metadata = client.V1ObjectMeta(name=name, labels=labels)
        return api.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=metadata, spec=spec))

    return make
