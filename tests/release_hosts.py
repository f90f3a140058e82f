"""Hosts that pull: each has a root folder of its own, at the one path that releases are for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import Deployment, Result

_FULL = """
mount -t tmpfs -o size=$1 tmpfs "$2"
cp -a "$3/." "$2"
place=$4
root=$2
shift 4
status=0
"$@" pull "$place" || status=$?
test $status = 8
"$@" verify
"$@" exec --bundle bundle_a -- python -c 'import frame; print(frame.__version__)'
mount -o remount,size=200m "$root"
"$@" pull "$place"
"$@" verify
"$@" history env_a
"""
_INSIDE = 'mount --bind "$1" "$2"; cd "$3"; shift 3; exec "$@"'


@dataclass(frozen=True)
class PullingHost:
    """A host by its root's content; for what runs in its mount namespace, that stands at `root`.

    It has no project, and on PATH no more than what is named there: no uv, no compiler.
    """

    folder: Path
    root: Path
    environment: Mapping[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [
            "unshare",
            "-m",
            "sh",
            "-ec",
            _INSIDE,
            "sh",
            str(self.folder),
            str(self.root),
            "/",
            *arguments,
        ]

    def envman(self, *arguments: str) -> list[str]:
        return self.command(sys.executable, "-m", "envman", *arguments)

    def run(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Result:
        finished = subprocess.run(
            self.envman(*arguments),
            env={**self.environment, **(variables or {})},
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in finished.stderr, finished.stderr
        return Result(finished.returncode, finished.stdout, finished.stderr)

    def ok(self, *arguments: str, variables: Mapping[str, str] | None = None) -> Result:
        result = self.run(*arguments, variables=variables)
        assert result.exit_code == 0, result.stdout + result.stderr
        return result

    def on_a_full_disk(self, place: str, room: int) -> subprocess.CompletedProcess[str]:
        """Pull a release onto a copy of this root on a small disk, with so many KiB of room; look at what was
        there; then pull again with more room. Nothing of that stays.
        """
        used = sum(file.lstat().st_blocks * 512 for file in self.folder.rglob("*"))
        words = ["unshare", "-m", "sh", "-exc", _FULL, "sh", f"{used // 1024 + room}k", str(self.root)]
        return subprocess.run(
            [*words, str(self.folder), place, sys.executable, "-m", "envman"],
            env={**self.environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            cwd="/",
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )

    def current(self, name: str) -> str:
        return (self.folder / name).readlink().name

    def generations(self) -> set[str]:
        folder = self.folder / ".gen"
        return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


PROGRAMS = ("sh", "mount", "unshare", "env")


def new_host(folder: Path, builder: Deployment, programs: tuple[str, ...] = ()) -> PullingHost:
    """A host whose root, of the builder's path, is empty."""
    root, tools = folder / "root", folder / "bin"
    for one in (root, tools):
        one.mkdir(parents=True)
    for name in (*PROGRAMS, *programs):
        found = shutil.which(name)
        assert found, f"no {name}"
        (tools / name).symlink_to(found)
    kept = {key: builder.environment[key] for key in ("LANG", "PYTHONWARNINGS", "XDG_RUNTIME_DIR")}
    variables = {**kept, "PATH": str(tools), "HOME": str(folder), "ENVMAN_ROOT": str(builder.root)}
    return PullingHost(root, builder.root, variables)
