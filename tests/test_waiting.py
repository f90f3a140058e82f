"""No test sleeps in order to be at a certain moment: only `tests.waiting` sleeps, and programs that play a part."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.waiting import until

TESTS = Path(__file__).parent
WAITER = "waiting.py"
PROGRAMS = "e2e/estate"
"""Dags, which Airflow runs in interpreters that don't have this package."""

SLEEPERS = {
    "confine/test_cgroups.py": "children of a fork bomb; a neighbour",
    "confine/test_quarantine.py": "what a check leaves running",
    "confine/test_step.py": "processes of a user, for its limit",
    "inside/test_fork_server.py": "a family of processes that is ended",
    "airflow/test_child_start.py": "workloads that are ended",
    "e2e/conftest.py": "triggers: one that waits, one that blocks its runner",
    "e2e/test_chaos.py": "a file whose parse is long enough to be killed",
    "airflow/test_triggerer.py": "a round without a runner to wait for",
    "e2e/test_check.py": "files that hang",
    "e2e/test_dag_processor.py": "files that hang",
    "e2e/test_triggerer.py": "a task that is later than its deadline",
    "launch/test_credential_reading.py": "commands that hang",
    "integration/test_build.py": "programs that live in a generation",
    "inside/test_trial.py": "a fork that never ends",
    "airflow/test_lying_servers.py": "processes that are named, a server that never leaves",
    "e2e/test_door.py": "a parse that goes on after what it has sent",
    "integration/test_bisect.py": "a command that is ended",
    "integration/test_blocked.py": "checks and interpreters that are ended",
    "integration/test_edits.py": "a check that is ended",
    "integration/test_exec.py": "a program that gets signals",
    "integration/test_preload.py": "modules that take long to import",
    "machine/test_limits.py": "children of a fork bomb",
    "machine/test_units.py": "a task that goes on until it may end",
    "airflow/test_server_budget.py": "a server that starts slowly",
    "airflow/test_server_starts.py": "servers that start slowly",
    "system/test_children.py": "children that are ended",
    "airflow/test_component.py": "a fork server's interpreter",
    "e2e/added_bundles.py": "a task that waits for its bundle's next version",
    "e2e/test_aws.py": "a task that is later than its deadline",
    "e2e/test_executors.py": "a task that is later than its deadline",
    "kubernetes/conftest.py": "pods that run until they are ended",
    "kubernetes/test_api.py": "pods that run until they are ended",
}
"""Files that hold programs, as text, that play something slow or endless; and what they play."""


def trees() -> dict[str, ast.AST]:
    """The tests' code that has the word, by the path of its file."""
    paths = [path for path in sorted(TESTS.rglob("*.py")) if not path.is_relative_to(TESTS / PROGRAMS)]
    texts = {str(path.relative_to(TESTS)): path.read_text(encoding="utf-8") for path in paths}
    return {path: ast.parse(text) for path, text in texts.items() if "sleep" in text}


def calls(tree: ast.AST) -> list[int]:
    """The lines on which the code itself names a sleep, whichever module's."""
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "sleep"]
    taken = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and any(name.name == "sleep" for name in node.names)
    ]
    return [node.lineno for node in (*named, *taken)]


def speaks_of_it(tree: ast.AST) -> bool:
    """Whether a program in a string sleeps."""
    return any(
        isinstance(node, ast.Constant) and isinstance(node.value, str) and "sleep" in node.value
        for node in ast.walk(tree)
    )


def test_only_the_waiter_sleeps() -> None:
    found = {path: lines for path, tree in trees().items() if (lines := calls(tree))}
    assert list(found) == [WAITER]
    assert len(found[WAITER]) == 1


def test_programs_that_sleep_are_listed_with_their_part() -> None:
    own = {WAITER, Path(__file__).name}
    found = {path for path, tree in trees().items() if speaks_of_it(tree)}
    assert found - own == set(SLEEPERS)


@pytest.mark.parametrize(
    "code", ["import time\ntime.sleep(1)\n", "from time import sleep\n", "import asyncio as a\na.sleep(1)\n"]
)
def test_a_sleep_is_found(code: str) -> None:
    assert calls(ast.parse(code))
    assert not speaks_of_it(ast.parse(code))
    assert speaks_of_it(ast.parse(f"CODE = {code!r}"))


def test_a_condition_that_comes_is_given() -> None:
    answers = iter([0, "", None, "here"])
    assert until(lambda: next(answers), "it does not come") == "here"


def test_a_condition_that_does_not_come_is_told() -> None:
    with pytest.raises(AssertionError, match=r"after 0\.01 s nobody is there"):
        until(lambda: False, lambda: "nobody is there", 0.01)
