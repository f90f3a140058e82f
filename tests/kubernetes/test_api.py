"""What Kubernetes' own client gets from the tests' cluster is what it gets from a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException
from kubernetes.dynamic import DynamicClient

from tests.kubernetes.cluster import Cluster, kubeconfig
from tests.kubernetes.conftest import NAMESPACE, MakePod
from tests.waiting import until

METADATA = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}


def names(api: client.CoreV1Api, labels: str, fields: str = "") -> list[str]:
    found = api.list_namespaced_pod(NAMESPACE, label_selector=labels, field_selector=fields)
    return [pod.metadata.name for pod in found.items]


def phase(api: client.CoreV1Api, name: str) -> str:
    return str(api.read_namespaced_pod(name, NAMESPACE).status.phase)


def ended(api: client.CoreV1Api, name: str) -> client.V1Pod:
    until(lambda: phase(api, name) in {"Succeeded", "Failed"}, f"{name} does not end")
    return api.read_namespaced_pod(name, NAMESPACE)


def test_pods_are_selected_by_labels_and_fields(api: client.CoreV1Api, make: MakePod) -> None:
    for name, labels in {"s-a": {"t": "s", "x": "1"}, "s-b": {"t": "s", "x": "2"}, "s-c": {"t": "s"}}.items():
        make(name, **labels)
        ended(api, name)
    assert names(api, "t=s,x=1") == ["s-a"]
    assert names(api, "t=s,x!=1") == ["s-b", "s-c"]
    assert names(api, "t=s,x notin (1,3)") == ["s-b", "s-c"]
    assert names(api, "t==s,x in (1, 2)") == ["s-a", "s-b"]
    assert names(api, "t=s,!x") == ["s-c"]
    assert names(api, "t=s,x") == ["s-a", "s-b"]
    assert names(api, "t=s", "status.phase!=Succeeded") == []
    assert names(api, "t=s", "status.phase=Succeeded,metadata.name=s-b") == ["s-b"]
    with pytest.raises(ApiException) as refused:
        names(api, "t=s", "spec.containers=x")
    assert refused.value.status == 400


def test_a_list_comes_in_pages(api: client.CoreV1Api, make: MakePod) -> None:
    for name in ("p-a", "p-b", "p-c"):
        make(name, t="p")
    first = api.list_namespaced_pod(NAMESPACE, label_selector="t=p", limit=2)
    assert [pod.metadata.name for pod in first.items] == ["p-a", "p-b"]
    assert first.metadata.remaining_item_count == 1
    rest = api.list_namespaced_pod(
        NAMESPACE, label_selector="t=p", limit=2, _continue=first.metadata._continue
    )
    assert [pod.metadata.name for pod in rest.items] == ["p-c"]
    assert rest.metadata._continue is None


def test_a_dynamic_client_gets_metadata_alone(api: client.CoreV1Api, make: MakePod) -> None:
    make("d-a", t="d")
    dynamic = DynamicClient(api.api_client)
    pods = dynamic.resources.get(api_version="v1", kind="Pod")
    listed = dynamic.get(resource=pods, namespace=NAMESPACE, label_selector="t=d", header_params=METADATA)
    (pod,) = listed.items
    assert (pod.kind, pod.metadata.name, pod.spec) == ("PartialObjectMetadata", "d-a", None)


def test_what_is_wrong_is_refused_with_kubernetes_status(
    node: Cluster, api: client.CoreV1Api, make: MakePod, tmp_path: Path
) -> None:
    def code(call: Any, *arguments: Any, **options: Any) -> int:
        with pytest.raises(ApiException) as refused:
            call(*arguments, **options)
        return int(refused.value.status)

    make("w-a")
    assert code(make, "w-a") == 409
    assert code(make, "W_a") == 422
    assert code(make, "w-b", x="not a label") == 422
    assert code(api.read_namespaced_pod, "w-none", NAMESPACE) == 404
    assert code(api.delete_namespaced_pod, "w-none", NAMESPACE) == 404
    assert code(api.list_namespaced_service, NAMESPACE) == 404
    assert code(api.replace_namespaced_pod, "w-a", NAMESPACE, client.V1Pod()) == 405
    spec = {"spec": {"containers": []}}
    assert code(api.patch_namespaced_pod, "w-a", NAMESPACE, spec) == 422
    assert code(api.patch_namespaced_pod, "w-a", NAMESPACE, [{"op": "remove", "path": "/spec"}]) == 415
    wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="another"))
    assert code(api.delete_namespaced_pod, "w-a", NAMESPACE, body=wrong) == 409
    stranger = client.Configuration()
    config.load_kube_config_from_dict(kubeconfig(node.url, "no-token"), client_configuration=stranger)
    with client.ApiClient(stranger) as other:
        assert code(client.CoreV1Api(other).list_namespaced_pod, NAMESPACE) == 401


def events(api: client.CoreV1Api, labels: str, version: str, **options: Any) -> list[tuple[str, str, str]]:
    """Kind, name and phase of each event of one second."""
    told = watch.Watch().stream(
        api.list_namespaced_pod,
        NAMESPACE,
        label_selector=labels,
        resource_version=version,
        timeout_seconds=1,
        **options,
    )
    found = []
    for event in told:
        pod = event["object"] if event["type"] != "BOOKMARK" else None
        found.append((event["type"], pod.metadata.name if pod else "", pod.status.phase if pod else ""))
    return found


def test_a_watch_goes_on_from_a_version(api: client.CoreV1Api, make: MakePod) -> None:
    before = api.list_namespaced_pod(NAMESPACE).metadata.resource_version
    make("v-a", t="v")
    ended(api, "v-a")
    told = [one for one in events(api, "t=v", before) if one[2] != "Pending"]
    assert told == [("MODIFIED", "v-a", "Running"), ("MODIFIED", "v-a", "Succeeded")]
    assert events(api, "t=v", before)[0] == ("ADDED", "v-a", "Pending")
    assert events(api, "t=v", "0") == [("ADDED", "v-a", "Succeeded")]
    after = api.list_namespaced_pod(NAMESPACE).metadata.resource_version
    assert events(api, "t=v", after) == []
    api.patch_namespaced_pod("v-a", NAMESPACE, {"metadata": {"labels": {"t": "another"}}})
    assert events(api, "t=v", after) == [("DELETED", "v-a", "Succeeded")]
    assert events(api, "t=another", after) == [("ADDED", "v-a", "Succeeded")]


def test_a_watch_that_comes_too_late_is_told_so(node: Cluster, api: client.CoreV1Api) -> None:
    version = api.list_namespaced_pod(NAMESPACE).metadata.resource_version
    node.forget_history()
    with pytest.raises(ApiException) as late:
        events(api, "t=v", version)
    assert (late.value.status, "too old resource version" in late.value.reason) == (410, True)


def test_a_watcher_may_have_bookmarks(api: client.CoreV1Api) -> None:
    assert ("BOOKMARK", "", "") in events(api, "t=nobody", "", allow_watch_bookmarks=True)


def test_a_pod_runs_and_ends_as_its_container_does(api: client.CoreV1Api, make: MakePod) -> None:
    make("r-a", "echo one; echo two >&2; exit 3")
    pod = ended(api, "r-a")
    (container,) = pod.status.container_statuses
    assert (pod.status.phase, container.state.terminated.exit_code, container.state.terminated.reason) == (
        "Failed",
        3,
        "Error",
    )
    assert sorted(api.read_namespaced_pod_log("r-a", NAMESPACE).split()) == ["one", "two"]
    assert len(api.read_namespaced_pod_log("r-a", NAMESPACE, tail_lines=1).split()) == 1


def test_a_deleted_pod_gets_a_signal_and_time(api: client.CoreV1Api, make: MakePod) -> None:
    make("g-a", "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.1; done", t="g")
    until(
        lambda: phase(api, "g-a") == "Running" and "ready" in api.read_namespaced_pod_log("g-a", NAMESPACE),
        "it",
    )
    before = api.list_namespaced_pod(NAMESPACE).metadata.resource_version
    gone = api.delete_namespaced_pod("g-a", NAMESPACE, grace_period_seconds=20)
    assert gone.metadata.deletion_timestamp
    until(lambda: names(api, "t=g") == [], "it is still there")
    told = events(api, "t=g", before)
    assert told[0] == ("MODIFIED", "g-a", "Running")
    assert told[-1] == ("DELETED", "g-a", "Failed")


def test_a_pod_whose_image_is_not_there_stays_pending(api: client.CoreV1Api, make: MakePod) -> None:
    before = api.list_namespaced_pod(NAMESPACE).metadata.resource_version
    make("i-a", image="registry.company.example/nothing:1", t="i")

    def reasons() -> list[str]:
        told = watch.Watch().stream(
            api.list_namespaced_pod,
            NAMESPACE,
            label_selector="t=i",
            resource_version=before,
            timeout_seconds=1,
        )
        pods = [event["object"] for event in told]
        return [
            one.status.container_statuses[0].state.waiting.reason
            for one in pods
            if one.status.container_statuses
        ]

    until(lambda: reasons()[1:] == ["ErrImagePull", "ImagePullBackOff"], "it is not told why")
    assert phase(api, "i-a") == "Pending"
