"""Airflow's plugins are loaded before the first fork, or by each workload where forks can't share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.inside.test_shared_modules import SOCKET, THREAD
from tests.stand_in import ForkServer, subreaper

Starting = Callable[[Mapping[str, str]], ForkServer]

LOADS = "loaded = []\ndef _get_plugins():\n    import {module}\n    loaded.append(True)\n"
MANAGERS = ("airflow.plugins_manager", "airflow.sdk.plugins_manager")
ENTRY_POINTS = "[airflow.plugins]\nfine = fine:Plugin\nbad = bad:Plugin\n"
METADATA = "Metadata-Version: 2.1\nName: team-plugins\nVersion: 1.0\n"
WHO = "import sys; tell([name in sys.modules for name in ('fine', 'bad')])"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starting]:
    made: list[ForkServer] = []

    def starting(modules: Mapping[str, str]) -> ForkServer:
        info = tmp_path / "modules/team_plugins-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(METADATA, encoding="utf-8")
        (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
        managers = dict.fromkeys(MANAGERS, LOADS.format(module="fine, bad"))
        made.append(ForkServer(tmp_path, modules={**managers, "fine": "Plugin = 1", **modules}, preload=[]))
        return made[-1]

    with subreaper():
        yield starting
        for one in made:
            one.end()


def test_each_workload_finds_them_loaded_once(start: Starting) -> None:
    server = start({"bad": "Plugin = 2"})
    for _ in range(2):
        with server.workload() as child:
            code = f"import sys; tell([sys.modules[name].loaded for name in {MANAGERS!r}])"
            assert child.run(code) == [[True], [True]]
    assert server.words() == ""


@pytest.mark.parametrize(
    ("trap", "why"),
    [
        (THREAD, "a plugin starts a thread (heartbeat), which no fork has; import it where it is used"),
        (SOCKET, "a plugin opens a connection, which all forks would share"),
        ("import os\nos._exit(7)", "a plugin ends the interpreter with exit status 7"),
    ],
    ids=["thread", "socket", "exit"],
)
def test_what_no_fork_can_share_is_left_to_the_workloads(start: Starting, trap: str, why: str) -> None:
    """The server itself has no thread and no connection of the plugin's: it was tried in a fork."""
    server = start({"bad": trap})
    with server.workload() as child:
        assert child.run(WHO) == [True, False]
    assert server.words() == f"plugins: each workload loads them: {why}\n"


def test_one_that_can_not_be_imported_is_airflows_to_tell(start: Starting) -> None:
    """Airflow notes the errors of plugins, and goes on; `doctor` and `check` show them."""
    server = start({"bad": "raise RuntimeError('no licence')"})
    with server.workload() as child:
        assert child.run(WHO) == [True, False]
    assert "no licence" in server.words()
