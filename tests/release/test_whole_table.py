"""Every record of a table is read before it is published: those of each kind."""

from __future__ import annotations

import pytest

from envman.errors import ImageError
from envman.release.whole_table import READERS, check_records
from envman.resolver.table import KINDS, Table, TableFormatError, with_first_line

WRONG = {
    "bundle": "bundle_a\tenv_a",
    "bundle-queue": "bundle_a\t",
    "components": "-\t",
    "credentials": "env_a\tx",
    "default": "-\t",
    "environment": "env_a\t*x",
    "image": "env_a\t",
    "limits": "env_a\tmemory=abc",
    "pass": "env_a\tX  Y",
    "preload": "env_a\tx  y",
    "server-idle": "env_a\tnever",
    "servers": "-\tmemory=200%",
    "shared": "bundle_a\t../my-common",
    "team": "team_a\t",
    "team-queue": "team_a\t",
    "trigger": "airflow.*\tyes",
    "user": "env_a\troot:root",
    "warm": "env_a\tno",
}
"""A record of each kind that envman would not have written."""


def table(*records: str) -> Table:
    return Table(with_first_line("".join(f"{one}\n" for one in sorted(records))))


def test_there_is_a_reader_for_each_kind() -> None:
    assert READERS.keys() == KINDS.keys()
    assert WRONG.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_says_nothing_known_is_refused(kind: str) -> None:
    with pytest.raises(TableFormatError, match=f"'{kind}' of '"):
        check_records(table(f"{kind}\t{WRONG[kind]}"), [], "x")


@pytest.mark.parametrize("kind", ["components", "default", "servers"])
def test_a_record_that_no_launch_would_read_is_refused(kind: str) -> None:
    value = "memory=25%" if kind == "servers" else "env_a"
    check_records(table(f"{kind}\t-\t{value}"), [], "x")
    with pytest.raises(TableFormatError, match=f"'{kind}' of 'x'"):
        check_records(table(f"{kind}\tx\t{value}"), [], "x")


def test_a_table_knows_the_environments_of_its_release() -> None:
    check_records(table("environment\tenv_a\t"), ["env_a"], "x")
    with pytest.raises(ImageError, match="does not know these environments of it: env_b"):
        check_records(table("environment\tenv_a\t"), ["env_a", "env_b"], "x")
