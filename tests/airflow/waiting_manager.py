"""Airflow's real manager with the hooks, while servers are not ready: what it starts, lists and queues.

    python -m tests.airflow.waiting_manager

It prints the names of what holds; it runs in the components' environment, without a database.
"""

from __future__ import annotations

import math
import selectors
import time
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.dag_processing.manager import DagFileInfo

from envman.airflow import bundle_manager
from envman.airflow.bundle_manager import BLOCKED_LIMIT, BundleManager


def file(name: str) -> DagFileInfo:
    return DagFileInfo(rel_path=Path(f"{name}.py"), bundle_name=name[0], bundle_path=Path("/nonexistent"))


class Manager(BundleManager):
    """Starts nothing, and notes what it would have started; `ready` are the bundles with a server."""

    ready: str = ""

    def _create_process(self, dag_file: DagFileInfo) -> Any:
        return SimpleNamespace(is_ready=False)

    def _get_team_names(self, bundle_names: Any) -> dict[str, str | None]:
        return {}

    def running(self) -> list[str]:
        return [one.rel_path.stem for one in self._processors]

    def queued(self) -> list[str]:
        return [one.rel_path.stem for one in self._file_queue]


def manager(queue: str, ready: str, processes: int = 2) -> Manager:
    made = Manager(max_runs=-1)
    made.selector = selectors.DefaultSelector()
    made._parallelism = processes
    made._file_parsing_sort_mode = "alphabetical"
    made._file_queue = OrderedDict.fromkeys(map(file, queue.split()))
    made._bundles_last_refreshed = time.monotonic()
    made.ready = ready
    made.__dict__["_servers"] = SimpleNamespace(is_ready=lambda bundle: bundle in made.ready)
    return made


def starts_what_is_ready_and_keeps_the_others_in_their_order() -> None:
    made = manager("a1 a2 b1 c1", "bc")
    made._start_new_processes()
    assert made.running() == ["b1", "c1"]
    assert made.queued() == ["a1", "a2"]
    assert made._parallelism == 2
    made._start_new_processes()
    assert made.running() == ["b1", "c1"]


def starts_nothing_where_nothing_is_ready() -> None:
    made = manager("a1 a2", "")
    made._start_new_processes()
    assert (made.running(), made.queued(), made._parallelism) == ([], ["a1", "a2"], 2)
    made.ready = "a"
    made._start_new_processes()
    assert made.running() == ["a1", "a2"]


def queues_what_is_due_once_others_wait_too_long() -> None:
    made = manager("a1 a2", "b")
    known = {"a": {file("a1"), file("a2")}, "b": {file("b1")}}
    made._start_new_processes()
    made._refresh_dag_bundles(known)
    assert made.queued() == ["a1", "a2"]
    made._blocked_since -= BLOCKED_LIMIT
    made._refresh_dag_bundles(known)
    assert made.queued() == ["a1", "a2", "b1"]
    made._start_new_processes()
    assert made.running() == ["b1"]
    made._refresh_dag_bundles(known)
    assert made.queued() == ["a1", "a2"]  # not at once again


def queues_nothing_while_all_places_are_taken() -> None:
    made = manager("a1 a2 b1", "ab")
    made._start_new_processes()
    assert len(made.running()) == 2
    assert made._blocked_since == math.inf
    made = manager("a1", "a")
    made._start_new_processes()
    assert made._blocked_since == math.inf


def lists_the_bundles_whose_server_is_there_in_their_order() -> None:
    begun: list[str] = []

    class Listing:
        def __init__(self, bundle: str, folder: str, selector: Any) -> None:
            begun.append(bundle)

        def is_over(self) -> bool:
            return False

    bundle_manager.BundleListing = Listing  # type: ignore[misc,assignment]
    made = manager("", "c")
    for name in "abcd":
        made._find_files_in_bundle(SimpleNamespace(name=name, path=Path("/nonexistent")))
    assert begun == []
    made._refresh_dag_bundles({})
    assert begun == ["c"]
    made.ready = "abd"
    made._num_run = made.max_runs = 1
    assert not made.max_runs_reached()
    assert made.should_skip_refresh(bundle=SimpleNamespace(name="a"))
    made._refresh_dag_bundles({})
    assert begun == ["c", "a", "b", "d"]
    assert not made.max_runs_reached()


def main() -> None:
    for check in (
        starts_what_is_ready_and_keeps_the_others_in_their_order,
        starts_nothing_where_nothing_is_ready,
        queues_what_is_due_once_others_wait_too_long,
        queues_nothing_while_all_places_are_taken,
        lists_the_bundles_whose_server_is_there_in_their_order,
    ):
        check()
        print(check.__name__)


if __name__ == "__main__":
    main()
