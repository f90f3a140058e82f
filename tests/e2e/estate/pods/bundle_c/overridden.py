"""Dags whose tasks say what their pods are to be."""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import envman_e2e_c
from airflow.sdk import DAG, task
from kubernetes.client import models as k8s

CONTAINER = k8s.V1Container(name="base", env=[k8s.V1EnvVar(name="E2E_OVERRIDDEN", value="by the task")])
OVERRIDE = k8s.V1Pod(
    metadata=k8s.V1ObjectMeta(labels={"team": "c"}, annotations={"asked-by": "the task"}),
    spec=k8s.V1PodSpec(containers=[CONTAINER]),
)
NEVER_THERE = k8s.V1Pod(
    spec=k8s.V1PodSpec(
        containers=[k8s.V1Container(name="base", image="registry.company.example/never-pushed:1")]
    )
)


def base(**options) -> k8s.V1Pod:
    return k8s.V1Pod(spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base", **options)]))


TOO_LARGE = base(resources=k8s.V1ResourceRequirements(requests={"memory": "4096Gi"}))
UNBOUND = base()
UNBOUND.spec.volumes = [
    k8s.V1Volume(
        name="claimed",
        persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name="nobodys"),
    )
]


def failed(context) -> None:
    print("the callback says: failed")
    note("failure")


def succeeded(context) -> None:
    note("success")


def note(name: str) -> None:
    python = "{}.{}".format(*sys.version_info[:2])
    (Path(os.environ["E2E_NOTES"]) / f"{name}_c").write_text(python)


with DAG("overridden_c", schedule=None, tags=[envman_e2e_c.__name__]):

    @task(executor_config={"pod_override": OVERRIDE}, on_success_callback=succeeded)
    def overridden():
        print("overridden", os.environ["E2E_OVERRIDDEN"])
        python = "{}.{}".format(*sys.version_info[:2])
        database = any("a-database-pass-word" in value for value in os.environ.values())
        return [python, os.environ["E2E_OVERRIDDEN"], sys.prefix, database]

    overridden()

with DAG("never_there_c", schedule=None):

    @task(executor_config={"pod_override": NEVER_THERE})
    def never_starts():
        return [sys.prefix]

    never_starts()

with DAG("unschedulable_c", schedule=None):

    @task(executor_config={"pod_override": TOO_LARGE}, on_failure_callback=failed)
    def too_large():
        return sys.prefix

    @task(executor_config={"pod_override": UNBOUND})
    def unbound():
        return sys.prefix

    too_large()
    unbound()

with DAG("held_c", schedule=None):

    @task(retries=1, retry_delay=timedelta(seconds=1), on_failure_callback=failed)
    def until_told():
        print("the pod holds on")
        note("held")
        while not (Path(os.environ["E2E_NOTES"]) / "go on").exists():
            time.sleep(0.1)
        return "{}.{}".format(*sys.version_info[:2])

    until_told()
