"""Fork servers start a few at a time, and whoever has one waits for nobody."""

from __future__ import annotations

import contextlib
import importlib
import os
import selectors
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envman.errors import Problem, ResolveError
from tests.airflow.client_side import Component, bare_interpreter
from tests.stand_in import LIMIT, write_modules
from tests.waiting import until

WAITS = """
import os, time
while not os.path.exists({gate!r}):
    time.sleep(0.01)
"""
"""What a server imports that starts slowly: until there is a file."""


class Starts:
    """Starts of a component whose bundle `b_env` has the environment `env`; one that waits is named `slow...`."""

    def __init__(self, component: Component, at_once: int) -> None:
        self.component = component
        self.selector = selectors.DefaultSelector()
        self.module: Any = importlib.import_module("envman.airflow.server_starts")
        self.starts = self.module.ServerStarts(self.selector, at_once, self.find)
        self.looks: list[str] = []

    def find(self, bundle: str) -> Any:
        self.looks.append(bundle)
        _, _, environment = bundle.partition("_")
        if environment == "none":
            raise ResolveError(Problem(bundle, "has no environment", ""))
        slow = environment.startswith("slow")
        preload = (f"waits_{environment}",) if slow else ()
        if slow:
            gate = str(self.gate(environment))
            write_modules(self.component.modules, {preload[0]: WAITS.format(gate=gate)})
        changes: dict[str, Any] = {"environment": environment, "preload": preload}
        if environment == "cold":
            changes["warm"] = False
        return bare_interpreter(self.component.root, self.component.modules, **changes)

    def gate(self, environment: str) -> Path:
        return self.component.root / f"open_{environment}"

    def open(self, environment: str) -> None:
        self.gate(environment).touch()

    def ready(self, *environments: str) -> list[str]:
        """Those whose bundles may begin, asked in this order."""
        return [name for name in environments if self.starts.is_ready(f"b_{name}")]

    def serve(self) -> None:
        """What Airflow's manager does with what is registered in its selector."""
        for key, _ in self.selector.select(LIMIT):
            handle, on_close = key.data
            if not handle(key.fileobj):
                on_close(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]

    def until_ready(self, *environments: str) -> None:
        """Serve until these may begin."""

        def are_ready() -> bool:
            if self.ready(*environments) == [*environments]:
                return True
            self.serve()
            return False

        until(are_ready, f"{environments} are not ready")

    def started(self) -> int:
        """How many servers there are or were."""
        return len([*self.component.run.glob("*.log")])

    def close(self) -> None:
        for key in [*self.selector.get_map().values()]:
            self.selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self.selector.close()


@pytest.fixture
def starts(component: Component) -> Iterator[Starts]:
    made = Starts(component, at_once=2)
    yield made
    made.close()


def test_two_start_at_once_and_the_others_when_it_is_their_turn(starts: Starts) -> None:
    names = ("slow1", "slow2", "env3", "env4")
    for _ in range(3):
        assert starts.ready(*names) == []
    assert starts.started() == 2
    starts.open("slow1")
    starts.until_ready("slow1")
    assert starts.ready(*names[1:]) == []
    assert starts.started() == 3  # env3, which has waited for longer
    starts.until_ready("slow1", "env3")
    assert starts.ready("slow2", "env4") == []
    starts.until_ready("env4")
    assert starts.ready(*names) == ["slow1", "env3", "env4"]
    starts.open("slow2")
    starts.until_ready(*names)
    assert starts.started() == 4


def test_who_has_a_server_goes_ahead_while_others_start(starts: Starts) -> None:
    starts.until_ready("env1")
    assert starts.ready("slow1", "slow2", "env3", "env1") == ["env1"]
    assert starts.started() == 3


def test_bundles_of_one_environment_wait_for_one_start(starts: Starts) -> None:
    def two() -> list[bool]:
        return [starts.starts.is_ready(f"{letter}_slow1") for letter in "bc"]

    assert two() == [False, False]
    assert starts.ready("slow2", "env3") == []  # the two count as one, and there are two of them now
    assert starts.started() == 2
    starts.open("slow1")
    until(lambda: two() == [True, True] or starts.serve(), "both are ready")


def test_those_behind_in_the_queue_cost_no_look(starts: Starts) -> None:
    assert starts.ready("slow1", "slow2", "env3", "env4") == []
    starts.looks.clear()
    for _ in range(10):
        assert starts.ready("slow1", "slow2", "env3", "env4") == []
    assert starts.looks == []


def test_a_bundle_behind_goes_ahead_once_its_environment_has_a_server(starts: Starts) -> None:
    """Its server was started for another bundle, and all places are taken since."""
    assert starts.ready("slow1", "slow2") == []
    assert not starts.starts.is_ready("c_env3")
    starts.open("slow1")
    starts.until_ready("slow1")
    starts.until_ready("env3")
    assert starts.ready("slow4") == []
    assert starts.ready("slow5") == []
    assert starts.starts.is_ready("c_env3")


def test_a_start_that_hangs_keeps_nobody(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A team's import may do so; its workloads go on as they would without turns."""
    monkeypatch.setattr(starts.module, "SLOW_START", 0.0)
    assert starts.ready("slow1", "slow2", "slow3") == []
    assert starts.started() == 3
    assert starts.ready("slow1", "slow2", "slow3") == ["slow1", "slow2", "slow3"]
    monkeypatch.undo()
    starts.until_ready("env4")


def test_a_server_that_cant_start_lets_its_workloads_say_so(starts: Starts) -> None:
    starts.component.break_it()
    starts.until_ready("env1")
    assert starts.ready("slow2", "slow3") == []  # its place is free again
    assert starts.started() == 3


def test_no_server_is_started_where_none_is_wanted_or_none_can_be_had(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert starts.ready("cold", "none") == ["cold", "none"]
    assert starts.started() == 0
    monkeypatch.setenv("ENVMAN_RUN", str(starts.component.root / ("long" * 40)))
    assert starts.ready("env1") == ["env1"]


def test_servers_that_are_there_already_take_nobodys_turn(starts: Starts) -> None:
    """Another component, or this one's launch, has started them; each is asked before it is relied on."""
    for name in ("slow1", "slow2"):
        with contextlib.closing(starts.find(f"b_{name}")) as interpreter:
            importlib.import_module("envman.airflow.server_client").ServerClient(interpreter).start()
    assert starts.ready("slow1", "slow2") == []
    assert starts.ready("env3", "env4") == []
    assert starts.started() == 4
    starts.until_ready("env3", "env4")
    assert starts.ready("slow1", "slow2") == []


def test_a_server_that_has_ended_is_started_again_in_its_turn(starts: Starts) -> None:
    starts.until_ready("env1")
    with contextlib.closing(starts.find("b_env1")) as interpreter:
        server = importlib.import_module("envman.airflow.server_client").ServerClient(interpreter)
        os.kill(starts.component.status(server)["pid"], 9)
    until(lambda: not starts.ready("env1"), "the server has ended")
    starts.until_ready("env1")


def test_what_nobody_asks_for_is_not_started(starts: Starts) -> None:
    starts.until_ready("env1")
    for _ in range(3):
        assert starts.ready("env1") == ["env1"]
    assert starts.started() == 1


def test_there_are_as_many_starts_as_processors(starts: Starts) -> None:
    assert starts.module.starts_at_once() == len(os.sched_getaffinity(0))


def test_who_keeps_a_servers_lock_keeps_nobody_else(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of the components' user can: the loop looks again later, and only then lets it be waited for."""
    now = [time.monotonic()]
    monkeypatch.setattr(starts.module.time, "monotonic", lambda: now[0])
    waited: list[float] = []
    monkeypatch.setattr(starts.component.client, "locked_within", lambda _lock, limit: waited.append(limit))
    assert starts.ready("a", "c") == []
    assert waited == [0, 0]
    assert starts.ready("a", "c") == []
    now[0] += starts.module.SLOW_START
    assert starts.ready("a", "c") == ["a", "c"]  # the workload itself waits, and says who keeps it
    assert set(waited) == {0}
