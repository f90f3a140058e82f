"""How the interpreter of a task is found, by one look; Airflow is a stand-in."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envman.errors import ResolveError
from tests.airflow.client_side import FRESH, LIBRARIES, forget
from tests.airflow.published import Published, opened
from tests.stand_in import MODULES, SUPERVISOR, write_modules

STAND_INS = {
    "airflow.sdk.execution_time.supervisor": f"{SUPERVISOR}\n\nclass ActivitySubprocess(WatchedSubprocess): pass\n",
    "airflow.sdk.execution_time.callback_supervisor": (
        "from airflow.sdk.execution_time.supervisor import WatchedSubprocess\n"
        "class CallbackSubprocess(WatchedSubprocess):\n"
        "    @classmethod\n"
        "    def start(cls, *, id, callback_path, callback_kwargs, new=None, client=None, **more): pass\n"
    ),
    "airflow.sdk.execution_time.coordinator": (
        "class BaseCoordinator: pass\ndef _build_python_coordinator(): return None\n"
        "class CoordinatorManager:\n    def for_queue(self, queue): return f'stock of {queue}'\n"
    ),
    "airflow.serialization.serialized_objects": "class BaseSerialization: pass\n",
    "airflow.configuration": (
        "class conf:\n    routes = {}\n    @classmethod\n    def getjson(cls, section, key, fallback):\n"
        "        return cls.routes.get(f'{section}.{key}', fallback)\n"
    ),
}
NAMES = (*FRESH, "envman.airflow.other_languages", "envman.airflow.worker")


@pytest.fixture
def worker(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    modules = tmp_path / "modules"
    write_modules(modules, {**MODULES, **LIBRARIES, **STAND_INS})
    monkeypatch.syspath_prepend(modules)
    forget(NAMES)
    published.build("env_a", "first")
    published.publish(
        {"bundle_a": ("", ""), "bundle_b": ("env_b", "")}, {}, {"env_a": {}, "env_b": {}}, default="env_a"
    )
    published.configure({"bundle_a": None})
    yield importlib.import_module("envman.airflow.worker")
    forget(NAMES)


def test_the_shared_worker_finds_the_bundles_interpreter_when_it_starts(worker: Any) -> None:
    with opened() as names:
        find = worker.finder("bundle_a")
        assert not {"table", "airflow.cfg"} & {*names}
        interpreter = find("bundle_a")
    interpreter.close()
    assert interpreter.runtime.environment == "env_a"
    assert Counter(names)["table"] == Counter(names)["airflow.cfg"] == 1


def test_a_worker_of_ones_own_decides_by_one_look(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HOME", "env_a")
    with opened() as names:
        assert worker.finder("bundle_a") is None
        counts = Counter(names)
        assert counts["table"] == counts["airflow.cfg"] == 1
        find = worker.finder("bundle_b")
        with pytest.raises(
            ResolveError, match="its environment is 'env_b', this worker is there for 'env_a'"
        ):
            find("bundle_b")
    assert Counter(names)["table"] == 2


def test_a_bundle_with_shared_folders_gets_a_process_that_finds_them(
    worker: Any, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = ("shared", "bundle_a", "../common", "../libs/more")
    published.publish({"bundle_a": ("env_a", "")}, {}, {"env_a": {}}, [shared])
    for home in ("", "env_a"):
        monkeypatch.setattr(worker, "HOME", home)
        interpreter = worker.finder("bundle_a")("bundle_a")
        interpreter.close()
        assert interpreter.shared == ["../common", "../libs/more"]


def test_a_worker_of_ones_own_refuses_what_it_can_not_look_up(
    worker: Any, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task fails with the reason, and the worker goes on."""
    monkeypatch.setattr(worker, "HOME", "env_a")
    with pytest.raises(ResolveError, match="no such bundle"):
        worker.finder("nobody")("nobody")
    (published.root / ".state/table").unlink()
    with pytest.raises(ResolveError, match="no environments are published there"):
        worker.finder("bundle_a")("bundle_a")


ROUTES = {"sdk.coordinators": {"jdk": {}}, "sdk.queue_to_coordinator": {"java": "jdk"}}


def test_a_queue_that_airflow_gives_to_another_runtime_is_refused(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would run without the environment's user, limits and variables, whatever the bundle."""
    languages = importlib.import_module("envman.airflow.other_languages")
    assert languages.warnings() == []
    monkeypatch.setattr(languages.conf, "routes", ROUTES)
    assert worker.refused_task("default") is None
    refusal = str(worker.refused_task("java"))
    assert "[sdk] queue_to_coordinator: 'java'" in refusal
    assert "the coordinator 'jdk' would run this task without the user, limits and variables" in refusal
    (warning,) = languages.warnings()
    assert "[sdk] coordinators: jdk;" in warning
    assert warning.endswith("tasks of these queues fail: java")


@pytest.mark.parametrize("read", [["jdk"], "jdk"])
def test_a_configuration_that_is_no_table_is_an_error(
    worker: Any, read: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    languages = importlib.import_module("envman.airflow.other_languages")
    monkeypatch.setattr(languages.conf, "routes", {"sdk.queue_to_coordinator": read})
    with pytest.raises(ResolveError, match="is no JSON object"):
        worker.refused_task("default")


def test_every_queue_gets_the_bundles_coordinator(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = worker.CoordinatorManager()
    assert isinstance(worker.for_queue(manager, "java"), worker.BundleCoordinator)
    assert worker.for_queue(manager, "java")._stock is None
    monkeypatch.setattr(worker, "HOME", "env_a")
    assert worker.for_queue(manager, "java")._stock() == "stock of java"


def test_a_keyword_of_a_callback_that_no_child_gets_is_an_error(worker: Any) -> None:
    """A newer Airflow's, such as the encoding of 3.4, would change what the callback gets without a word."""
    bundle = type("Bundle", (), {"name": "bundle_a"})()
    with pytest.raises(TypeError, match="no child gets new yet"):
        worker.CallbackInBundle.start(bundle_info=bundle, client=None, id="1", new="a value")
