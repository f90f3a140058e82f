"""The examples in docs/ are run: each command, in its page's order, and what it prints is compared.

In a ```console block a line that begins with `$ ` is a command, `> ` continues one, and every other line must
be among the command's output, with `...` for anything; how many spaces there are does not matter. A command
that fails must be followed by `echo $?`. A block that begins with ```toml file=PATH, or ```text file=PATH, is
written to that path first. All commands of a page run in one bash.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kept import KeptFolder
from tests.wheels import make_wheel

DOCS = Path(__file__).resolve().parents[2] / "docs"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TUTORIAL = "tutorial.md"
TIMEOUT = 900

_FENCE = re.compile(r"```(?P<language>\w*)(?: file=(?P<file>\S+))?\s*")


@dataclass
class Step:
    """A command of a page, or a file that it shows (`file` is then its path and `text` its content)."""

    line: int
    text: str
    file: str = ""
    expected: list[str] = field(default_factory=list)


def steps(page: str) -> Iterator[Step]:
    """What a page's blocks do, in order."""
    block: re.Match[str] | None = None
    step: Step | None = None
    for number, line in enumerate(page.splitlines(), start=1):
        fence = _FENCE.fullmatch(line)
        if fence is not None:
            if step:
                yield step
            block, step = (None, None) if block else (fence, None)
            if block and block["file"]:
                step = Step(number, "", block["file"])
        elif block and block["file"] and step:
            step.text += f"{line}\n"
        elif block and block["language"] == "console":
            if line.startswith("$ "):
                if step:
                    yield step
                step = Step(number, line[2:])
            elif step is None:
                raise ValueError(f"line {number}: output without a command: {line}")
            elif line.startswith("> "):
                step.text += f"\n{line[2:]}"
            else:
                step.expected.append(line)


def script(listed: list[Step]) -> str:
    """One bash script for all steps, which marks in its output where each command begins and how it ended."""
    parts: list[str] = []
    for index, step in enumerate(listed):
        if step.file:
            target, folder = shlex.quote(step.file), shlex.quote(str(Path(step.file).parent))
            parts.append(f"mkdir -p {folder}\ncat > {target} <<'END-OF-FILE'\n{step.text}END-OF-FILE")
        else:
            parts.append(f"printf '\\n@@begin {index}\\n'; (exit ${{status:-0}})\n{step.text}")
            parts.append(f"status=$?; printf '\\n@@end {index} %d\\n' $status")
    return "\n".join(parts) + "\n"


def run(listed: list[Step], folder: Path, environment: Mapping[str, str]) -> str:
    """The output of all steps, standard output and error together."""
    finished = subprocess.run(
        ["bash", "-c", script(listed)],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return finished.stdout


def problems(listed: list[Step], output: str) -> list[str]:
    """What a page says and a run did not do."""
    found: list[str] = []
    for index, step in enumerate(listed):
        if step.file:
            continue
        match = re.search(rf"\n@@begin {index}\n(.*?)\n@@end {index} (\d+)\n", output, re.DOTALL)
        if match is None:
            found.append(f"line {step.line}: $ {step.text}\n  did not run; all output:\n{output}")
            break
        printed, status = match[1], int(match[2])
        following = listed[index + 1].text if index + 1 < len(listed) else ""
        if status and following != "echo $?":
            found.append(f"line {step.line}: $ {step.text}\n  ended with {status}:\n{printed}")
        lines = [" ".join(line.split()) for line in printed.splitlines()]
        for wanted in step.expected:
            pattern = re.escape(" ".join(wanted.split())).replace(r"\.\.\.", ".*")
            if not any(re.fullmatch(pattern, line) for line in lines):
                found.append(f"line {step.line}: $ {step.text}\n  does not print: {wanted}\n{printed}")
    return found


def pages_with_commands() -> list[str]:
    paths = sorted(DOCS.rglob("*.md"))
    return [str(path.relative_to(DOCS)) for path in paths if "```console" in path.read_text(encoding="utf-8")]


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An index (PEP 503) of small wheels with the names that the pages use, in files; returns its URL."""
    folder = tmp_path_factory.mktemp("index")
    sdk = {"airflow/sdk/__init__.py": "class Dag:\n    pass\n"}
    wheels = [
        make_wheel(folder, "apache-airflow-core", "3.3.2", ["apache-airflow-task-sdk==1.3.2"]),
        make_wheel(folder, "apache-airflow-task-sdk", "1.3.2", files=sdk),
        make_wheel(folder, "pandas", "1.5.3", ["numpy<2"]),
        *(make_wheel(folder, "pandas", version, ["numpy>=2"]) for version in ("3.1.0", "3.1.1")),
        *(make_wheel(folder, "numpy", version) for version in ("1.26.4", "2.5.5")),
        make_wheel(folder, "six", "1.17.0"),
        make_wheel(folder, "polars", "2.1.0"),
        make_wheel(folder, "requests", "2.32.5"),
        make_wheel(folder, "tenacity", "9.1.2"),
    ]
    for wheel in wheels:
        page = folder / wheel.name.partition("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(exist_ok=True)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        with page.open("a", encoding="utf-8") as stream:
            stream.write(f'<a href="../{wheel.name}#sha256={digest}">{wheel.name}</a>\n')
    return f"{folder.as_uri()}/"


@pytest.fixture(scope="session")
def kept_project(
    index: str, tmp_path_factory: pytest.TempPathFactory, runtime_folder: str
) -> tuple[KeptFolder, dict[str, str]]:
    """A folder with the project of `project` and the caches and home that it was built with, and the variables."""
    place = tmp_path_factory.mktemp("pages") / "place"
    folder, home = place / "deployment", place / "home"
    home.mkdir(parents=True)
    environment = {
        "PATH": f"{commands(place / 'bin')}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "UV_CACHE_DIR": str(place / "uv-cache"),
        "XDG_RUNTIME_DIR": runtime_folder,
        "LANG": "C.UTF-8",
    }
    tables = '[defaults.variables]\nkeep-out = ["AWS_*"]\n\n[bundles]\nbundle_a = { environment = "env_a" }\n'
    tables += 'bundle_b = { team = "team_b" }\n\n[teams]\nteam_b = { environment = "env_b" }\n'
    spec = f'requires-python = "=={PYTHON}.*"\ndependencies = [%s]\n\n[checks]\nimports = ["airflow.sdk", "pandas"]\n'
    files = {
        "envman.toml": f'root = ".venvs"\nairflow-version = "3.3.2"\n\n{tables}',
        "uv.toml": f'[[index]]\nname = "company"\nurl = "{index}"\ndefault = true\n',
        "environments/env_a.toml": spec % '"pandas>=3,<3.1.1"',
        "environments/env_b.toml": spec % '"pandas<2", "numpy<2"',
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    envman(folder, environment, "lock")
    envman(folder, environment, "build")
    (folder / "environments/env_a.toml").write_text(spec % '"pandas>=3"', encoding="utf-8")
    envman(folder, environment, "lock", "-P", "pandas")
    envman(folder, environment, "build")
    return KeptFolder(place), environment


@pytest.fixture
def project(kept_project: tuple[KeptFolder, dict[str, str]]) -> Iterator[tuple[Path, dict[str, str]]]:
    """The tutorial's project with the index above: built, and env_a once more after an upgrade of pandas.

    Each page has it as it was built.
    """
    kept, environment = kept_project
    kept.put_back()
    yield kept.folder / "deployment", dict(environment)
    kept.check_left()


def commands(folder: Path) -> str:
    """A folder for PATH whose `envman` is the one under test, however it is installed."""
    command = folder / "envman"
    folder.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m envman "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return f"{folder}:{Path(sys.executable).parent}"


def envman(folder: Path, environment: Mapping[str, str], *arguments: str) -> None:
    command = [sys.executable, "-m", "envman", *arguments]
    subprocess.run(command, cwd=folder, env=dict(environment), check=True, timeout=300)


@pytest.mark.parametrize("page", [page for page in pages_with_commands() if page != TUTORIAL])
def test_the_commands_of_a_page_do_what_it_says(page: str, project: tuple[Path, dict[str, str]]) -> None:
    listed = list(steps((DOCS / page).read_text(encoding="utf-8")))
    found = problems(listed, run(listed, *project))
    assert not found, f"docs/{page}\n" + "\n".join(found)


@pytest.mark.registry
def test_the_commands_of_the_tutorial_do_what_it_says(tmp_path: Path) -> None:
    left_out = ("ENVMAN_", "AIRFLOW", "PYTHON", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    environment["PATH"] = f"{commands(tmp_path / 'bin')}:{os.environ['PATH']}"
    listed = list(steps((DOCS / TUTORIAL).read_text(encoding="utf-8")))
    found = problems(listed, run(listed, tmp_path, environment))
    assert not found, f"docs/{TUTORIAL}\n" + "\n".join(found)
    shutil.rmtree(tmp_path / "deployment")  # a gigabyte that pytest would keep


SAMPLE = """\
Text.

```text file=folder/names.txt
first
second
```

```console
$ cat folder/names.txt
sec...
$ cd folder
$ wc -l < names.txt
2
$ test -e missing
$ echo $?
1
$ printf '%s   %s\\n' a \\
> b
a b
```
"""


def test_a_page_is_read_as_steps() -> None:
    listed = list(steps(SAMPLE))
    assert [(step.line, step.file, step.text) for step in listed] == [
        (3, "folder/names.txt", "first\nsecond\n"),
        (9, "", "cat folder/names.txt"),
        (11, "", "cd folder"),
        (12, "", "wc -l < names.txt"),
        (14, "", "test -e missing"),
        (15, "", "echo $?"),
        (17, "", "printf '%s   %s\\n' a \\\nb"),
    ]


def test_a_page_that_is_right_has_no_problems(tmp_path: Path) -> None:
    listed = list(steps(SAMPLE))
    assert problems(listed, run(listed, tmp_path, os.environ)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("sec...", "third", "does not print: third"),
        ("\n2\n", "\n3\n", "does not print: 3"),
        ("$ test -e missing\n$ echo $?\n1\n", "$ test -e missing\n", "ended with 1"),
        ("$ cd folder\n", "$ cd folder; exit 0\n", "did not run"),
        ("a b", "a c", "does not print: a c"),
    ],
)
def test_a_page_that_is_wrong_is_found(tmp_path: Path, right: str, wrong: str, words: str) -> None:
    listed = list(steps(SAMPLE.replace(right, wrong)))
    found = problems(listed, run(listed, tmp_path, os.environ))
    assert any(words in problem for problem in found), found


def test_there_are_pages_with_commands() -> None:
    assert TUTORIAL in pages_with_commands()
    assert len(pages_with_commands()) > 4
