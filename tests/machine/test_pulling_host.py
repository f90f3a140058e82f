"""A host of many is a machine of its own: without uv, an index, a network or a compiler. Releases come on a disk.

One guest builds and pushes, into an archive and a folder. The other one, in which its disk is put, pulls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine import disk, small_project
from tests.machine.guest import ALONE, ANOTHER_DISK, Guest

RELEASES = "/releases"
CARRIED = f"/mnt{RELEASES}"
BUILD = f"""
cd {small_project.PROJECT}
printf %s '{small_project.settings("bundle_a")}' > envman.toml
envman publish
envman push oci-archive:{RELEASES}/first.tar:1
printf %s '{small_project.spec("1.1")}' > environments/env_a.toml
envman lock
envman build
envman push oci:{RELEASES}/folder:2
sync
mount -o remount,ro /
"""
STRIP = f"""
rm -rf {small_project.PROJECT} {small_project.ROOT} {small_project.WHEELHOUSE} /root/.cache
{disk.HOUSE}/bin/pip --disable-pip-version-check uninstall --quiet --yes uv deflate
test "$(find / -xdev -name uv -type f)" = ""
for program in uv skopeo gcc cc ld; do ! command -v $program; done
test "$(ls /sys/class/net)" = lo
"""
HOST = "set -e; export ENVMAN_ROOT=/small;"
SSH = """#!/bin/sh
# what ssh does, over two pipes: the last word is what the host's shell gets
while [ "$1" != -- ]; do shift; done
echo "$3" > {asked}
cat {answer}
"""


@pytest.fixture(scope="module")
def carried(small_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of the guest that builds, with two releases."""
    folder = tmp_path_factory.mktemp("builder")
    image = disk.copy_image(small_disk, folder / "disk.img")
    with Guest(image, folder, ALONE) as guest:
        guest.ok(f"set -e; mkdir {RELEASES}; {BUILD}")
    return image


@pytest.fixture(scope="module")
def image(small_disk: Path, carried: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of a host that has pulled the first release, and whose power went right after that."""
    folder = tmp_path_factory.mktemp("host")
    image = disk.copy_image(small_disk, folder / "disk.img")
    with Guest(image, folder, ALONE, carried=carried) as guest:
        guest.ok(f"set -e; {STRIP} mount -o ro {ANOTHER_DISK} /mnt")
        pulled = guest.ok(f"{HOST} envman pull oci-archive:{CARRIED}/first.tar:1 --json")
        rows = json.loads(pulled)["result"]["environments"]
        states = {row["environment"]: row["status"] for row in rows}
        assert states == {"env_a": "pulled", "env_b": "switched"}  # both have the same generation
    return image


@pytest.fixture(scope="module")
def host(image: Path, carried: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with Guest(image, tmp_path_factory.mktemp("again"), ALONE, carried=carried) as guest:
        guest.ok(f"mount -o ro {ANOTHER_DISK} /mnt")
        yield guest


def test_what_was_pulled_runs_after_the_power_went(host: Guest) -> None:
    assert host.ok(f"{HOST} envman exec --bundle bundle_a -- tool").strip() == "1.0"
    host.ok(f"{HOST} envman verify")


def test_the_next_release_is_published_too(host: Guest) -> None:
    host.ok(f"{HOST} envman pull oci:{CARRIED}/folder:2")
    assert host.ok(f"{HOST} envman exec --bundle bundle_a -- tool").strip() == "1.1"
    host.ok(f"{HOST} envman verify; envman rollback env_a")
    assert host.ok(f"{HOST} envman exec --bundle bundle_a -- tool").strip() == "1.0"


def test_hosts_tells_that_it_lags_behind(host: Guest, carried: Path, tmp_path: Path) -> None:
    """From another machine, by ssh, in whose place a program hands on what it is given."""
    disk.run(["debugfs", "-R", f"rdump {RELEASES} {tmp_path}", carried])
    asked, answer = tmp_path / "asked", tmp_path / "answer"
    for pipe in (asked, answer):
        os.mkfifo(pipe)
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH.format(asked=asked, answer=answer))
    ssh.chmod(0o755)
    words = [sys.executable, "-m", "envman", "hosts", f"oci:{tmp_path}{RELEASES}/folder:2"]
    with subprocess.Popen(
        [*words, "--ssh", "vm_a", "--root", small_project.ROOT, "--json"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        finished = host.run(asked.read_text())
        assert finished.exit_code == 0, finished
        answer.write_text(finished.stdout)
        said, _ = process.communicate(timeout=300)
    rows = json.loads(said)["result"]["rows"]
    states = {(row["host"], row["environment"]): row["state"] for row in rows}
    assert states == {("vm_a", "env_a"): "behind", ("vm_a", "env_b"): "current"}
