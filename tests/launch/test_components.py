from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envman.errors import ExitCode, ResolveError, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.components import (
    COMPONENTS,
    HELP,
    OWN_COMPONENTS,
    USAGE,
    _of_launch,
    airflows_python,
    all_queues,
    main,
    parse,
)
from envman.resolver.table import Table, render_table
from tests.strategies import law
from tests.wheels import make_wheel


def refusal(*arguments: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(list(arguments))
    (problem,) = caught.value.problems
    assert problem.remedy == f"Usage: {USAGE}"
    return problem.what


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_alone_is_the_shared_one(component: str) -> None:
    request = parse([component])
    assert (request.component, request.bundles, request.options, request.words) == (component, [], {}, [])


def test_what_follows_the_double_dash_goes_to_airflow_as_it_is() -> None:
    request = parse(["dag-processor", "--", "--num-runs", "1", "--", "--bundle", "x"])
    assert request.words == ["--num-runs", "1", "--", "--bundle", "x"]
    assert request.bundles == []
    assert parse(["worker", "--"]).words == []


def test_options_stand_before_or_behind_the_component() -> None:
    for arguments in (
        ["--bundle", "b", "--root=/venv", "worker"],
        ["worker", "--root", "/venv", "--bundle=b"],
        ["--root", "/venv", "worker", "--bundle", "b", "--"],
    ):
        request = parse(arguments)
        assert (request.component, request.bundles) == ("worker", ["b"])
        assert request.options == {"root": "/venv"}


def test_bundles_are_collected_in_their_order() -> None:
    assert parse(["--bundle", "b", "dag-processor", "--bundle=a"]).bundles == ["b", "a"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--"], "which component?"),
        (["--bundle", "b"], "which component?"),
        (["--", "airflow", "scheduler"], "which component? One of: scheduler, dag-processor, "),
        (["--", "scheduler"], "which component?"),
        (["celery", "worker"], "'celery' is neither"),
        (["airflow", "scheduler"], "'airflow' is neither"),
        (["worker", "triggerer"], "'triggerer' is neither"),
        (["worker", "worker"], "'worker' is neither"),
        (["worker", "--num-runs", "1"], "'--num-runs' is neither"),
        (["worker", "-b", "x"], "'-b' is neither"),
        (["worker", "-"], "'-' is neither"),
        (["worker", ""], "'' is neither"),
        (["worker", "--=x"], "'--=x' is neither"),
        (["worker", "--bundel=b"], "'--bundel=b' is neither"),
        (["worker", "--bundle"], "'--bundle' needs a value"),
        (["worker", "--bundle="], "'--bundle' needs a value"),
        (["worker", "--bundle", ""], "'--bundle' needs a value"),
        (["worker", "--bundle", "--", "x"], "'--bundle' needs a value"),
        (["worker", "--team", "a", "--team", "a"], "--team is given twice"),
        (["worker", "--root=/a", "--root=/a"], "--root is given twice"),
        (["worker", "--bundle", "b", "--team", "t"], "--bundle and --team are both given"),
        (["worker", "--environment", "e", "--python", "p"], "--environment and --python are both given"),
        (["worker", "--bundle", "b", "--environment", "e"], "name no other"),
        (["worker", "--team", "t", "--python", "p"], "name no other"),
        (["--bundle", "b", "scheduler"], "go with dag-processor, triggerer, worker, edge-worker"),
        (["--bundle", "b", "api-server"], "go with dag-processor, triggerer, worker, edge-worker"),
        (["--team", "t", "scheduler"], "go with dag-processor, triggerer, worker, edge-worker"),
        (["--team", "t", "api-server"], "go with dag-processor, triggerer, worker, edge-worker"),
    ],
)
def test_what_does_not_fit_together_is_a_usage_error(arguments: list[str], said: str) -> None:
    assert said in refusal(*arguments)


words = st.text(min_size=1, max_size=6).filter(lambda word: word != "--")


@law
@given(
    st.sampled_from(sorted(OWN_COMPONENTS)),
    st.lists(words, max_size=3),
    st.none() | words,
    st.lists(st.text(max_size=4), max_size=4),
    st.randoms(use_true_random=False),
)
def test_a_request_reads_back_as_it_was_written(
    component: str, bundles: list[str], root: str | None, passed: list[str], random: object
) -> None:
    parts = [[component], [f"--root={root}"] if root else [], [w for b in bundles for w in ("--bundle", b)]]
    random.shuffle(parts)  # type: ignore[attr-defined]
    request = parse([*(word for part in parts for word in part), "--", *passed])
    assert (request.component, request.bundles, request.words) == (component, bundles, passed)
    assert request.options == ({"root": root} if root else {})


def test_help_is_shown_on_demand_and_without_any_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main(["-h"]) == ExitCode.OK
    assert main([]) == ExitCode.LAUNCH
    assert capsys.readouterr().out == HELP * 3
    for option in ("--bundle", "--team", "--environment", "--python", "--root", "--help"):
        assert f"\n  {option} " in HELP


def test_an_error_is_told_on_standard_error_with_envmans_own_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["skeduler"]) == ExitCode.LAUNCH
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("envman launch: 'skeduler' is neither")


def command(folder: Path, text: str | bytes, mode: int = 0o755) -> str:
    """A folder for PATH with an `airflow` in it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "airflow"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(mode)
    return str(folder)


def no_python(path: str) -> None:
    with pytest.raises(ResolveError, match="airflow-environment"):
        airflows_python(path)


@pytest.mark.parametrize("path", ["/opt/company", ""])
def test_a_path_for_modules_that_nobody_gets_is_told(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", path)
    assert main(["--root", str(tmp_path), "dag-processor"]) == ExitCode.LAUNCH
    told = "PYTHONPATH is set, and no environment gets it" in capfd.readouterr().err
    assert told is bool(path)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("#!/opt/core/bin/python\nimport sys\n", "/opt/core/bin/python"),
        ("#!/opt/core/bin/python3.12 -sE\n", "/opt/core/bin/python3.12"),
        ("#! /opt/core/bin/python3", "/opt/core/bin/python3"),
        ("#!/bin/sh\n'''exec' '/a folder/bin/python' \"$0\" \"$@\"\n' '''\n", "/a folder/bin/python"),
        ("#!/bin/sh\n'''exec' \"/a folder/bin/python3\" \"$0\" \"$@\"\n' '''\n", "/a folder/bin/python3"),
        ("#!/bin/sh\n'''exec' /long/bin/python3.11 \"$0\" \"$@\"\n' '''\n", "/long/bin/python3.11"),
        ("#!/bin/sh\n'''exec' '/it'\"'\"'s/python' \"$0\" \"$@\"\n' '''\n", "/it's/python"),
    ],
)
def test_airflows_python_is_the_one_of_its_command(tmp_path: Path, text: str, python: str) -> None:
    assert airflows_python(command(tmp_path, text)) == python


@pytest.mark.parametrize("place", ["plain", "with a space", "x" * 120, "relocatable"])
def test_what_uv_installs_is_understood(
    tmp_path: Path, place: str, clean_environment: dict[str, str]
) -> None:
    make_wheel(tmp_path, "tool", "1.0", console_script="airflow = tool:main")
    folder = tmp_path / place
    more = ["--relocatable"] if place == "relocatable" else []
    install = ["uv", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--python", str(folder)]
    for uv in (["uv", "venv", "--python", sys.executable, *more, str(folder)], [*install, "tool"]):
        subprocess.run(uv, env=clean_environment, check=True, capture_output=True)
    assert airflows_python(f"{folder}/bin") == f"{folder}/bin/python"


def test_the_first_command_on_path_counts(tmp_path: Path) -> None:
    first = command(tmp_path / "first", "#!/first/python\n")
    second = command(tmp_path / "second", "#!/second/python\n")
    assert airflows_python(f"/gone:{first}:{second}") == "/first/python"
    (tmp_path / "first" / "airflow").chmod(0o644)
    assert airflows_python(f"/gone:{first}:{second}") == "/second/python"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!",
        "#!/bin/sh",
        "#!/bin/sh\necho python\n",
        "#!/bin/sh\n'''exec' ",
        "#!/bin/sh\n'''exec' 'open\n",
        "#!/bin/sh\n'''exec' /usr/bin/perl \"$0\"\n",
        "#!/opt/python/bin/perl\n",
        "/opt/python3 is not a script\n",
        b"\x7fELF\xff\xfe python",
    ],
)
def test_a_command_that_is_no_script_of_python_is_not_taken(tmp_path: Path, text: str | bytes) -> None:
    no_python(command(tmp_path, text))


def test_without_an_airflow_on_path_its_python_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    no_python("")
    no_python(f"{tmp_path}:/gone")
    (tmp_path / "airflow").mkdir()  # the usual name of AIRFLOW_HOME
    no_python(str(tmp_path))
    no_python("")


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of an ordinary user's, who is asked about in this test; root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        was_root = os.geteuid() == 0
        yield Path(folder)
        if was_root:
            os.seteuid(0)


def test_a_command_that_can_not_be_read_is_passed_over(as_nobody: Path) -> None:
    unreadable = command(as_nobody / "first", "#!/first/python\n", 0o111)
    readable = command(as_nobody / "second", "#!/second/python\n")
    if os.geteuid() == 0:
        os.seteuid(65534)
    assert airflows_python(f"{unreadable}:{readable}") == "/second/python"


def queues_of(records: list[tuple[str, str, str]]) -> list[str]:
    table = Table(render_table({}, {}, {}, None, records))
    return all_queues(table, AirflowConfiguration(os.environ))


def test_the_shared_worker_serves_the_queues_of_envman_toml_and_airflows_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    records = [("bundle-queue", "bundle_a", "etl"), ("team-queue", "team_b", "b"), ("team-queue", "c", "etl")]
    assert queues_of(records) == ["--queues", "default,b,etl"]
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_QUEUE", "b")
    assert queues_of(records) == ["--queues", "b,etl"]
    assert queues_of([]) == []


def test_a_component_keeps_its_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its environment's spec keeps out: it wins over that as the root does."""
    monkeypatch.setenv("ENVMAN_ALLOWED_SIGNERS", "/etc/signers")
    assert _of_launch("/venv") == {"ENVMAN_ROOT": "/venv", "ENVMAN_ALLOWED_SIGNERS": "/etc/signers"}
    monkeypatch.delenv("ENVMAN_ALLOWED_SIGNERS")
    assert _of_launch("/venv") == {"ENVMAN_ROOT": "/venv"}
