"""The files for other projects' CI: their YAML is read, and what they run is run in a shell on a small project."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from envman.cli.registry import COMMANDS, IMAGE_COMMANDS
from tests.conftest import Deployment, empty
from tests.integration.test_revision_diff import git
from tests.kept import KeptFolder
from tests.wheels import make_wheel

PROJECT = Path(__file__).resolve().parents[2]
GITHUB = PROJECT / ".github/workflows/envman.yml"
UPGRADE = PROJECT / "ci/github-upgrade.yml"
GITLAB = PROJECT / "ci/gitlab.yml"
HOOKS = PROJECT / ".pre-commit-hooks.yaml"


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def steps(path: Path, job: str) -> dict[str, str]:
    """What the steps of a job of a workflow run, by name."""
    listed = documents(path)[-1]["jobs"][job]["steps"]
    return {step["name"]: step["run"] for step in listed if "run" in step}


def gitlab_script(job: str) -> str:
    """What a job of the template runs, in one shell."""
    return "\n".join(documents(GITLAB)[1][job]["script"])


def scripts() -> Iterator[tuple[str, str]]:
    """Every script of every file, with its place."""
    for path in (GITHUB, UPGRADE):
        for job in documents(path)[-1]["jobs"]:
            yield from ((f"{path.name}: {job}: {name}", run) for name, run in steps(path, job).items())
    for name, job in documents(GITLAB)[1].items():
        for key in ("before_script", "script"):
            yield f"gitlab.yml: {name}: {key}", "\n".join(job.get(key, ()))
    for hook in documents(HOOKS)[0]:
        yield f"hooks: {hook['id']}", hook["entry"]


ALL = dict(scripts())


@pytest.fixture(scope="module")
def kept_change(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> KeptFolder:
    """A repository as a CI has checked it out: HEAD merges a change of a lock, HEAD^1 is the base branch.

    `origin` is a folder beside it, and programs of a CI's machine stand in `bin`: they note how they are called.
    """
    folder = tmp_path_factory.mktemp("ci") / "all"
    make_wheel(folder / "wheels", "tool", "1.0")
    made = empty(folder / "work" / "deploy", folder / "wheels", clean_environment)
    made.write(
        "envman.toml", 'root = "venv"\n[bundles]\nbundle_a = { environment = "env_a", path = "dags" }\n'
    )
    made.write("dags/one.py", "# no airflow, no dag\n")
    made.spec("env_a", ["tool"])
    made.ok("lock")
    work = folder / "work"
    git(work, "init", "-q", "-b", "main")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "one")
    git(folder, "clone", "-q", "--bare", "work", "origin.git")
    git(work, "remote", "add", "origin", str(folder / "origin.git"))
    make_wheel(folder / "wheels", "tool", "2.0")
    git(work, "switch", "-q", "-c", "change")
    made.ok("lock", "--upgrade")
    git(work, "commit", "-q", "-a", "-m", "two")
    git(work, "switch", "-q", "main")
    git(work, "merge", "-q", "--no-ff", "-m", "merge", "change")
    for name in ("gh", "curl"):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$0 $*" >> {folder}/called\n')
        program.chmod(0o755)
    return KeptFolder(folder)


@pytest.fixture
def checked_out(kept_change: KeptFolder, clean_environment: dict[str, str]) -> Deployment:
    kept_change.put_back()
    made = Deployment(kept_change.folder / "work" / "deploy", dict(clean_environment))
    made.environment |= {
        "PATH": f"{kept_change.folder}/bin:{clean_environment['PATH']}",
        "GITHUB_STEP_SUMMARY": f"{kept_change.folder}/summary.md",
        "RUNNER_TEMP": str(kept_change.folder),
        "ENVMAN_PROJECT": str(made.folder),
        "ENVMAN_ROOT": f"{kept_change.folder}/root",
        "PROJECT": "deploy",
        **{"BUNDLES": "", "DAGS": "false", "AUDIT": "false", "BRANCH": "envman/upgrade"},
        **{"GIT_CONFIG_GLOBAL": "/dev/null", "PIP_AUDIT_OSV_URL": "http://127.0.0.1:9/v1/query"},
    }
    return made


def shell(deployment: Deployment, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as CIs do, in the repository's folder."""
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=deployment.folder.parent,
        env={**deployment.environment, **variables},
        text=True,
        capture_output=True,
        timeout=300,
        check=False,
    )


def passed(deployment: Deployment, script: str, **variables: str) -> str:
    finished = shell(deployment, script, **variables)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_the_github_workflow_checks_builds_and_says_what_changes(checked_out: Deployment) -> None:
    job = steps(GITHUB, "check")
    order = [name for name in job if name != "Install envman"]
    assert order[0] == "Check the locks"
    assert order[-1] == "Say what changes"
    for name in order:
        passed(checked_out, job[name], DAGS="true")
    summary = Path(checked_out.environment["GITHUB_STEP_SUMMARY"]).read_text()
    assert "| `tool` | `1.0` | `2.0` |" in summary
    assert "bundle_a: Dags were not compared" in summary  # there is no Airflow in it
    root = Path(checked_out.environment["ENVMAN_ROOT"])
    assert len([*(root / ".gen").iterdir()]) == 2  # what the base branch has, too
    assert (root / "env_a").readlink().name == checked_out.ok("list", "--json").json["result"][0][
        "generation"
    ]
    failed = shell(checked_out, job["Parse the Dags"], BUNDLES="bundle_a nowhere")
    assert failed.returncode == 1
    assert "nowhere" in failed.stderr  # the second one is looked at although the first one failed
    git(checked_out.folder.parent, "status")
    passed(checked_out, steps(GITHUB, "comment")["Comment"], NUMBER="7")
    assert "gh pr comment 7 --edit-last" in (checked_out.folder.parents[1] / "called").read_text()
    checked_out.spec("env_a", ["tool<2"])
    assert shell(checked_out, job["Check the locks"]).returncode == 4


def test_a_bots_upgrade_is_proposed_once_there_is_one(checked_out: Deployment) -> None:
    folder = checked_out.folder.parents[1]
    job = steps(UPGRADE, "upgrade")
    assert "up to date" in passed(checked_out, job["Upgrade"] + "\n" + job["Propose"])
    make_wheel(folder / "wheels", "tool", "3.0")
    passed(checked_out, job["Upgrade"] + "\n" + job["Propose"])
    pushed = git(folder / "origin.git", "show", "envman/upgrade:deploy/environments/env_a.lock")
    assert "tool==3.0" in pushed
    assert "| `tool` | `2.0` | `3.0` |" in (folder / "changes.md").read_text()
    assert "not looked up" in (folder / "changes.md").read_text()  # there is no network
    assert "gh pr create" in (folder / "called").read_text()


def test_a_bots_upgrade_of_a_dev_overlay_is_proposed_too(checked_out: Deployment) -> None:
    folder = checked_out.folder.parents[1]
    make_wheel(folder / "wheels", "probe", "1.0")
    checked_out.ok("add", "env_a", "probe", "--dev")
    git(folder / "work", "add", "-A")
    git(folder / "work", "commit", "-q", "-m", "dev")
    make_wheel(folder / "wheels", "probe", "2.0")
    job = steps(UPGRADE, "upgrade")
    passed(checked_out, job["Upgrade"] + "\n" + job["Propose"])
    pushed = git(folder / "origin.git", "show", "envman/upgrade:deploy/environments/env_a.dev-lock")
    assert "probe==2.0" in pushed
    assert "env_a: its dev overlay differs: probe 1.0 -> 2.0" in (folder / "changes.md").read_text()


def test_the_gitlab_template_checks_comments_and_upgrades(checked_out: Deployment) -> None:
    work, folder = checked_out.folder.parent, checked_out.folder.parents[1]
    passed(checked_out, gitlab_script("envman-check"))
    base = git(work, "rev-parse", "HEAD^1").strip()
    variables = {
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "ENVMAN_TOKEN": "sesame",
        **{"CI_API_V4_URL": "api", "CI_PROJECT_ID": "1", "CI_MERGE_REQUEST_IID": "2"},
        **{"CI_SERVER_HOST": "gitlab.example", "CI_PROJECT_PATH": "g/p", "CI_DEFAULT_BRANCH": "main"},
    }
    assert "| `tool` | `1.0` | `2.0` |" in passed(checked_out, gitlab_script("envman-diff"), **variables)
    assert "api/projects/1/merge_requests/2/notes" in (folder / "called").read_text()
    assert "tool" in yaml.safe_load((work / "note.json").read_text())["body"]
    make_wheel(folder / "wheels", "tool", "3.0")
    git(folder / "origin.git", "config", "receive.advertisePushOptions", "true")
    variables |= {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{folder}/origin.git.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://envman:sesame@gitlab.example/g/p.git",
    }
    passed(checked_out, gitlab_script("envman-upgrade"), **variables)
    assert "tool==3.0" in git(folder / "origin.git", "show", "envman/upgrade:deploy/environments/env_a.lock")


def test_the_hooks_entries_run(checked_out: Deployment) -> None:
    lock, check = (hook["entry"] for hook in documents(HOOKS)[0])
    passed(checked_out, lock)
    assert documents(HOOKS)[0][0]["always_run"]  # a spec may name a file of any name
    refused = shell(checked_out, f"{check} --bundle bundle_a")
    assert (refused.returncode, "envman build" in refused.stderr) == (
        7,
        True,
    )  # it got as far as the environment


@pytest.mark.parametrize("place", ALL)
def test_a_script_is_one_of_a_shell_and_takes_no_text_of_others_in(place: str) -> None:
    """What a caller or a pull request says comes as a variable, as text in a script could end it."""
    script = ALL[place]
    assert "${{" not in script
    assert "$[[" not in script
    assert subprocess.run(["bash", "-n", "-c", script], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("place", ALL)
def test_the_commands_and_options_of_envman_are_there(place: str) -> None:
    page = (PROJECT / "docs/reference/cli.md").read_text(encoding="utf-8")
    for line in re.findall(r"^\s*envman (.*)$", ALL[place], re.MULTILINE):
        entry = max(
            (one for one in (*COMMANDS, *IMAGE_COMMANDS) if line.startswith(one.words)),
            key=lambda one: len(one.words),
        )
        section = page.partition(f"\n## envman {entry.words}\n")[2].partition("\n## ")[0]
        for option in re.findall(r"(?<!\S)--[a-z-]+(?=[\s=])", f"{line} "):
            assert f"`{option}" in section, (line, option)


def test_what_a_pull_request_brings_has_no_secret_and_no_right_to_write() -> None:
    workflow = documents(GITHUB)[0]
    text = GITHUB.read_text(encoding="utf-8")
    assert workflow["permissions"] == {"contents": "read"}
    check, comment = workflow["jobs"]["check"], workflow["jobs"]["comment"]
    assert check["permissions"] == {"contents": "read"}
    assert "secrets." not in yaml.safe_dump(check)
    assert "github.token" not in yaml.safe_dump(check)
    assert not any("checkout" in step.get("uses", "") for step in comment["steps"])
    assert "pull_request_target" not in text


def test_inputs_that_are_used_are_declared() -> None:
    text = GITHUB.read_text(encoding="utf-8")
    declared = set(documents(GITHUB)[0][True]["workflow_call"]["inputs"])  # YAML 1.1 takes `on` for true
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == declared
    text = GITLAB.read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", text)) == set(documents(GITLAB)[0]["spec"]["inputs"])
