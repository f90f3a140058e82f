"""What envman's own wheel requires comes from envman, whatever else lies beside it."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

import envman
from envman.errors import ImageError
from envman.usecases.images.own_wheel import write_own_wheel

METADATA = "Metadata-Version: 2.1\nName: envman\nVersion: {}\nRequires-Dist: installed\n"
EXTRA = 'Requires-Dist: more; extra == "images"\n'
OTHERS = '[project]\nname = "pyproject-of-others"\ndependencies = ["theirs"]\n'
OWN = '[project]\nname = "envman"\ndependencies = ["checkout"]\n'


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the package envman is in."""
    folder = tmp_path / "site-packages"
    shutil.copytree(
        Path(envman.__file__).parent, folder / "envman", ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(envman, "__file__", str(folder / "envman/__init__.py"))
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


def install(packages: Path, record: str = "envman/__init__.py") -> None:
    info = packages / f"envman-{envman.__version__}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA.format(envman.__version__) + EXTRA, encoding="utf-8")
    (info / "RECORD").write_text(f"{record},,\n{info.name}/RECORD,,\n", encoding="utf-8")


def requirements(folder: Path) -> list[str]:
    made = folder / "made"
    made.mkdir()
    with zipfile.ZipFile(write_own_wheel(made)) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
        lines = wheel.read(name).decode().splitlines()
    return [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist")]


@pytest.mark.parametrize("text", [OTHERS, OWN, "[tool.x]\n", "no TOML", "[project]\n"])
def test_a_file_that_somebody_has_installed_beside_it_says_nothing(packages: Path, text: str) -> None:
    (packages / "pyproject.toml").write_text(text, encoding="utf-8")
    install(packages)
    assert requirements(packages.parent) == ["installed"]


def test_of_a_checkout_it_is_as_the_checkout_says(packages: Path) -> None:
    """Not as envman was installed for the tests, which is another copy of it."""
    (packages / "pyproject.toml").write_text(OWN, encoding="utf-8")
    assert requirements(packages.parent) == ["checkout"]


@pytest.mark.parametrize("text", [OTHERS, "[tool.x]\n", "no TOML", "[project]\n", None])
def test_of_a_copy_it_is_not_known(packages: Path, text: str | None) -> None:
    if text is not None:
        (packages / "pyproject.toml").write_text(text, encoding="utf-8")
    install(packages, record="elsewhere/__init__.py")
    with pytest.raises(ImageError, match="neither installed nor a checkout"):
        requirements(packages.parent)


def test_every_script_is_in_it(packages: Path) -> None:
    install(packages)
    (packages.parent / "made").mkdir()
    with zipfile.ZipFile(write_own_wheel(packages.parent / "made")) as wheel:
        names = set(wheel.namelist())
    own = {path.relative_to(packages).as_posix() for path in (packages / "envman").rglob("*.py")}
    assert names >= own >= {"envman/inside/run.py", "envman/inside/python_facts.py", "envman/image_main.py"}
