"""Kubernetes pods: each bundle's pods get the image of the bundle's environment.

Through Airflow's public policies: `envman launch scheduler` registers this module, and where
envman is installed beside Airflow its `airflow.policy` entry point does. Where envman.toml names no images,
every pod keeps its image, whose entrypoint (`envman container-entrypoint`) finds the environment.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from airflow.policies import hookimpl

from envman.airflow.bundle_interpreter import look
from envman.errors import Problem, ResolveError
from envman.launch.container_entrypoint import MODULE, bundle_of

NAME = "envman-pods"


@hookimpl(tryfirst=True)  # type: ignore[untyped-decorator]  # Airflow is not there when types are checked
def pod_mutation_hook(pod: Any) -> None:
    """Give a worker pod the image of its bundle's environment.

    Raises ResolveError, on which Airflow fails the task, where the bundle has no environment, or its
    environment no image although others have one. Pods of operators are left alone. A hook of the
    deployment's own comes after it: that may move the workload into a file, or change the image.
    """
    if "ENVMAN_ROOT" not in os.environ:  # installed beside Airflow, but not set up
        return
    snapshot = look()
    if not snapshot.table.has("image"):
        return
    for container in pod.spec.containers:
        arguments = container.args or []
        if MODULE not in arguments:
            continue
        environment = snapshot.resolve(bundle_of(_workload(arguments))).environment
        image = snapshot.table.image(environment)
        if image is None:
            remedy = f"Add it: [images] {environment} = ...; then run: envman publish"
            what = "has no image in envman.toml, where other environments have one"
            raise ResolveError(Problem(f"environment '{environment}'", what, remedy))
        container.image = image


def _workload(arguments: list[str]) -> str:
    if "--json-string" not in arguments:
        what = "the pod's workload stands in a file, which can't be read before the pod runs"
        remedy = "Use an image with all environments, whose entrypoint is: envman container-entrypoint"
        raise ResolveError(Problem("", what, remedy))
    return arguments[arguments.index("--json-string") + 1]


def install() -> None:
    """Register the policy with this process's Airflow."""
    from airflow.settings import get_policy_plugin_manager

    manager = get_policy_plugin_manager()
    if not manager.has_plugin(NAME):
        manager.register(sys.modules[__name__], NAME)
