"""The envman that runs, as a wheel (PEP 427): what builds in an image is the envman that was asked to."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

import envman
from envman.errors import ImageError, Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can hold: the same files are the same wheel."""

_WHEEL = "Wheel-Version: 1.0\nGenerator: envman\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_COMMANDS = "[console_scripts]\nenvman = envman.__main__:main\n"


def write_own_wheel(folder: Path) -> Path:
    """Write it into a folder; returns its path. Raises ImageError where its requirements are not known."""
    package = Path(envman.__file__).parent
    name = f"envman-{envman.__version__}"
    info = f"{name}.dist-info"
    metadata = ["Metadata-Version: 2.1", "Name: envman", f"Version: {envman.__version__}"]
    metadata += [f"Requires-Dist: {line}" for line in _requirements(package)]
    files = {
        f"envman/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    files[f"{info}/METADATA"] = ("\n".join(metadata) + "\n").encode()
    files[f"{info}/WHEEL"] = _WHEEL.encode()
    files[f"{info}/entry_points.txt"] = _COMMANDS.encode()
    record = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    target = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(zipfile.ZipInfo(path, _TIME), content, zipfile.ZIP_DEFLATED)
    return target


def _requirements(package: Path) -> Sequence[str]:
    """What envman needs: as it was installed, else, of a checkout, as its pyproject.toml says now."""
    if installed := _installed(package):
        return [line for line in installed.requires or () if "extra ==" not in line]
    try:
        project = tomllib.loads((package.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        if project["name"] == "envman":
            return list(project["dependencies"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # it is none, or another project's
        pass
    what = f"{package} is neither installed nor a checkout, so it is not known what it needs"
    raise ImageError(Problem("envman", what, "Install envman with pip or uv."))


def _installed(package: Path) -> Distribution | None:
    """What was installed together with the package; not what was installed of another copy of it."""
    for one in distributions(name="envman", path=[str(package.parent)]):
        if any(Path(str(one.locate_file(file))) == package / "__init__.py" for file in one.files or ()):
            return one
    return None


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
