"""The disk of a guest: a Debian with envman, a wheelhouse and a project, made once for all tests.

Made by mmdebstrap and pip, each with what this machine is set up with; needs root and the registries.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

DEBIAN = "user-mode-linux mmdebstrap e2fsprogs"
"""The Debian packages that the tests of this folder need."""

RELEASE = "bookworm"
INCLUDED = "systemd,systemd-sysv,dbus,procps,python3,python3-venv,bubblewrap"
REPOSITORY = Path(__file__).parents[2]
HERE = Path(__file__).parent

HOUSE = "/opt/envman"
ENVMAN = f"{HOUSE}/bin/envman"
SIZE = "4G"
TREE = "tree"

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
VARIABLES = {"PATH": f"{HOUSE}/bin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": "/root", "LANG": "C.UTF-8"}
_EXPORTED = " ".join(f"{name}={value}" for name, value in VARIABLES.items())

ALONE = f"""#!/bin/sh
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t tmpfs tmp /tmp && mount -t tmpfs run /run
mkdir /dev/shm && mount -t tmpfs shm /dev/shm
export {_EXPORTED}
exec {HOUSE}/bin/python /agent/agent.py --alone
"""

UNIT = f"""[Unit]
Description=Does what the tests ask for

[Service]
Environment={_EXPORTED}
ExecStart=/usr/bin/python3 /agent/agent.py

[Install]
WantedBy=multi-user.target
"""


def run(words: Sequence[str | Path], variables: Mapping[str, str] | None = None) -> None:
    """Run a program that has to succeed; its output is shown where it does not."""
    finished = subprocess.run(
        words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=variables
    )
    assert finished.returncode == 0, f"{words}\n{finished.stdout}\n{finished.stderr}"


def inside(tree: Path, script: str) -> None:
    """Run a shell script in the tree, as fast as this machine is, with none of this machine's variables."""
    run(["chroot", tree, "/bin/sh", "-ec", script], VARIABLES)


def make_tree(folder: Path) -> Path:
    """The root folder of a guest, below a folder: Debian, envman in /opt/envman as its README installs it."""
    tree = folder / TREE
    archive = folder / "debian.tar"
    run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={INCLUDED}", RELEASE, archive])
    tree.mkdir()
    run(["tar", "-xf", archive, "-C", tree])
    archive.unlink()
    _install_envman(tree)
    _install_agent(tree)
    inside(tree, "useradd --system --create-home --home-dir /var/lib/airflow airflow")
    inside(tree, "useradd --system team_a && useradd --system team_b")
    return tree


def _install_envman(tree: Path) -> None:
    wheels = tree / "wheels"
    run([*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, REPOSITORY])
    download(wheels, f"{next(wheels.glob('envman-*.whl'))}[images]")
    pip = f"{HOUSE}/bin/pip --disable-pip-version-check install --quiet --no-index --find-links /wheels"
    inside(
        tree, f"python3 -m venv --copies {HOUSE} && {pip} 'envman[images]' && chmod 711 {HOUSE}/bin/python*"
    )
    shutil.rmtree(wheels)


def download(wheels: Path, *requirements: str) -> None:
    """Put the wheels of packages, and of what they need, into a folder, for the guest's Python."""
    platforms = [f"--platform=manylinux_2_{number}_x86_64" for number in (36, 34, 31, 28, 27, 17)]
    run(
        [
            *(*PIP, "download", "--quiet", "--dest", wheels),
            *("--only-binary=:all:", "--python-version=3.11", "--implementation=cp", *platforms),
            *("--platform=manylinux2014_x86_64", *requirements),
        ]
    )


def _install_agent(tree: Path) -> None:
    (tree / "agent").mkdir()
    shutil.copy(HERE / "agent.py", tree / "agent/agent.py")
    alone = tree / "agent/alone"
    alone.write_text(ALONE, encoding="utf-8")
    alone.chmod(0o755)
    units = tree / "etc/systemd/system"
    (units / "agent.service").write_text(UNIT, encoding="utf-8")
    inside(
        tree, "systemctl enable -q agent.service && systemctl mask -q serial-getty@ttyS0.service getty.target"
    )
    (tree / "etc/machine-id").write_text("00112233445566778899aabbccddeeff\n", encoding="ascii")
    (tree / "etc/fstab").write_text("/dev/ubda / ext4 defaults 0 1\n", encoding="ascii")


def make_image(tree: Path, image: Path) -> Path:
    """A disk image with an ext4 file system that holds a tree."""
    run(["truncate", "--size", SIZE, image])
    run(["mke2fs", "-q", "-t", "ext4", "-d", tree, image])
    return image


def copy_image(image: Path, copy: Path) -> Path:
    """Another disk of the same content."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "--sparse=always", "--reflink=auto", image, copy])
    return copy
