"""A plugin of pytest: children of Airflow's supervisor start as envman starts them.

    ENVMAN_PACKAGE=/checkout/envman ENVMAN_ROOT=/venv pytest -p envman_children .../test_supervisor.py

It runs in the component's environment. The classes that the tests start children with are replaced by envman's own
(`TaskInBundle`), so each child is a process of another environment's interpreter: a fork of its fork server, or with
ENVMAN_COLD a new one. A test's own `target` goes along by value (cloudpickle), with what it refers to.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(os.environ["ENVMAN_PACKAGE"])
BUNDLE = "anything"
"""That of upstream's tests, where a child has none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Replace the classes in the test modules, once these are imported."""
    make_envman_importable()
    import cloudpickle
    import task_sdk
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess, _subprocess_main
    from tests_common import pytest_plugin

    from envman.airflow import worker
    from envman.airflow.bundle_interpreter import of_bundle
    from envman.airflow.child_start import BundleProcess, Start

    modules = {item.module for item in items if isinstance(item, pytest.Function)}
    for module in {*modules, pytest_plugin, task_sdk}:
        cloudpickle.register_pickle_by_value(module)

    @contextlib.contextmanager
    def start_of(entry: str, bundle: str, target: Callable[[], None]) -> Iterator[Start]:
        if target is _subprocess_main:
            yield Start(entry, bundle, of_bundle)
            return
        with tempfile.TemporaryFile() as stream:
            cloudpickle.dump(target, stream)
            stream.seek(0)
            yield Start(entry, bundle, of_bundle, stream.fileno())

    class Task(worker.TaskInBundle):
        """A task, or a test's function in its place."""

        @classmethod
        def start(
            cls, *, target: Any = _subprocess_main, bundle_info: Any, start: Any = None, **fields: Any
        ) -> Any:
            with start_of("task", bundle_info.name, target) as made:
                return super().start(bundle_info=bundle_info, start=start or made, **fields)

    class Watched(BundleProcess):
        """A child that is no task, and leads no group of processes."""

        @classmethod
        def start(cls, *, target: Any = _subprocess_main, **fields: Any) -> Any:
            with start_of("parse", BUNDLE, target) as made:
                return super().start(start=made, **fields)

    worker.install()
    worker.TaskInBundle = Task
    for module in modules:
        module.ActivitySubprocess = Task
        if getattr(module, "WatchedSubprocess", None) is WatchedSubprocess:
            module.WatchedSubprocess = Watched


def make_envman_importable() -> None:
    """As a component does it."""
    spec = importlib.util.spec_from_file_location("component", PACKAGE / "airflow/component.py")
    assert spec is not None
    assert spec.loader is not None
    component = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(component)
    component.make_envman_importable()
