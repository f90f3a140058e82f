"""Whether this host, with its real interpreter, can run what another one has built."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from envman.errors import BuildError
from envman.inside.protocol import SCRIPTS
from envman.release.document import Abi
from envman.release.fitness import Host
from envman.store.manifest import BaseInterpreter, parse_interpreter
from envman.system.processes import Processes

SITE = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


def said(script: str) -> str:
    words = [sys.executable, "-I", "-S", f"{SCRIPTS}/{script}"]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture(scope="module")
def here() -> BaseInterpreter:
    return parse_interpreter(said("python_facts.py"))


@pytest.fixture(scope="module")
def abi() -> Abi:
    return Abi(**json.loads(said("python_tags.py")))


@pytest.fixture(scope="module")
def host() -> Host:
    return Host(Processes())


def test_what_was_built_for_this_interpreter_fits(host: Host, here: BaseInterpreter, abi: Abi) -> None:
    built = replace(here, stamp="1-1")  # of the host that has built it
    assert host.abi(built, "env_a") == abi
    assert host.check(built, abi, "env_a") == here.stamp


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"version": "3.99.1"}, "was built for CPython 3.99.1"),
        ({"implementation": "PyPy"}, "was built for PyPy"),
        ({"platform": "linux-riscv64"}, "on linux-riscv64"),
        ({"executable": "/nowhere/python3.11"}, "at /nowhere/python3.11, which this host does not have"),
        ({"executable": "/bin/sh"}, "names a base interpreter that is none"),
        ({"executable": "/usr/../bin/python3"}, "names a base interpreter that is none"),
    ],
)
def test_another_interpreter_is_refused(
    host: Host, here: BaseInterpreter, abi: Abi, changes: dict[str, str], part: str
) -> None:
    with pytest.raises(BuildError) as caught:
        host.check(replace(here, **changes), abi, "env_a")
    assert part in caught.value.problems[0].what
    assert caught.value.problems[0].remedy


def test_an_interpreter_at_another_path_is_refused(
    host: Host, here: BaseInterpreter, abi: Abi, tmp_path: Path
) -> None:
    """Links are resolved when an environment is built; here the same path leads elsewhere."""
    (tmp_path / "python3").symlink_to(here.executable)
    with pytest.raises(BuildError, match="which is a link to"):
        host.check(replace(here, executable=str(tmp_path / "python3")), abi, "env_a")


def test_a_program_that_only_has_the_name_is_refused(
    host: Host, here: BaseInterpreter, abi: Abi, tmp_path: Path
) -> None:
    for name, text in (("python3", "echo '{}'"), ("python3.1", "exit 3"), ("python3.2", "echo [1")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        with pytest.raises(BuildError, match=r"does not (say|start)"):
            host.check(replace(here, executable=str(program)), abi, "env_a")


@pytest.mark.parametrize(
    "changes", [{"abi": "cp399"}, {"abi": "cp312d"}, {"libc": "other 1.2"}, {"platform": "linux-riscv64"}]
)
def test_another_binary_interface_is_refused(
    host: Host, here: BaseInterpreter, abi: Abi, changes: dict[str, str]
) -> None:
    with pytest.raises(BuildError, match="was built for the interface"):
        host.check(here, replace(abi, **changes), "env_a")


WHEELS: dict[str, tuple[list[str], str, str]] = {
    "pure": (["py3-none-any"], "", ""),
    "old": (["cp36-abi3-manylinux_2_5_x86_64"], "", ""),
    "one of several": (["{cp}-{cp}-manylinux_2_99_x86_64", "{cp}-{cp}-manylinux2014_x86_64"], "", ""),
    "new": (["{cp}-{cp}-manylinux_2_99_x86_64"], "", "is for manylinux_2_99_x86_64"),
    "another kind": (["{cp}-{cp}-musllinux_1_1_x86_64"], "", "is for musllinux_1_1_x86_64"),
    "another machine": (["{cp}-{cp}-manylinux_2_17_aarch64"], "", "is for manylinux_2_17_aarch64"),
    "another python": (["cp27-cp27mu-manylinux_2_17_x86_64"], "", "is for manylinux_2_17_x86_64"),
    "from source": (["{cp}-{cp}-linux_x86_64"], "", ""),
    "from source, newer": (["{cp}-{cp}-linux_x86_64"], "glibc 2.99", "was built with glibc 2.99"),
    "from source, older": (["{cp}-{cp}-linux_x86_64"], "glibc 2.3", ""),
    "no tags": ([], "", ""),
}


@pytest.mark.parametrize("name", WHEELS)
def test_wheels_for_another_c_library_are_refused(
    name: str, host: Host, here: BaseInterpreter, abi: Abi, tmp_path: Path
) -> None:
    assert abi.libc.startswith("glibc ")
    assert here.platform == "linux-x86_64"
    tags, libc, part = WHEELS[name]
    info = tmp_path / SITE / "grid-1.0.dist-info"
    info.mkdir(parents=True)
    lines = [f"Tag: {tag.format(cp=abi.abi)}" for tag in tags]
    (info / "WHEEL").write_text("\n".join(["Wheel-Version: 1.0", *lines]) + "\n")
    built = replace(abi, libc=libc or abi.libc)
    if not part:
        host.check_wheels(tmp_path, here, built, "env_a")
        return
    with pytest.raises(BuildError) as caught:
        host.check_wheels(tmp_path, here, built, "env_a")
    assert f"grid-1.0 {part}" in caught.value.problems[0].what
