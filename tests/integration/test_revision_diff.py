"""`envman diff --git`: the locks of a revision against those of the working tree, with the real git and uv."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Deployment, empty
from tests.kept import KeptFolder
from tests.wheels import make_wheel

NAMES = {"GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@example.org"}
COMMITTER = {"GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "n@example.org"}


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, **NAMES, **COMMITTER, "GIT_CONFIG_GLOBAL": "/dev/null"}
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, text=True, capture_output=True, check=True, timeout=60
    ).stdout


def fingerprints(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a repository, with its time."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture(scope="module")
def kept_repository(
    tmp_path_factory: pytest.TempPathFactory, wheelhouse: Path, clean_environment: dict[str, str]
) -> KeptFolder:
    """A project in a subfolder of a repository: main has frame 1.5; the working tree frame 2.2, and more."""
    folder = tmp_path_factory.mktemp("revisions")
    hostile = "GPL | `x` <img src=x> @everyone"
    make_wheel(
        folder / "wheels", "tool", "2.0", fields=[f"License: {hostile}"], files={"tool/data.py": "#" * 5000}
    )
    made = empty(folder / "repository" / "deploy", wheelhouse, clean_environment)
    made.write("uv.toml", f'no-index = true\nfind-links = ["{wheelhouse}", "{folder}/wheels"]\n')
    made.spec("env_a", ["frame<2", "tool<2"])
    made.spec("env_b", ["frame<2"])
    made.spec("env_c", ["heavy"])
    made.ok("lock")
    git(made.folder.parent, "init", "-q", "-b", "main")
    git(made.folder.parent, "add", "-A")
    git(made.folder.parent, "commit", "-q", "-m", "one")
    made.spec("env_a", ["frame>=2", "tool>=2"])
    (made.folder / "environments/env_b.toml").rename(made.folder / "environments/env_new.toml")
    (made.folder / "environments/env_b.lock").unlink()
    made.ok("lock")
    return KeptFolder(made.folder.parent)


@pytest.fixture
def project(kept_repository: KeptFolder, clean_environment: dict[str, str]) -> Deployment:
    """The same, as each test wants to change it."""
    kept_repository.put_back()
    return Deployment(kept_repository.folder / "deploy", dict(clean_environment))


def by_name(rows: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows}


def test_packages_sizes_licenses_and_names_of_two_revisions(project: Deployment) -> None:
    repository = project.folder.parent
    before = fingerprints(repository)
    result = project.ok("diff", "--git", "main", "--json").json["result"]
    assert result["commit"] == git(repository, "rev-parse", "main").strip()
    environments = by_name(result["environments"], "environment")
    assert {name: (row["before"], row["status"]) for name, row in environments.items()} == {
        "env_a": ("env_a", "changed"),
        "env_c": ("env_c", "unchanged"),
        "env_new": ("env_b", "renamed"),
    }
    assert environments["env_a"]["inputs"] == ["dependencies changed"]
    packages = by_name(result["packages"], "package")
    assert {name: (row["old"], row["new"]) for name, row in packages.items()} == {
        "frame": (["1.5"], ["2.2"]),
        "grid": (["1.1"], ["2.0"]),
        "tool": (["1.0"], ["2.0"]),
    }
    grown = packages["tool"]["new_size"] - packages["tool"]["old_size"]
    assert 4000 < grown < 6000
    assert environments["env_a"]["size_change"] == sum(
        row["new_size"] - row["old_size"] for row in packages.values()
    )
    assert packages["tool"]["old_license"] == "unknown"
    assert "GPL" in packages["tool"]["new_license"]
    assert (result["vulnerabilities"], result["dags"]) == (None, None)
    one = project.ok("diff", "env_c", "--git", "main", "--json").json["result"]
    assert [row["environment"] for row in one["environments"]] == ["env_c"]
    assert fingerprints(repository) == before


def test_markdown_holds_the_rows_and_no_mark_of_a_strangers(project: Deployment) -> None:
    text = project.ok("diff", "--git", "main", "--markdown").stdout
    assert "| `env_new` | renamed from `env_b` |" in text
    assert "| `frame` | `1.5` | `2.2` |" in text
    row = next(line for line in text.splitlines() if line.startswith("| `tool`"))
    assert row.count("|") == 7
    assert "<img" not in row
    assert "@everyone" not in row
    assert project.ok("diff", "--git", "HEAD", "--markdown").stdout.startswith("### Environments")


def test_a_name_in_a_revision_is_nothing_that_a_terminal_obeys(project: Deployment) -> None:
    folder = project.folder / "environments"
    lock = (folder / "env_c.lock").read_text()
    for name in ("\x1b]0;mine\x07\x1b[31mred", "two\nlines", "--all", "$(touch x)", "\udcff"):
        (folder / f"{name}.toml").touch()
        (folder / f"{name}.lock").write_text(lock)
    git(project.folder, "add", "-A")
    git(project.folder, "commit", "-q", "-m", "hostile")
    for file in [*folder.iterdir()]:
        if not file.name.startswith("env_"):
            file.unlink()
    shown = [project.ok("diff", "--git", "HEAD", *words) for words in ((), ("--markdown",))]
    for result in shown:
        assert "\x1b" not in result.stdout + result.stderr
        assert "removed" in result.stdout
    assert len(project.ok("diff", "--git", "HEAD", "--json").json["result"]["environments"]) == 8


def test_a_shallow_clone_says_what_to_fetch_and_then_works(project: Deployment, tmp_path: Path) -> None:
    repository = project.folder.parent
    git(repository, "checkout", "-q", "-b", "change")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "two")
    source = f"file://{repository}"
    git(tmp_path, "clone", "-q", "--depth=1", "--single-branch", "-b", "change", source, "shallow")
    clone = Deployment(tmp_path / "shallow" / "deploy", project.environment)
    result = clone.run("diff", "--git", "main")
    assert result.exit_code == 2
    assert "git fetch --depth=1 origin main" in result.stderr
    assert "--deepen" in clone.run("diff", "--git", "HEAD~1").stderr
    git(clone.folder, "fetch", "-q", "--depth=1", "origin", "main")
    listed = clone.ok("diff", "--git", "FETCH_HEAD", "--json").json["result"]["packages"]
    assert [row["package"] for row in listed] == ["frame", "grid", "tool"]


def test_a_partial_clone_is_not_filled_behind_ones_back(project: Deployment, tmp_path: Path) -> None:
    repository = project.folder.parent
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{repository}", "partial")
    clone = Deployment(tmp_path / "partial" / "deploy", project.environment)
    clone.folder.mkdir()
    for name in ("envman.toml", "uv.toml", "environments"):
        subprocess.run(["cp", "-a", project.folder / name, clone.folder], check=True)
    before = fingerprints(tmp_path / "partial")
    result = clone.run("diff", "--git", "main")
    assert result.exit_code == 2
    assert "git fetch" in result.stderr
    assert fingerprints(tmp_path / "partial") == before


def test_locks_of_another_format_and_revisions_without_a_project(project: Deployment) -> None:
    repository = project.folder.parent
    lock = project.folder / "environments/env_a.lock"
    current = lock.read_text()
    lock.write_text(re.sub("envman-lock: 1", "envman-lock: 99", current).replace("frame==2.2", "frame==1.5"))
    (project.folder / "environments/env_c.lock").write_text("# envman-lock: 99\n\n[[packages]]\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "another format")
    lock.write_text(current)
    project.ok("lock", "env_c")
    result = project.ok("diff", "--git", "HEAD", "--json").json["result"]
    assert [(row["package"], row["old"]) for row in result["packages"]] == [("frame", ["1.5"])]
    assert by_name(result["environments"], "environment")["env_c"]["status"] == "unreadable"
    assert "its format is 99" in " ".join(result["notes"])
    git(repository, "mv", "deploy", "moved")
    moved = Deployment(repository / "moved", project.environment)
    moved.environment["GIT_DIR"] = "/nowhere"  # as a hook of another repository has it
    found = moved.ok("diff", "--git", "main", "--json").json["result"]
    assert {row["status"] for row in found["environments"]} == {"added"}
    assert "there is no envman.toml in this folder in main" in found["notes"][0]


def test_what_can_not_be_compared_is_an_error_with_a_remedy(project: Deployment) -> None:
    for arguments in (
        ("--git", "--output=x"),
        ("--git", "no-such"),
        ("--git", ""),
        ("env_x", "--git", "main"),
    ):
        result = project.run("diff", *arguments)
        assert result.exit_code == 2, arguments
        assert "Traceback" not in result.stderr
    assert project.run("diff", "--markdown").exit_code == 2
    (project.folder / "environments/env_a.lock").unlink()
    result = project.run("diff", "--git", "main")
    assert (result.exit_code, "envman lock env_a" in result.stderr) == (4, True)
