"""Figures of fork servers: sums over process trees, shares of a processor, the total."""

from __future__ import annotations

from dataclasses import replace

from envman.servers.figures import (
    ProcessTable,
    ServerRow,
    Status,
    Usage,
    Workload,
    below,
    budget_of,
    by_environment,
    by_parent,
    percent,
    server_row,
    total,
)

PARENTS = {10: 1, 11: 10, 12: 11, 13: 10, 20: 1}
STATUS = Status(
    "/run/a.sock", "env_a", "4f1d5ab06a92", "/venv", 10, 1000.0, ("numpy",), 4096, 7, 3, 1, 12.54, 600.0,
    (Workload(11, "task", "bundle_a", 1002.04), Workload(13, "parse", "bundle_a", 1003.5)),
)  # fmt: skip


def test_a_tree_is_a_process_and_all_that_descend_from_it() -> None:
    assert sorted(below(by_parent(PARENTS), 10)) == [10, 11, 12, 13]
    assert below(by_parent(PARENTS), 12) == [12]
    assert below(by_parent({5: 5}), 5) == [5]


def test_a_share_of_a_processor_needs_two_looks() -> None:
    assert percent(None, (10.0, 1.0)) is None
    assert percent((10.0, 1.0), (10.0, 1.0)) is None
    assert percent((10.0, 1.0), (12.0, 4.0)) == 150.0
    assert percent((10.0, 4.0), (12.0, 1.0)) == 0.0  # a child ended that nobody waited for


def test_a_row_holds_the_server_with_its_children_and_each_child_with_what_it_started() -> None:
    usage = {10: Usage(100, 60, 1.0), 11: Usage(40, 10, 2.0), 12: Usage(30, 5, 0.5)}  # 13 has just ended
    row = server_row(STATUS, ProcessTable(PARENTS, usage), 12.5, 1005.0)
    assert (row.rss, row.pss, row.cpu) == (170, 75, 12.5)
    assert (row.idle, row.idle_limit) == (12.5, 600.0)
    first, second = row.children
    assert (first.pid, first.kind, first.seconds, first.rss, first.pss) == (11, "task", 3.0, 70, 15)
    assert (second.seconds, second.rss) == (1.5, 0)


def test_one_process_without_its_shared_part_makes_the_sum_unknown() -> None:
    usage = {10: Usage(100, None, 1.0), 11: Usage(40, 10, 2.0)}
    row = server_row(STATUS, ProcessTable(PARENTS, usage), None, 1005.0)
    assert (row.rss, row.pss) == (140, None)
    assert total([row]).pss is None
    assert total([row]).rss == 140


def test_the_total_is_of_those_that_answer() -> None:
    one = ServerRow("/a", "env_a", cpu=10.04, rss=10, pss=5, workloads=3, last_minute=2, crashes=1)
    other = replace(one, socket="/b", environment="env_b", cpu=20.02)
    silent = ServerRow("/c", problem="does not answer")
    found = total([one, other, silent])
    assert (found.servers, found.cpu, found.rss, found.pss) == (2, 30.1, 20, 10)
    assert (found.workloads, found.last_minute, found.crashes) == (6, 4, 2)
    assert (found.own, found.budget) == (0, None)
    assert total([replace(one, own=3), replace(other, own=4), silent], 9).own == 7
    assert total([one], 9).budget == 9
    assert total([]).pss == 0
    assert total([silent]).cpu is None


def test_the_budget_is_what_the_youngest_server_knows() -> None:
    older, unlimited = replace(STATUS, started=1.0, budget=1), replace(STATUS, started=2000.0, budget=0)
    assert budget_of([older, STATUS]) == budget_of([STATUS, older]) == 4096
    assert budget_of([older, STATUS, unlimited]) is None
    assert budget_of([]) is None


def test_a_servers_own_memory_is_not_its_childrens() -> None:
    usage = {10: Usage(100, 60, 1.0, 7), 11: Usage(40, 10, 2.0, 5)}
    row = server_row(STATUS, ProcessTable(PARENTS, usage), None, 1004.0)
    assert (row.rss, row.own) == (140, 7)


def test_rows_stand_by_environment_and_those_without_a_name_last() -> None:
    names = [("/3", None, None), ("/2", "env_b", 1.0), ("/1", "env_a", 9.0), ("/0", "env_a", 3.0)]
    rows = [ServerRow(socket, name, started=started) for socket, name, started in names]
    assert [row.socket for row in by_environment(rows)] == ["/0", "/1", "/2", "/3"]
