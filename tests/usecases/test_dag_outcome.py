"""What `envman test --dag` calls a failure: of a whole Dag, and of one task."""

from __future__ import annotations

from envman.usecases.test import DagOutcome, TriedTask


def outcome(state: str, *tasks: tuple[str, int, str]) -> DagOutcome:
    tried = tuple(TriedTask(task, index, ended, 0.1) for task, index, ended in tasks)
    return DagOutcome("bundle_a", "/dags", "env_a", "0123456789ab", "sales", state, tried)


def said(found: DagOutcome, only: str | None = None) -> list[str]:
    return [f"{problem.where}: {problem.what}" for problem in found.problems(only)]


def test_a_task_that_did_not_succeed_is_named() -> None:
    assert said(outcome("success", ("a", -1, "success"), ("b", 1, "skipped"))) == []
    failed = outcome("failed", ("a", -1, "success"), ("b", 1, "failed"), ("c", -1, "upstream_failed"))
    assert said(failed) == ["task 'b[1]': ended as failed", "task 'c': ended as upstream_failed"]
    assert said(outcome("failed", ("a", -1, "success"))) == ["Dag 'sales': its run ended as failed"]


def test_of_one_task_that_task_alone_counts() -> None:
    assert said(outcome("failed", ("a", -1, "success")), "a") == []
    assert said(outcome("success", ("a", -1, "skipped")), "a") == ["task 'a': did not run"]
    assert said(outcome("success"), "a") == ["task 'a': did not run"]
    unexpanded = outcome("failed", ("a", -1, "upstream_failed"))
    assert said(unexpanded, "a") == ["task 'a': ended as upstream_failed"]
    assert "run the whole Dag" in unexpanded.problems("a")[0].remedy
