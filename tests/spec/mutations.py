"""Files of strangers, changed at random: whatever comes of it is a value that was meant, or a sentence.

python -m tests.spec.mutations 20000 [SEED]
"""

from __future__ import annotations

import posixpath
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from packaging.requirements import Requirement

from envman.errors import EnvmanError
from envman.image.oci_values import parse_config, parse_manifest
from envman.lock.lockfile import Lock, Pin, parse_lock, render
from envman.names import name_problem
from envman.spec.load import ProjectFiles, load_inputs, load_project
from envman.spec.publication import project_table
from envman.store.manifest import parse_interpreter
from envman.store.manifest import parse_manifest as parse_generation

HASH = "sha256:" + "1" * 64

SPEC = """\
extends = ["base"]
requires-python = ">=3.11,<3.13"
platforms = ["linux-x86_64"]
dependencies = ["pandas>=2.2,<3", "polars ; python_version < '3.12'", "attrs[x]==1.*"]
requirements-files = ["../team/all.txt"]
constraints = ["../limits.txt", "https://a.example/c.txt"]
overrides = ["numpy<2"]
exclude-newer = "7 days"
exclude-newer-except = ["frame"]
no-build = true
source-builds = { network = ["orjson"], variables = { CFLAGS = "-O2" } }
airflow = false
warm = false
preload = ["pandas"]
user = "team_a"
group = "1001"
limits = { memory = "2G", cpu = 1.5, pids = 100 }
variables = { set = { TZ = "UTC" }, keep-out = ["AWS_*"], pass = ["HTTP_*"] }
checks = { imports = ["pandas"], commands = [["python", "-V"]] }
image = { base = "debian:12", apt = ["libpq5"] }
[[pyprojects]]
path = "../team/pyproject.toml"
extras = ["all"]
dependency-groups = ["dev"]
"""
PROJECT = """\
root = "venv"
airflow-version = "3.3.2"
default-environment = "env_a"
airflow-environment = "env_a"
[defaults]
dependencies = ["six"]
[bundles]
bundle_a = { environment = "env_a", queue = "q" }
bundle_b = { team = "team_b" }
[teams]
team_b = { environment = "env_a" }
[images]
env_a = "registry.example/a:1"
[triggerer]
allow = ["airflow.providers.*"]
[servers]
memory = "4G"
"""
PYPROJECT = """\
[project]
name = "team"
dependencies = ["pandas"]
[project.optional-dependencies]
all = ["team[x]", "numpy"]
x = ["polars"]
[dependency-groups]
dev = ["ruff", { include-group = "test" }]
test = ["pytest"]
"""
FILES = {
    "envman.toml": PROJECT,
    "environments/env_a.toml": SPEC,
    "environments/base.toml": "abstract = true\ndependencies = ['frozenlist']\n",
    "team/all.txt": f"pandas>=2 # why\n-r more.txt\n-c ../limits.txt\nnumpy==1 \\\n  --hash={HASH}\n",
    "team/more.txt": "polars ; python_version < '3.12'\n",
    "limits.txt": "numpy<3\n",
    "team/pyproject.toml": PYPROJECT,
}
PINS = (Pin("attrs", "1.0", "", (HASH,)), Pin("numpy", "2.1", 'python_version < "3.12"', (HASH, HASH)))
LOCK = render(Lock("env_a", {"dependencies": HASH, "constraints[0]": HASH}, PINS), "environments/env_a.toml")
DESCRIPTOR = f'{{"mediaType": "m", "digest": "{HASH}", "size": 1}}'
FACTS = (
    '{"implementation": "CPython", "version": "3.12.1", "platform": "linux-x86_64", '
    '"executable": "/usr/bin/python3", "stamp": "1-2"}'
)
MANIFEST = (
    '{"format": 1, "generation": "3f9c2a7b10de", "environment": "env_a", "created": "2026-01-01T00:00:00Z", '
    f'"seconds": 1.0, "interpreter": {FACTS}, "lock": "{HASH}", "lock_text": "{HASH}", "options": "x", '
    '"spec": "x", "files": "x", "file_count": 1, "size": 1, "packages": {"a": "1"}, "tools": {"uv": "1"}}'
)

TOKENS = [
    *(
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        '"',
        "'",
        "\\",
        "\n",
        "\r\n",
        "\t",
        "=",
        ".",
        ",",
        "#",
        ";",
        ":",
        "/",
        "-",
    ),
    *(
        "\0",
        "\x7f",
        "\ufeff",
        "\u202e",
        "é",
        "\U0001f600",
        "../",
        "/etc/passwd",
        "file:///etc/passwd",
        "..",
        "~",
    ),
    *(
        "[" * 3000,
        "{a=" * 2000,
        "(" * 500,
        "9" * 5000,
        "a." * 500,
        "x" * 5000,
        "-r ",
        "-c ",
        "--hash=",
        "@ file:///a",
    ),
    *(
        "null",
        "true",
        "nan",
        "inf",
        "-1",
        "1e999",
        "0x" + "f" * 4000,
        "1979-05-27T07:32:00",
        "99:99:99",
        '""',
        "[]",
    ),
    *(
        "{}",
        "a = 1\n",
        "[a]\n",
        "[[a]]\n",
        "root",
        "extends",
        "env_a",
        "base",
        "${HOME}",
        "$(id)",
        "%s",
        "{0}",
    ),
]


def mutated(chance: random.Random, text: str) -> str:
    """The text with one value changed, or with up to six changes anywhere."""
    if chance.random() < 0.5 and (values := [*_VALUE.finditer(text)]):
        found = chance.choice(values)
        inner = changed(chance, found[1])
        return text[: found.start(1)] + inner + text[found.end(1) :]
    for _ in range(chance.randint(1, 6)):
        text = changed(chance, text)
    return text


_VALUE = re.compile(r"""(?<=["' ])([^"'\n ]+)(?=["' \n])""")


def changed(chance: random.Random, text: str) -> str:
    """The text with a part of it taken out, doubled, turned or replaced."""
    start = chance.randrange(len(text) + 1)
    end = min(len(text), start + chance.choice([0, 1, 1, 2, 5, 20, 100]))
    moved = text[chance.randrange(len(text) + 1) :][: chance.randint(1, 40)]
    parts = [
        "",
        chance.choice(TOKENS),
        chance.choice(TOKENS),
        text[start:end] * 2,
        text[start:end][::-1],
        moved,
    ]
    return text[:start] + chance.choice([*parts, chr(chance.randrange(0xD800))]) + text[end:]


def try_project(folder: Path, file: str, text: str) -> None:
    """Load a project with one file changed; raises EnvmanError, AssertionError for what was not meant."""
    files = ProjectFiles(folder, {file: text})
    project = load_project(files)
    assert not [
        name for name in (*project.environments, *project.bundles, *project.teams) if name_problem(name)
    ]
    for environment in project.environments.values():
        named = [
            *environment.requirements_files,
            *(source.path for source in environment.pyprojects),
            *(path for path in environment.constraints if "://" not in path),
        ]
        assert not [path for path in named if posixpath.normpath(path).startswith(("..", "/"))]
        assert environment.user not in {"root", "0", "nobody", "65534"}
        inputs, problems = load_inputs(files, environment, project.airflow_version)
        assert not problems
        lines = [line for lines in inputs.requirements.values() for line in lines]
        lines += [line for entry in inputs.constraints for line in entry.lines or ()]
        for line in (*lines, *inputs.overrides):
            assert Requirement(line).url is None
            assert "\n" not in line
        inputs.digests()
    project_table(project)


def try_lock(text: str) -> None:
    """A lock is accepted only as it was made: whatever was changed in it is seen."""
    lock = parse_lock(text, "env_a.lock", "env_a")
    assert lock.pins == parse_lock(LOCK, "env_a.lock", "env_a").pins
    assert lock.fingerprint == parse_lock(LOCK, "env_a.lock", "env_a").fingerprint


def try_interpreter(text: str) -> None:
    found = parse_interpreter(text)
    assert ".." not in f"{found.implementation}-{found.version}"


def try_image(text: str) -> None:
    found = parse_manifest(text.encode(), "it")
    assert not [one for one in (found.config, *found.layers) if "/" in one.digest]


def try_generation(text: str) -> None:
    found = parse_generation(text, "envman.json")
    assert isinstance(found.generation, str)
    assert all(isinstance(text, str) for text in (*found.packages, *found.packages.values()))


CONFIG = '{"architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]}, "rootfs": {"diff_ids": ["x"]}}'
OTHERS: dict[str, tuple[str, Callable[[str], object], type[Exception]]] = {
    # what: a text that is right, who reads it, and what that raises for one that is not
    "lock": (LOCK, try_lock, EnvmanError),
    "interpreter": (FACTS, try_interpreter, ValueError),
    "image": (f'{{"config": {DESCRIPTOR}, "layers": [{DESCRIPTOR}]}}', try_image, EnvmanError),
    "configuration": (CONFIG, lambda text: parse_config(text.encode(), "it"), EnvmanError),
    "manifest": (MANIFEST, try_generation, EnvmanError),
}


def run(count: int, seed: int) -> Counter[str]:
    """Try so many changed texts; returns how many of each were accepted and refused.

    Raises whatever is neither, with the text.
    """
    chance = random.Random(seed)
    counts = Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in FILES.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        try_project(folder, "limits.txt", FILES["limits.txt"])
        for text, read, _ in OTHERS.values():
            read(text)
        for _ in range(count):
            what = chance.choice([*FILES, *OTHERS])
            text = mutated(chance, FILES[what] if what in FILES else OTHERS[what][0])
            try:
                if what in FILES:
                    try_project(folder, what, text)
                else:
                    OTHERS[what][1](text)
                counts[f"{what}: accepted"] += 1
            except (EnvmanError, OTHERS.get(what, (0, 0, EnvmanError))[2]) as error:
                problems = error.problems if isinstance(error, EnvmanError) else ()
                if not all(one.what and one.remedy for one in problems):
                    raise AssertionError(f"{what}: no remedy: {problems}") from error
                counts[f"{what}: refused"] += 1
            except Exception as error:
                raise AssertionError(f"{what}: {text!r}") from error
    return counts


if __name__ == "__main__":
    began = time.monotonic()
    for line, number in sorted(run(int(sys.argv[1]), int((sys.argv[2:] or ["1"])[0])).items()):
        print(f"{number:6} {line}")
    print(f"{time.monotonic() - began:.0f} s")
