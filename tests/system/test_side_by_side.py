"""Work on several environments at once: what one of them fails of is what the command ends with."""

from __future__ import annotations

import os
import signal

import pytest
import typer

from envman.cli.output import Reporter
from envman.errors import InterruptedByUserError
from envman.system.children import CHILDREN
from envman.system.events import silent
from envman.system.side_by_side import side_by_side


def test_an_error_that_nobody_expects_is_raised_as_it_is() -> None:
    def work(_name: str) -> None:
        raise KeyError("unexpected")

    with pytest.raises(KeyError, match="unexpected"), CHILDREN.owned(), Reporter("build").errors():
        side_by_side(["env_a", "env_b"], work, 2, silent)


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
