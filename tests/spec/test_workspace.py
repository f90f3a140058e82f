from __future__ import annotations

from pathlib import Path

import pytest

from envman.errors import SpecError, UsageError
from envman.resolver.table import Table, with_first_line
from envman.spec.workspace import Workspace, declared_answers, open_workspace

PROJECT = """\
airflow-environment = "core"
default-environment = "env_a"

[defaults]
requires-python = "==3.12.*"

[bundles]
bundle_a = { environment = "env_a", queue = "etl" }
bundle_b = { team = "team_b" }
bundle_c = {}

[teams]
team_b = { environment = "env_b", queue = "etl_b" }
team_c = { environment = "env_a" }

[images]
env_b = "registry/image_b"

[triggerer]
allow = ["airflow.*", "a.Trigger"]
"""
VARIABLES = '[variables]\nset = { TZ = "UTC", A = "tab\\t" }\nkeep-out = ["AWS_*"]\n'


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "environments").mkdir()
    (tmp_path / "envman.toml").write_text(PROJECT, encoding="utf-8")
    for name, text in {"core": "", "env_a": VARIABLES, "env_b": "", "base": "abstract = true\n"}.items():
        (tmp_path / f"environments/{name}.toml").write_text(text, encoding="utf-8")
    return open_workspace(tmp_path)


def test_the_table_holds_all_that_a_launch_asks_for_and_nothing_else(workspace: Workspace) -> None:
    assert workspace.table() == with_first_line(
        "bundle\tbundle_a\tenv_a\t\n"
        "bundle\tbundle_b\t\tteam_b\n"
        "bundle\tbundle_c\t\t\n"
        "bundle-queue\tbundle_a\tetl\n"
        "components\t-\tcore\n"
        "default\t-\tenv_a\n"
        "environment\tcore\t\n"
        "environment\tenv_a\t-AWS_*\t+A=tab\\t\t+TZ=UTC\n"
        "environment\tenv_b\t\n"
        "image\tenv_b\tregistry/image_b\n"
        "team\tteam_b\tenv_b\n"
        "team\tteam_c\tenv_a\n"
        "team-queue\tteam_b\tetl_b\n"
        "trigger\ta.Trigger\t-\n"
        "trigger\tairflow.*\t-\n"
    )


def test_what_is_declared_is_answered_by_the_table(workspace: Workspace) -> None:
    table = Table(workspace.table())
    assert table.queue("bundle_a", "") == "etl"
    assert table.queue("bundle_b", "team_b") == "etl_b"
    assert table.queue("bundle_c", "team_c") is None
    assert (table.image("env_b"), table.image("env_a")) == ("registry/image_b", None)
    assert (table.components(), table.default()) == ("core", "env_a")
    assert table.environment("env_a") == (["AWS_*"], {"A": "tab\t", "TZ": "UTC"})


def test_without_the_optional_keys_there_are_no_records_for_them(tmp_path: Path) -> None:
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments/env_a.toml").write_text('requires-python = "==3.12.*"\n', encoding="utf-8")
    (tmp_path / "envman.toml").write_text("", encoding="utf-8")
    assert open_workspace(tmp_path).table() == with_first_line("environment\tenv_a\t\n")


def table_of(folder: Path, defaults: str, environment: str) -> Table:
    (folder / "environments").mkdir(exist_ok=True)
    (folder / "environments/env_a.toml").write_text(environment, encoding="utf-8")
    (folder / "environments/env_b.toml").write_text("", encoding="utf-8")
    text = f'[defaults]\nrequires-python = "==3.12.*"\n{defaults}'
    (folder / "envman.toml").write_text(text, encoding="utf-8")
    return Table(open_workspace(folder).table())


def test_how_workloads_run_is_published(tmp_path: Path) -> None:
    table = table_of(
        tmp_path,
        'preload = ["numpy"]\nserver-idle = "2h"\n[defaults.limits]\nmemory = "2G"\n[defaults.variables]\npass = ["MY_*"]\n',
        'warm = false\npreload = ["pandas"]\nserver-idle = "90s"\nuser = "team_a"\ngroup = "100"\n'
        '[limits]\ncpu = 1.5\npids = 200\n[variables]\npass = ["OTHER"]\n',
    )
    assert (table.is_warm("env_a"), table.is_warm("env_b")) == (False, True)
    assert (table.preload("env_a"), table.preload("env_b")) == (["numpy", "pandas"], ["numpy"])
    assert (table.user("env_a"), table.user("env_b")) == (("team_a", "100"), None)
    assert (table.server_idle("env_a"), table.server_idle("env_b")) == (90, 7200)
    assert table.limits("env_a") == {"memory": 2 * 1024**3, "cpu": 1.5, "pids": 200}
    assert table.limits("env_b") == {"memory": 2 * 1024**3}
    assert (table.passed("env_a"), table.passed("env_b")) == (["MY_*", "OTHER"], ["MY_*"])


def test_how_workloads_run_is_published_as_it_is_documented(tmp_path: Path) -> None:
    text = 'warm = true\nserver-idle = "30m"\nuser = "team_a"\n[limits]\nmemory = "1500000000"\ncpu = 2\n'
    table_of(tmp_path, "warm = false\n", text)
    assert open_workspace(tmp_path).table() == with_first_line(
        "environment\tenv_a\t\n"
        "environment\tenv_b\t\n"
        "limits\tenv_a\tmemory=1500000000 cpu=2\n"
        "server-idle\tenv_a\t1800\n"
        "user\tenv_a\tteam_a:\n"
        "warm\tenv_b\tfalse\n"
    )


def test_environments_are_chosen_by_name_each_once_or_all(workspace: Workspace) -> None:
    assert [chosen.name for chosen in workspace.choose(["env_b", "core", "env_b"])] == ["env_b", "core"]
    assert [chosen.name for chosen in workspace.choose([])] == ["core", "env_a", "env_b"]
    with pytest.raises(UsageError) as caught:
        workspace.choose(["env_c", "env_a", "base"])
    assert [problem.where for problem in caught.value.problems] == [
        "environment 'env_c'",
        "environment 'base'",
    ]


def test_the_root_may_be_another_one(workspace: Workspace, tmp_path: Path) -> None:
    moved = workspace.at_root("/elsewhere")
    assert (moved.project.root, workspace.project.root) == ("/elsewhere", "/venv")
    assert moved.table() == workspace.table()
    (env_a,) = moved.choose(["env_a"])
    assert moved.lock_path(env_a) == tmp_path / "environments/env_a.lock"


def test_answers_are_those_of_the_whole_project_and_read_no_other_spec(workspace: Workspace) -> None:
    whole, folder = Table(workspace.table()), workspace.files.directory
    for name in ("core", "env_b", "base"):
        (folder / f"environments/{name}.toml").write_text("dependencies = 3\n", encoding="utf-8")
    of_bundles = Table(declared_answers(folder, None))
    for bundle in ("bundle_a", "bundle_b", "bundle_c", "bundle_d"):
        assert of_bundles.bundle(bundle) == whole.bundle(bundle)
    assert (of_bundles.team("team_b"), of_bundles.default()) == ("env_b", "env_a")
    assert Table(declared_answers(folder, "env_a")).environment("env_a") == whole.environment("env_a")
    assert Table(declared_answers(folder, "gone")).environment("gone") is None
    with pytest.raises(SpecError, match="dependencies"):
        declared_answers(folder, "env_b")


def test_answers_hold_what_an_environment_inherits(workspace: Workspace) -> None:
    folder = workspace.files.directory
    for name, above in {"env_b": "base", "base": "lowest"}.items():
        (folder / f"environments/{name}.toml").write_text(f'extends = ["{above}"]\n', encoding="utf-8")
    (folder / "environments/lowest.toml").write_text(f"abstract = true\n{VARIABLES}", encoding="utf-8")
    whole = Table(open_workspace(folder).table()).environment("env_b")
    assert whole == (["AWS_*"], {"TZ": "UTC", "A": "tab\t"})
    assert Table(declared_answers(folder, "env_b")).environment("env_b") == whole
    (folder / "environments/lowest.toml").unlink()
    with pytest.raises(SpecError, match=r"environments/lowest\.toml"):
        declared_answers(folder, "env_b")
