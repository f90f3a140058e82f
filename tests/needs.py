"""What a lane needs of this machine: what is missing, and how it comes here.

As root on Debian, missing packages are installed; the noxfile asks for it, so that a developer's machine and CI's
get the same. What can't be had is named. Runs in nox's own Python: the standard library, and what nox brings.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.lanes import DEBIAN, DEBIAN_PYTHONS, MAKERS

MADE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "envman-tests"
"""Where programs are that were taken from another release of Debian: not in the checkout, as no machine's are."""

UML = "linux.uml"
KERNEL = MADE / "user-mode-linux"
KERNELS = "forky"
"""User-mode Linux up to 6.12 can't run on a processor with AMX, whose registers are larger than it thinks."""

PATH = os.environ.get("PATH", os.defpath)
"""The caller's; the noxfile adds to its own."""

FACTS = {
    "root": lambda: os.geteuid() == 0,
    "cgroup v1": lambda: all(Path("/sys/fs/cgroup", name, "tasks").exists() for name in ("memory", "pids")),
}


def provide(needs: Iterable[str]) -> list[str]:
    """Install what can be installed; returns what is missing all the same, as a person would call it."""
    needs = list(needs)
    if all(FACTS[need]() for need in needs if need in FACTS):  # else it would be in vain
        _install([need for need in needs if need in DEBIAN and not _program(need)])
    return list(dict.fromkeys(_called(need) for need in needs if not _is_there(need)))


def user_mode_linux() -> str:
    """The program that runs guests on this machine's processor."""
    has_amx = "amx_tile" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return str(KERNEL / "usr/bin/linux.uml") if has_amx else UML


def provide_python(version: str) -> bool:
    """See that there is a Python for the lane `unit`; whether there is."""
    if _find_python(version, search_path_of_unit()):
        return True
    release = DEBIAN_PYTHONS.get(version)
    if release is None or provide(MAKERS):
        return False
    return _take_python(version, release)


def search_path() -> str:
    """PATH, and after it the Pythons of pyenv that are not activated: tests find those, too."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return os.pathsep.join([PATH, *map(str, sorted(pyenv.glob("versions/3.*/bin")))])


def search_path_of_unit() -> str:
    """The same, and after it the Pythons that were taken from other releases of Debian."""
    return os.pathsep.join([search_path(), *(str(MADE / version / "usr/bin") for version in DEBIAN_PYTHONS)])


def _find_python(version: str, path: str) -> bool:
    from python_discovery import get_interpreter

    return get_interpreter(version, env={**os.environ, "PATH": path}) is not None


def _is_there(need: str) -> bool:
    if need in FACTS:
        return FACTS[need]()
    if need == UML:
        return _program(need) if user_mode_linux() == UML else _take_kernel()
    if need.startswith("Python "):
        return _find_python(need.removeprefix("Python "), search_path())
    return _program(need)


def _called(need: str) -> str:
    return DEBIAN.get(need, need)


def _program(name: str) -> bool:
    # Debian keeps PostgreSQL's programs beside PATH, and its own for administrators beside a user's.
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), "/usr/sbin", "/sbin"]
    folders += [str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin")]
    return shutil.which(name, path=os.pathsep.join(folders)) is not None


def _install(programs: list[str]) -> None:
    packages = sorted({DEBIAN[program] for program in programs})
    if not packages or os.geteuid() or not shutil.which("apt-get"):
        return
    print(f"Installing with apt-get: {' '.join(packages)}", flush=True)
    if _update():
        words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        _apt(words)


@functools.cache
def _update() -> bool:
    return _apt(["apt-get", "update", "-qq"])


def _apt(words: list[str]) -> bool:
    # Whether it failed is seen by what is missing afterwards.
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    words = [*words, "-o", "DPkg::Lock::Timeout=600"]
    return subprocess.run(words, env=environ, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _take_python(version: str, release: str) -> bool:
    packages = f"python{version},python{version}-venv"
    return _take(packages, release, MADE / version, f"usr/bin/python{version}")


def _take_kernel() -> bool:
    return not provide(MAKERS) and _take("user-mode-linux", KERNELS, KERNEL, "usr/bin/linux.uml")


def _take(packages: str, release: str, folder: Path, program: str) -> bool:
    """Unpack a program with its own C library, and tie the two together: this machine's may be older.

    A release that is not stable is signed for a week, and a mirror may be behind; the signature is checked anyway.
    """
    if (folder / program).exists():
        return True
    MADE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=MADE) as temporary:
        unfinished = Path(temporary) / "root"
        print(f"Taking {packages} from Debian {release}, into {folder}", flush=True)
        words = ["mmdebstrap", "--quiet", "--variant=extract", '--aptopt=Acquire::Check-Valid-Until "false"']
        words += [f"--include={packages}", release, str(unfinished)]
        if subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode:
            return False
        (loader,) = unfinished.glob("usr/lib/*-linux-gnu/ld-linux-*.so.*")
        final = folder / loader.relative_to(unfinished)
        words = [
            "patchelf",
            "--set-interpreter",
            str(final),
            "--force-rpath",
            "--set-rpath",
            str(final.parent),
        ]
        subprocess.run([*words, str(unfinished / program)], check=True)
        with contextlib.suppress(OSError):  # another run was quicker: its own is as good
            unfinished.rename(folder)
    return folder.is_dir()
