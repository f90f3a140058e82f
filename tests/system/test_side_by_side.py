"""Work on several environments at once: what one of them fails of is what the command ends with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import typer

from envman.cli.output import Reporter
from envman.errors import ExitCode, InterruptedByUserError
from envman.system.children import CHILDREN
from envman.system.events import Event, Stage, silent
from envman.system.side_by_side import side_by_side


def deep() -> None:
    deep()


def missing() -> None:
    raise KeyError("unexpected")


def long() -> None:
    raise ValueError("9" * 100_000)


@pytest.mark.parametrize(
    ("fault", "said"),
    [(missing, "KeyError: 'unexpected' (in "), (deep, "RecursionError: "), (long, "ValueError: 9")],
)
def test_an_error_that_nobody_expects_is_its_environments_alone(fault: Callable[[], None], said: str) -> None:
    """It says what it is and where it comes from, and what to do; the others go on."""
    events: list[Event] = []

    def work(name: str) -> str:
        if name == "env_a":
            fault()
        return name

    with CHILDREN.owned():
        outcomes = side_by_side(["env_a", "env_b", "env_c"], work, 1, events.append)
    assert outcomes.results == ("env_b", "env_c")
    (problem,) = outcomes.errors["env_a"].problems
    assert (outcomes.errors["env_a"].exit_code, problem.where) == (ExitCode.FAILED, "environment 'env_a'")
    assert problem.what.startswith(said)
    assert "side_by_side.py, line " in problem.what
    assert len(problem.what) < 1000
    assert "report it" in problem.remedy
    assert [event.stage for event in events] == [Stage.FAILED]


def test_a_signal_counts_all_the_same() -> None:
    def work(_name: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise KeyError("unexpected")

    def command() -> None:
        with pytest.raises(typer.Exit) as ended, Reporter("build").errors():
            side_by_side(["env_a"], work, 1, silent)
        assert ended.value.exit_code == 128 + signal.SIGTERM

    with pytest.raises(InterruptedByUserError) as error, CHILDREN.owned():
        command()
    assert error.value.exit_code == 128 + signal.SIGTERM
