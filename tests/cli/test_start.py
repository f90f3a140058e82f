"""What each command imports, which is most of what its start costs.

Held by names, not by time: what is not in a command's row comes with a reason, or stands in the function that
needs it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from envman.cli.registry import ADOPT_COMMANDS, COMMANDS, IMAGE_COMMANDS
from tests.conftest import Deployment

SPEC = "annotated_types packaging pydantic pydantic_core tomli typing_extensions typing_inspection"
"""What it takes to read a spec; packaging alone reads versions and requirements."""
SHELL = "cli errors system"
"""The owner of children and signals is there from the first line on."""
LAUNCH = f"{SHELL} inside launch resolver signing store"
PUBLISHED = "cli errors names resolver signing spec store system usecases"
DECLARED = f"{PUBLISHED} lock"
UV = f"{DECLARED} uv"
IMAGES = f"{PUBLISHED} image oci"
BUILT_IMAGES = f"{UV} build confine image inside launch oci packages"

RELEASES = f"{IMAGES} release build inside lock"
"""Of `build` what an interpreter's file is, of `lock` which wheels an interpreter takes."""

MAY_LOAD = {
    # command: packages besides typer's own | rooms | use cases, of which one is its own
    "exec": ("", LAUNCH, ""),
    "run": ("", LAUNCH, ""),
    "shell": ("", LAUNCH, ""),
    "which": ("", LAUNCH, ""),
    "launch": ("", LAUNCH, ""),
    "up": ("", LAUNCH, ""),
    "container-entrypoint": ("", LAUNCH, ""),
    "init": (f"{SPEC} python_discovery", f"{PUBLISHED} build", "init"),
    "lock": (f"{SPEC} uv", UV, "lock resolving"),
    "sign": (SPEC, DECLARED, "sign"),
    "build": (f"{SPEC} uv", f"{UV} build confine inside launch packages", "build"),
    "publish": (SPEC, DECLARED, "publish"),
    "push": ("packaging", RELEASES, "push"),
    "pull": ("packaging", RELEASES, "pull"),
    "hosts": ("packaging", RELEASES, "hosts"),
    "resolve": ("", f"{PUBLISHED} launch", "resolve"),
    "group": (f"{SPEC} uv tomlkit", f"{UV} launch packages splitting", "group add_remove lock resolving"),
    "adopt split": (
        f"{SPEC} uv tomlkit",
        f"{UV} launch packages splitting",
        "adopt_split add_remove lock resolving",
    ),
    "add": (f"{SPEC} uv tomlkit", UV, "add_remove lock resolving"),
    "remove": (f"{SPEC} uv tomlkit", UV, "add_remove lock resolving"),
    "list": (SPEC, f"{DECLARED} launch", "list"),
    "diff": (SPEC, DECLARED, "diff"),
    "bisect": (f"{SPEC} uv", f"{DECLARED} build confine inside launch packages uv", "bisect mixed_sets"),
    "history": ("", PUBLISHED, "history"),
    "rollback": ("", PUBLISHED, "hold rollback"),
    "hold": ("", PUBLISHED, "hold"),
    "unhold": ("", PUBLISHED, "hold"),
    "gc": ("", PUBLISHED, "gc"),
    "prune": ("", f"{IMAGES} build inside release", "prune"),
    "verify": ("", PUBLISHED, ""),
    "export": (f"{SPEC} uv", UV, "export"),
    "wheelhouse": (
        f"{SPEC} python_discovery virtualenv filelock platformdirs uv",
        f"{UV} build confine inside launch packages",
        "wheelhouse",
    ),
    "audit": (f"{SPEC} tomlkit", f"{DECLARED} launch packages", "audit"),
    "licenses": (SPEC, f"{DECLARED} launch packages", "licenses"),
    "sbom": (SPEC, f"{DECLARED} packages", "sbom"),
    "doctor": (SPEC, f"{DECLARED} build confine deployment image inside launch release", "doctor"),
    "check": ("", f"{PUBLISHED} confine deployment inside launch", "check"),
    "test": (f"{SPEC} uv", f"{UV} build confine deployment inside launch packages", "test check"),
    "sync": (f"{SPEC} uv", f"{UV} build confine deployment inside launch packages", "sync"),
    "adopt prove": (SPEC, f"{DECLARED} confine deployment inside launch proof", "adopt_prove"),
    "preload": ("", f"{PUBLISHED} confine deployment inside launch servers", "preload"),
    "top": ("psutil", f"{LAUNCH} servers usecases", "top"),
    "airflow-config": (SPEC, f"{PUBLISHED} deployment launch", "airflow_config"),
    "units": ("", f"{PUBLISHED} deployment launch", "units"),
    "schema": (SPEC, PUBLISHED, ""),
    "adopt init": (SPEC, f"{DECLARED} adoption", "adopt_init"),
    "image containerfile": (f"{SPEC} python_discovery uv", BUILT_IMAGES, "images.image_containerfile"),
    "image stage": (f"{SPEC} python_discovery uv", BUILT_IMAGES, "images.image_stage"),
    "image engines": ("", IMAGES, "images.image_engines"),
    "image push": ("", IMAGES, "images.image_catalog images.image_push"),
    "image inspect": ("", IMAGES, "images.image_catalog"),
    "image diff": ("", IMAGES, "images.image_catalog"),
    "image list": ("", IMAGES, "images.image_catalog"),
    "image build": (
        f"{SPEC} python_discovery uv",
        BUILT_IMAGES,
        "images.image_build build sbom",
    ),
}
SHARED_BY_IMAGES = {"images", "images.base_machine", "images.image_contents", "images.image_plan"}
"""Helpers of the commands of images, which stand among them."""

MAY_RUN = {
    # what a command imports until it has ended, in a project where there is nothing to do; typer itself checks
    # the values of arguments by pydantic
    "--version": ("", SHELL),
    "--help": ("", SHELL),
    "image --help": (SPEC, SHELL),
    "list": (SPEC, f"{DECLARED} launch"),
    "resolve --bundle bundle_a": (SPEC, f"{DECLARED} launch"),
    "lock --check": (f"{SPEC} uv", UV),
    "build": (f"{SPEC} uv", f"{UV} build confine inside packages"),
    "history env_a": (SPEC, PUBLISHED),
    "publish": (SPEC, DECLARED),
    "verify env_a": (SPEC, PUBLISHED),
}
NEVER_RUN = {"rich", "tomlkit", "python_discovery", "virtualenv", "urllib.request", "http", "psutil"}
"""What costs much, and what a command with nothing to do has no use for: as modules, not as packages alone."""

MAY_COMPLETE = {
    # what is on the line: what a press of Tab imports
    "envman ": SHELL,
    "envman image ": SHELL,
    "envman adopt ": SHELL,
    "envman build ": (
        "cli build confine errors inside lock names packages resolver signing spec store system usecases uv"
    ),
    "envman exec --bundle ": LAUNCH,
    "envman launch ": LAUNCH,
    "envman resolve --team ": f"{PUBLISHED} launch",
    "envman rollback env_a --to ": PUBLISHED,
}

MAY_COMPLETE_BY_PYDANTIC = {"envman build "}
"""Commands whose use case knows the model of specs."""

_WATCH = """\
import atexit, sys
def tell():
    with open({out!r}, "w") as stream:
        stream.write(" ".join(name for name, module in sys.modules.items() if module))
atexit.register(tell)
sys.argv = {arguments!r}
{code}
"""


def imported(
    code: str, out: Path, arguments: list[str], environment: dict[str, str], folder: Path
) -> set[str]:
    """The modules that are there when a program ends well."""
    watched = _WATCH.format(out=str(out), arguments=arguments, code=code)
    finished = subprocess.run(
        [sys.executable, "-c", watched],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    return set(out.read_text(encoding="utf-8").split())


def packages(modules: set[str]) -> set[str]:
    tops = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) - {"envman"}
    return {name for name in tops if not name.startswith("_")}


def rooms(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if name.startswith("envman.")} - {"__main__"}


@pytest.fixture(scope="module")
def of_typer(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> set[str]:
    """The packages that come with typer, and with this interpreter itself."""
    folder = tmp_path_factory.mktemp("typer")
    code = "import typer, shellingham"
    return packages(imported(code, folder / "modules", [], clean_environment, folder))


def run(deployment: Deployment, words: str, **variables: str) -> set[str]:
    """Run a command as it is installed: the variable of its completion has its name."""
    environment = {**deployment.environment, **variables}
    code = "from envman.__main__ import main; main()"
    out = deployment.folder.parent / "modules"
    return imported(code, out, ["envman", *words.split()], environment, deployment.folder)


def test_every_command_has_its_row() -> None:
    assert set(MAY_LOAD) == {entry.words for entry in (*COMMANDS, *ADOPT_COMMANDS, *IMAGE_COMMANDS)}


@pytest.mark.parametrize("words", MAY_LOAD)
def test_a_command_loads_its_own_use_case_and_little_more(
    words: str, of_typer: set[str], tmp_path: Path, clean_environment: dict[str, str]
) -> None:
    group, _, name = words.rpartition(" ")
    code = (
        "import envman.cli.app\n"
        "from envman.cli.registry import CommandEntry\n"
        f"CommandEntry({name!r}, '', {group!r}).load()\n"
    )
    loaded = imported(code, tmp_path / "modules", [], clean_environment, tmp_path)
    may_packages, may_rooms, may_use = (set(part.split()) for part in MAY_LOAD[words])
    assert f"envman.cli.{words.replace(' ', '_').replace('-', '_')}_command" in loaded
    assert packages(loaded) - of_typer <= may_packages
    assert rooms(loaded) <= may_rooms
    used = {name.removeprefix("envman.usecases.") for name in loaded if name.startswith("envman.usecases.")}
    if group:
        others = {f"images.{entry.function}" for entry in IMAGE_COMMANDS if entry.words != words}
        used = {name for name in used if not name.startswith("images") or name in others | may_use}
    assert used <= may_use


def test_a_command_with_nothing_to_do_imports_little(two_teams: Deployment, of_typer: set[str]) -> None:
    for words, row in MAY_RUN.items():
        loaded = run(two_teams, words)
        may_packages, may_rooms = (set(part.split()) for part in row)
        assert packages(loaded) - of_typer <= may_packages, words
        assert rooms(loaded) <= may_rooms, words
        assert loaded & NEVER_RUN == set(), words
        assert "envman.cli.registry" in loaded


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_press_of_tab_imports_little(shell: str, deployment: Deployment) -> None:
    for typed, may in MAY_COMPLETE.items():
        words = typed.split()
        loaded = run(
            deployment,
            "",
            _ENVMAN_COMPLETE=f"complete_{shell}",
            COMP_WORDS="\n".join([*words, ""]),
            COMP_CWORD=str(len(words)),
            _TYPER_COMPLETE_ARGS=typed,
        )
        assert loaded & NEVER_RUN == set(), typed
        assert rooms(loaded) <= set(may.split()), typed
        assert ("pydantic" in loaded) == (typed in MAY_COMPLETE_BY_PYDANTIC), typed
