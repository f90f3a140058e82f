from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.errors import ExitCode, ResolveError, UsageError
from envman.launch.command import HELP, USAGE, airflow_bundles, main, parse, resolve
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table, render_table
from tests.strategies import law


def refusal(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(list(arguments))
    (problem,) = caught.value.problems
    assert problem.remedy == f"Usage: {USAGE}"
    return problem.what


@pytest.mark.parametrize("kind", ["bundle", "team", "environment"])
@pytest.mark.parametrize("form", [["--{}", "x"], ["--{}=x"]])
def test_a_name_is_given_as_the_next_word_or_behind_an_equals_sign(kind: str, form: list[str]) -> None:
    request = parse([*(word.format(kind) for word in form), "--", "python", "-V"])
    assert (request.kind, request.name, request.command) == (kind, "x", ["python", "-V"])
    assert (request.root, request.explain) == (None, False)


def test_options_come_in_any_order() -> None:
    for arguments in (
        ["--root", "/venv", "--explain", "--team=t", "--", "x"],
        ["--team=t", "--explain", "--root=/venv", "--", "x"],
    ):
        request = parse(arguments)
        assert (request.kind, request.name, request.root, request.explain) == ("team", "t", "/venv", True)


def test_the_command_begins_at_the_first_word_that_is_no_option() -> None:
    assert parse(["--bundle", "b", "python", "--root", "x"]).command == ["python", "--root", "x"]


def test_only_the_first_double_dash_ends_the_options() -> None:
    assert parse(["--bundle", "b", "--", "--", "-x"]).command == ["--", "-x"]


def test_a_value_may_look_like_anything() -> None:
    request = parse(["--bundle", "--odd", "--root=a=b", "--", "x"])
    assert (request.name, request.root) == ("--odd", "a=b")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--", "python"], "which environment?"),
        (["python"], "which environment?"),
        (["--explain", "--", "python"], "which environment?"),
        (["--bundle", "b"], "no command"),
        (["--bundle", "b", "--"], "no command"),
        (["--bundle"], "'--bundle' needs a value"),
        (["--team", "t", "--root"], "'--root' needs a value"),
        (["--bundle", "b", "--team", "t", "--", "x"], "--bundle and --team"),
        (["--team", "a", "--team", "b", "--", "x"], "--team and --team"),
        (["--bundel", "b", "--", "x"], "'--bundel'"),
        (["--bundel=b", "--", "x"], "'--bundel'"),
        (["-b", "b", "--", "x"], "'-b'"),
        (["-", "x"], "'-'"),
        (["--explain=yes", "--bundle", "b", "--", "x"], "'--explain'"),
        (["--=x", "--bundle", "b", "--", "x"], "'--'"),
    ],
)
def test_what_does_not_fit_together_is_a_usage_error(arguments: list[str], word: str) -> None:
    assert word in refusal(*arguments)


@pytest.mark.parametrize("word", ["-xbundle", "-broot", "---bundle", "-bundle", "-_team=t"])
def test_an_option_begins_with_two_dashes(word: str) -> None:
    assert "unknown option" in refusal(word, "b", "--environment", "e", "--", "x")


names = st.text(min_size=1, max_size=8)


@law
@given(
    st.sampled_from(["bundle", "team", "environment"]),
    names,
    st.none() | names,
    st.booleans(),
    st.lists(st.text(max_size=4), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_request_reads_back_as_it_was_written(
    kind: str, name: str, root: str | None, explain: bool, command: list[str], random: object
) -> None:
    options = [[f"--{kind}", name], ["--explain"] if explain else [], [f"--root={root}"] if root else []]
    random.shuffle(options)  # type: ignore[attr-defined]
    request = parse([*(word for words in options for word in words), "--", *command])
    assert (request.kind, request.name, request.root) == (kind, name, root)
    assert (request.explain, request.command) == (explain, command)


def test_help_is_shown_on_demand_and_without_any_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main(["-h"]) == ExitCode.OK
    assert capsys.readouterr().out == HELP * 2
    assert main([]) == ExitCode.LAUNCH


def test_every_option_is_in_the_help() -> None:
    for option in ("--bundle", "--team", "--environment", "--root", "--explain", "--help"):
        assert f"\n  {option} " in HELP


def test_an_error_is_told_on_standard_error_with_envmans_own_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--bundle", "b"]) == ExitCode.LAUNCH
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("envman exec: there is no command")


def test_a_request_is_answered_from_the_table_and_from_airflows_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variable = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    monkeypatch.setenv(variable, '[{"name": "b", "team_name": "t"}]')
    published = Table(render_table({"a": ("env_a", "")}, {"t": "env_b"}, {"env_c": ((), {})}, None))
    answers = {
        "--bundle=a": "env_a",
        "--bundle=b": "env_b",
        "--team=t": "env_b",
        "--environment=env_c": "env_c",
    }
    for option, environment in answers.items():
        look = Snapshot("/venv", published, airflow_bundles)
        assert resolve(look, parse([option, "--", "x"])).environment == environment
    with pytest.raises(ResolveError, match=variable):
        resolve(look, parse(["--bundle=c", "--", "x"]))
