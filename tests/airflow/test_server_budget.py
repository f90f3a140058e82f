"""Fork servers have so much memory together: of the idle ones those end that were used least lately."""

from __future__ import annotations

import importlib
import json
import os
import socket
import textwrap
from pathlib import Path
from typing import Any

import pytest

from envman.inside.protocol import END
from tests.airflow.client_side import Component, reap, server_of
from tests.stand_in import LIMIT, write_modules
from tests.waiting import until

ENVIRONMENTS = ("env_1", "env_2", "env_3")
LAST_WORDS = "ended: others need its memory"


@pytest.fixture
def budget(component: Component) -> Any:
    return importlib.import_module("envman.airflow.server_budget")


def idle_servers(component: Component, *environments: str) -> dict[str, Any]:
    """Servers that have had a workload, the first one the longest ago, and have none now; by environment."""
    servers = {}
    for number, name in enumerate(environments):
        servers[name] = component.server(environment=name)
        child, _ = component.fork(servers[name], code="pass")
        assert child.wait(LIMIT) == 0
        os.utime(component.file(servers[name], "lock"), (number, number))
    for server in servers.values():
        wait_until_idle(component, server)
    return servers


def wait_until_idle(component: Component, server: Any) -> None:
    """Until a server has let go of its child."""
    budget: Any = importlib.import_module("envman.airflow.server_budget")
    until(lambda: not listening(component, budget)[server.key].is_busy, "the child stays")


def listening(component: Component, budget: Any) -> dict[str, Any]:
    """The servers that listen, by their names."""
    return {Path(one.path).stem: one for one in budget._listening(component.run)}


def wait_for_end(component: Component, server: Any) -> None:
    until(lambda: server.last_words() == LAST_WORDS, "it goes on")
    until(lambda: not alive({"it": server}), "it still listens")


def alive(servers: dict[str, Any]) -> list[str]:
    """Those that answer."""
    found = []
    for name, server in servers.items():
        if connection := server.listening():
            connection.close()
            found.append(name)
    return found


def own_memory(component: Component, budget: Any, servers: dict[str, Any]) -> list[int]:
    seen = listening(component, budget)
    return [seen[server.key].memory for server in servers.values()]


@pytest.mark.parametrize("oldest", ENVIRONMENTS)
def test_the_one_that_was_used_least_lately_ends(component: Component, budget: Any, oldest: str) -> None:
    servers = idle_servers(component, *ENVIRONMENTS)
    os.utime(component.file(servers[oldest], "lock"), (-1, -1))
    sizes = own_memory(component, budget, servers)
    budget.make_room(str(component.run), sum(sizes) + min(sizes) // 2)
    wait_for_end(component, servers[oldest])
    assert alive(servers) == [name for name in ENVIRONMENTS if name != oldest]


def test_nothing_ends_while_one_more_fits(component: Component, budget: Any) -> None:
    servers = idle_servers(component, *ENVIRONMENTS)
    sizes = own_memory(component, budget, servers)
    assert min(sizes) > 1 << 20
    budget.make_room(str(component.run), sum(sizes) + 2 * max(sizes))
    for server in servers.values():
        component.status(server)  # which it answers after whatever it was told before
    assert alive(servers) == [*ENVIRONMENTS]


def test_a_start_ends_all_that_are_idle_where_the_budget_is_small(component: Component) -> None:
    servers = idle_servers(component, *ENVIRONMENTS)
    child, _ = component.fork(component.server(environment="env_4", server_memory="1"), code="pass")
    assert child.wait(LIMIT) == 0
    for server in servers.values():
        wait_for_end(component, server)
        assert not component.file(server, "failures").exists()
    child, _ = component.fork(servers["env_1"], code="pass")  # and comes back, as one that never failed
    assert child.wait(LIMIT) == 0


def test_one_that_has_a_workload_never_ends(component: Component) -> None:
    servers = idle_servers(component, "env_1", "env_2")
    busy, requests = component.fork(servers["env_1"], code="tell(heard())")
    child, _ = component.fork(component.server(environment="env_3", server_memory="1"), code="pass")
    assert child.wait(LIMIT) == 0
    wait_for_end(component, servers["env_2"])
    requests.sendall(b'"still there"\n')
    assert json.loads(requests.recv(4096)) == "still there"
    assert busy.wait(LIMIT) == 0
    component.status(servers["env_1"])


def test_a_part_of_the_memory_is_one_of_the_host_or_of_its_cgroup(budget: Any, tmp_path: Path) -> None:
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    (tmp_path / "mountinfo").write_text(f"40 1 0:20 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "cgroup.procs").touch()
    for limit, memory in (("max", host), (f"{1 << 60}", host), (f"{1 << 20}", 1 << 20)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert budget.bytes_of("25%", str(tmp_path)) == memory // 4
        assert budget.bytes_of("100%", str(tmp_path)) == memory
    assert budget.bytes_of("4096", str(tmp_path)) == 4096
    assert budget.bytes_of("", str(tmp_path)) == 0


def test_servers_tell_a_part_in_bytes(component: Component) -> None:
    server = component.server(server_memory="50%")
    child, _ = component.fork(server, code="pass")
    assert child.wait(LIMIT) == 0
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < component.status(server)["budget"] <= total // 2


def tell(component: Component, server: Any) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(component.file(server, "sock")))
        connection.sendall(json.dumps({"ask": END}).encode() + b"\n")


def test_one_that_is_told_to_end_while_it_works_stays_afterwards(component: Component) -> None:
    """Whoever has told it so was wrong; nobody waits for its memory any more by then."""
    server = component.server()
    child, requests = component.fork(server, code="heard()")
    tell(component, server)
    component.status(server)
    requests.sendall(b"1\n")
    assert child.wait(LIMIT) == 0
    wait_until_idle(component, server)
    assert server.last_words() == ""


def test_a_workload_that_comes_at_that_moment_is_served(component: Component) -> None:
    """By the old one, which goes on then, or by a new one."""
    server = component.server()
    component.fork(server, code="pass")[0].wait(LIMIT)
    for _ in range(20):
        tell(component, server)
        child, _ = component.fork(server, code="pass")
        assert child.wait(LIMIT) == 0
    assert not component.file(server, "failures").exists()


def test_one_that_is_just_starting_is_counted_and_left_alone(component: Component, budget: Any) -> None:
    gate = component.root / "open"
    write_modules(
        component.modules,
        {"waits": f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.01)\n"},
    )
    servers = idle_servers(component, "env_1", "env_2")
    starting = component.server(environment="env_3", preload=("waits",))
    starting.start()
    seen = listening(component, budget)
    assert seen[starting.key].memory == 0
    assert seen[starting.key].is_busy
    first, second = own_memory(component, budget, servers)
    budget.make_room(str(component.run), first + second + 2 * min(first, second) - (1 << 19))
    wait_for_end(component, servers["env_1"])
    assert alive(servers) == ["env_2"]
    gate.touch()
    child, _ = component.fork(starting, code="pass")
    assert child.wait(LIMIT) == 0


def test_what_is_no_server_is_neither_counted_nor_told(component: Component, budget: Any) -> None:
    server = component.server()
    child, _ = component.fork(server, code="pass")
    child.wait(LIMIT)
    wait_until_idle(component, server)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(component.run / "0123456789abcdef.sock"))
        listener.listen()
        (component.run / "0123456789abcdef.lock").touch()
        (component.run / "left.sock").touch()
        other = listening(component, budget)["0123456789abcdef"]
        assert (other.memory, other.is_busy) == (0, True)
        budget.make_room(str(component.run), 1)
        listener.settimeout(LIMIT)
        for _ in range(2):  # the looks; and no further connection comes
            connection, _ = listener.accept()
            assert connection.recv(1) == b""
            connection.close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    wait_for_end(component, server)


def test_a_workload_can_end_no_server(component: Component) -> None:
    server, victim = component.server(), component.server(environment="env_b")
    component.fork(victim, code="pass")[0].wait(LIMIT)
    child, requests = component.fork(server)
    code = f"""
    import contextlib, socket
    connection = socket.socket(socket.AF_UNIX)
    connection.connect({str(component.file(victim, "sock"))!r})
    with contextlib.suppress(OSError):  # it may have hung up by now
        connection.sendall(b'{{"ask": "end"}}\\n')
    tell(connection.recv(4096).decode())
    """
    requests.sendall(json.dumps(textwrap.dedent(code)).encode() + b"\n")
    assert "it is a workload itself" in json.loads(requests.makefile().readline())
    assert child.wait(LIMIT) == 0
    assert component.status(victim)["children"] == []


def test_servers_end_as_they_do_when_they_are_idle(component: Component) -> None:
    server = component.server()
    child, _ = component.fork(server, code="pass")
    process = server_of(child)
    assert child.wait(LIMIT) == 0
    wait_until_idle(component, server)
    tell(component, server)
    assert reap(process) == 0
