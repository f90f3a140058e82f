"""The shell's completion, through the scripts that envman prints, in real shells."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from envman.resolver.table import with_first_line
from envman.store import layout
from tests.conftest import Deployment

TABLE = with_first_line(
    """\
bundle\tbundle_a\tenv_a\t
bundle\tbundle_b\t\tteam_b
environment\tenv_a\t
environment\tenv_b\t
team\tteam_b\tenv_b
"""
)
GENERATION, COLLECTED = "0123456789ab", "ba9876543210"

BASH = """
source <(_ENVMAN_COMPLETE=source_bash envman)
COMP_WORDS=({words} {last})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_envman_completion envman
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """
compdef() {{ }}
_files() {{ }}
_arguments() {{ print -r -- "$1" }}
eval "$(_ENVMAN_COMPLETE=source_zsh envman)"
words=({words} {last})
CURRENT=${{#words}}
_envman_completion
"""
FISH = """
_ENVMAN_COMPLETE=source_fish envman | source
complete -C {line}
"""


def in_bash(words: list[str], last: str) -> list[str]:
    script = BASH.format(words=shlex.join(words), last=shlex.quote(last))
    return ["bash", "--norc", "-c", script]


def in_zsh(words: list[str], last: str) -> list[str]:
    script = ZSH.format(words=shlex.join(words), last=shlex.quote(last))
    return ["zsh", "-f", "-c", script]


def in_fish(words: list[str], last: str) -> list[str]:
    return ["fish", "--no-config", "-c", FISH.format(line=shlex.quote(f"{shlex.join(words)} {last}"))]


SHELLS: dict[str, Callable[[list[str], str], list[str]]] = {"bash": in_bash, "zsh": in_zsh, "fish": in_fish}


def offered(deployment: Deployment, typed: str, shell: str = "bash") -> list[str]:
    """The words that the shell offers for the last one, which may be empty; nothing else may be written."""
    *words, last = typed.split(" ")
    finished = subprocess.run(
        SHELLS[shell](words, last),
        cwd=deployment.folder,
        env=deployment.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.stderr == ""
    if shell == "zsh":  # *: :(("history":"Show which …" "rollback":"Switch …"))
        return re.findall(r'"([^"]+)"(?::"[^"]*")?', finished.stdout)
    lines = [line.partition("\t")[0] for line in finished.stdout.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def published(deployment: Deployment) -> Deployment:
    """A project with a table, and an environment that had two generations, of which one is still there."""
    deployment.spec("env_a", [])
    deployment.spec("base", [], "abstract = true\n")
    deployment.write(layout.table_path("venv"), TABLE)
    lines = [
        f'{{"generation": "{name}", "at": 1.0, "action": "build"}}\n' for name in (COLLECTED, GENERATION)
    ]
    deployment.write(layout.history_path("venv", "env_a"), "".join(lines))
    deployment.write(layout.manifest_path("venv", GENERATION), "{}")
    deployment.environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = '[{"name": "bundle_c"}]'
    return deployment


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("envman ro", ["rollback"]),
        ("envman image sta", ["stage"]),
        ("envman build ", ["base", "env_a", "env_b"]),
        ("envman exec --bundle ", ["bundle_a", "bundle_b", "bundle_c"]),
        ("envman exec --team t", ["team_b"]),
        ("envman exec --environment env_", ["env_a", "env_b"]),
        ("envman exec --ex", ["--explain"]),
        (
            "envman launch ",
            [
                *("api-server", "dag-processor", "edge-worker", "scheduler", "standalone", "triggerer"),
                "worker",
            ],
        ),
        ("envman launch dag-processor --bundle bundle_", ["bundle_a", "bundle_b", "bundle_c"]),
        ("envman launch dag-processor --co", ["--cold"]),
        ("envman launch worker --team ", ["team_b"]),
        ("envman resolve --bundle bundle_b", ["bundle_b"]),
        ("envman check --bundle bundle_a", ["bundle_a"]),
        ("envman shell bundle_b", ["bundle_b"]),
        ("envman test bundle_b", ["bundle_b"]),
        ("envman rollback env_a --to ", [GENERATION]),
        ("envman rollback --root venv env_a --to ", [GENERATION]),
        ("envman history env_b", ["env_b"]),
        ("envman diff env_a env_", ["env_a", "env_b"]),
        ("envman rollback env_c --to ", []),
        ("envman exec --bundle x", []),
        ("envman exec --bundle = bundle_b", ["bundle_b"]),  # as bash cuts `--bundle=bundle_b`
        ("envman exec --bundle =", ["bundle_a", "bundle_b", "bundle_c"]),
        ("envman rollback --root = venv env_a --to = 0", [GENERATION]),
    ],
)
def test_bash_offers_what_there_is(published: Deployment, typed: str, words: list[str]) -> None:
    assert offered(published, typed) == words


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_offers_the_same(published: Deployment, shell: str) -> None:
    assert offered(published, "envman ro", shell) == ["rollback"]
    assert offered(published, "envman exec --bundle bundle_", shell) == ["bundle_a", "bundle_b", "bundle_c"]
    assert offered(published, "envman rollback env_a --to ", shell) == [GENERATION]


ASKED = ("envman exec --bundle b", "envman build e", "envman rollback env_a --to 0", "envman launch --team t")


def no_project(deployment: Deployment) -> None:
    (deployment.folder / "envman.toml").unlink()


def wrong_project(deployment: Deployment) -> None:
    deployment.write("envman.toml", "root = [")


def damaged_table(deployment: Deployment) -> None:
    deployment.write(layout.table_path("venv"), "\0")


def damaged_history(deployment: Deployment) -> None:
    deployment.write(layout.history_path("venv", "env_a"), "{")


def no_text(deployment: Deployment) -> None:
    (deployment.folder / layout.table_path("venv")).write_bytes(b"\xff\xfe")


def no_folder(deployment: Deployment) -> None:
    shutil.rmtree(deployment.folder / "venv")
    deployment.write("venv", "a file")


def wrong_airflow(deployment: Deployment) -> None:
    deployment.environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = "{"


def hostile_names(deployment: Deployment) -> None:
    names = ("bundle$(touch ran)", "bundle`touch ran`", "b'\";touch ran;", "b c")
    deployment.write(
        layout.table_path("venv"), with_first_line("".join(f"bundle\t{n}\te\t\n" for n in names))
    )


BROKEN = (
    no_project,
    wrong_project,
    damaged_table,
    damaged_history,
    no_text,
    no_folder,
    wrong_airflow,
    hostile_names,
)


@pytest.mark.parametrize("broken", BROKEN)
def test_whatever_is_broken_completion_is_silent(
    published: Deployment, broken: Callable[[Deployment], None]
) -> None:
    broken(published)
    for typed in ASKED:
        for word in offered(published, typed):
            assert word in {"env_a", "env_b", "bundle_a", "bundle_b", "bundle_c", "team_b", GENERATION}
    assert not (published.folder / "ran").exists()


def test_completion_makes_no_files(published: Deployment) -> None:
    home = Path(published.environment["HOME"])
    before = sorted(home.rglob("*")), sorted(published.folder.rglob("*"))
    assert offered(published, "envman image push ") == []
    assert (sorted(home.rglob("*")), sorted(published.folder.rglob("*"))) == before


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/envman.sh"),
        ("zsh", ".zfunc/_envman"),
        ("fish", ".config/fish/completions/envman.fish"),
    ],
)
def test_a_shell_that_runs_envman_gets_the_script(
    published: Deployment, tmp_path: Path, shell: str, file: str
) -> None:
    environment = {**published.environment, "HOME": str(tmp_path / "home")}

    def run(option: str) -> str:
        command = [shell, "-c", f"envman {option}; true"]  # `true`: or the shell becomes envman
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    assert "complete_" + shell in run("--show-completion")
    run("--install-completion")
    assert "complete_" + shell in (tmp_path / "home" / file).read_text(encoding="utf-8")
