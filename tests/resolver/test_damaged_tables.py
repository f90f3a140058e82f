"""Tables that are not as envman writes them: each is refused, or read as it is written, and none confines less."""

from __future__ import annotations

import zlib
from collections import Counter

import pytest

from envman.errors import StoreError
from envman.resolver.table import FORMAT, KINDS, Table, TableFormatError, render_table, with_first_line
from tests.resolver.mutations import outcomes

REST = "environment\tenv_a\t"


def table(*lines: str) -> Table:
    return Table(with_first_line("\n".join([*sorted([REST, *lines]), ""])), "the table")


def test_thousands_of_damaged_tables_are_refused_or_say_what_is_written() -> None:
    counts = Counter(outcomes(seed=15, count=3000))
    assert min(counts[one] for one in ("refused", "a record is refused", "read")) > 100


@pytest.mark.parametrize(
    "line",
    [
        "sandbox\tenv_a\tseccomp",
        "limits-v2\tenv_a\tmemory=1",
        "Limits\tenv_a\tmemory=1",
        "zoo\t-\t-",
        "user \tenv_a\tteam_a:",
        "a\tb\tc",
        "limit",
        "limits",
        "warm",
        "",
        "\tenv_a\tteam_a:",
    ],
)
def test_a_kind_of_record_that_is_not_known_is_refused(line: str) -> None:
    """A newer envman may mean a confinement by it."""
    with pytest.raises(TableFormatError) as caught:
        table(line, "limits\tenv_a\tpids=20")
    (problem,) = caught.value.problems
    assert problem.where == "the table"
    assert repr(line.partition("\t")[0]) in problem.what
    assert "newer" in problem.remedy or "envman publish" in problem.remedy
    assert isinstance(caught.value, StoreError)


def test_a_table_of_all_kinds_is_read() -> None:
    values = {"bundle": "env_a\t", "environment": "", "trigger": "-", "user": "u:", "limits": "pids=9"}
    values["warm"] = "false"
    values["credentials"] = "k\\tvariable\\tK\\tfile\\t/k"
    made = table(*(f"{kind}\tname\t{values.get(kind, 'value')}" for kind in KINDS))
    assert {kind: made.names(kind) for kind in KINDS} == {
        kind: ["env_a", "name"] if kind == "environment" else ["name"] for kind in KINDS
    }


WRONG = {
    "shared": ("", "/etc", "..", "a b", "../x\ty/x"),
    "limits": (
        *(
            "memory=abc",
            "memory=-1",
            "memory=0",
            "memory=",
            "memory",
            "memory=1.5",
            "memory=1_0",
            "memory=1e9",
        ),
        *("memory=+5", "memory= 5", "memory=9223372036854775808", f"memory={'9' * 5000}", "memory=\u0663"),
        *(
            "cpu=nan",
            "cpu=inf",
            "cpu=-inf",
            "cpu=0",
            "cpu=-0.0",
            "cpu=1e999",
            "cpu=1_0",
            "cpu=\u0663",
            "cpu=",
        ),
        *(
            "pids=2 pids=3",
            "pids=2  cpu=1",
            " pids=2",
            "pids=2 ",
            "disk=1",
            "Memory=1",
            "=1",
            "=",
            "",
            "pids=2,",
        ),
        *("memory=abc pids=2", "pids=2 gpu=1", "pids=2\tcpu=1", "pids=2\u00a0"),
    ),
    "user": (
        "",
        ":",
        ":team_a",
        "team_a",
        "a:b:c",
        "a b:",
        " a:",
        "a:\tb",
        "root:",
        "root:root",
        "0:",
        "00:a",
    ),
    "warm": ("", "true", "False", "no", "0", " false", "false\tfalse"),
    "preload": ("", " ", "a  b", " a", "a ", "a\tb"),
    "server-idle": (
        "",
        "0",
        "-1",
        "+5",
        "1.5",
        "1_0",
        "10m",
        " 600",
        "\u0663",
        "600\t600",
        "9223372036854775808",
    ),
    "pass": ("", " ", "A  B", "A ", "A\tB"),
    "environment": (
        "HOME",
        "-",
        "+",
        "+A",
        "+=x",
        "\t",
        "-A\t",
        "+A=1\t+A=2",
        "+A\0=1",
        "+A=\0",
        "?A",
        " +A=1",
    ),
}
ASKED = {
    "limits": Table.limits,
    "user": Table.user,
    "warm": Table.is_warm,
    "preload": Table.preload,
    "server-idle": Table.server_idle,
    "pass": Table.passed,
    "environment": Table.environment,
    "team": Table.team,
    "image": Table.image,
    "shared": Table.shared,
    "bundle": Table.bundle,
}


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind in WRONG for value in WRONG[kind]])
def test_a_value_that_envman_would_not_write_is_refused(kind: str, value: str) -> None:
    made = table(f"{kind}\tenv_b\t{value}")
    with pytest.raises(TableFormatError) as caught:
        ASKED[kind](made, "env_b")
    (problem,) = caught.value.problems
    assert f"'{kind}' of 'env_b'" in problem.what
    assert "envman publish" in problem.remedy


@pytest.mark.parametrize(
    "value",
    [
        *(value for value in WRONG["limits"] if "memory" in value),
        *("", "pids=5", "cpu=1", "memory=1 memory=2"),
        *(
            "memory=%",
            "memory=0%",
            "memory=101%",
            "memory=-5%",
            "memory=1.5%",
            "memory=5%%",
            "memory=\u0663%",
        ),
    ],
)
def test_a_budget_that_envman_would_not_write_is_refused(value: str) -> None:
    """As no budget at all, it would let a host run out of memory."""
    with pytest.raises(TableFormatError):
        table(f"servers\t-\t{value}").server_memory()


def test_the_budget_of_all_servers_is_found() -> None:
    assert table("servers\t-\tmemory=4294967296").server_memory() == str(4 << 30)
    assert table("servers\t-\tmemory=100%").server_memory() == "100%"
    assert table("environment\tenv_a\t").server_memory() == ""


def test_an_environments_idle_time_is_found() -> None:
    made = table("server-idle\tenv_a\t1800")
    assert (made.server_idle("env_a"), made.server_idle("env_b")) == (1800, 0)


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize(
    "lines", [["{}\tenv_b"], ["{}\tenv_b", "{}\tenv_b\tx"], ["{}\tenv_b\tx", "{}\tenv_b\ty"]]
)
def test_a_record_without_a_value_and_one_that_is_there_twice_are_refused(
    kind: str, lines: list[str]
) -> None:
    made = table(*(line.format(kind) for line in lines))
    with pytest.raises(TableFormatError):
        ASKED[kind](made, "env_b")


@pytest.mark.parametrize(
    "line", ["bundle\tb\tenv_a", "bundle\tb\tenv_a\t\t", "team\tb\tenv_a\tx", "team\tb\t"]
)
def test_a_wrong_number_of_fields_is_refused(line: str) -> None:
    made = table(line)
    with pytest.raises(TableFormatError):
        ASKED[line.partition("\t")[0]](made, "b")


def test_a_trigger_that_says_more_than_it_may_is_refused() -> None:
    with pytest.raises(TableFormatError):
        table("trigger\tairflow.*\tdeny").names("trigger")


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(b"limits\tenv_a\tpids=9\nenvironment\tenv_a\t\n", id="out of their order"),
        pytest.param(b"environment\tenv_a\t\nlimits\tenv_a\tpids=9", id="cut in a line"),
        pytest.param(b"environment\tenv_a\t\n\n", id="an empty line"),
        pytest.param(b"environment\tenv_a\t+A=\xff\n", id="not UTF-8"),
        pytest.param(b"environment\tenv_a\t\nlimits\tenv\\_a\tpids=9\n", id="an escape that is none"),
        pytest.param(b"environment\tenv_a\t\nlimits\tenv_a\\\tpids=9\n", id="a backslash at the end"),
        pytest.param(b"environment\tenv_a\t\r\nlimits\tenv_a\tpids=9\r\n", id="lines as on Windows"),
    ],
)
def test_lines_that_envman_would_not_write_are_refused_whatever_the_checksum(records: bytes) -> None:
    with pytest.raises(TableFormatError):
        Table(f"{FORMAT} {zlib.crc32(records):08x}\n".encode() + records)


def test_what_is_written_passes_all_of_it() -> None:
    odd = {"A": "\\d\t\r\n\\", "B": "", "C": "= \u2028"}
    assert Table(render_table({}, {}, {"env_a": (("X*",), odd)}, None)).environment("env_a") == (["X*"], odd)
