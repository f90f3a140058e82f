"""The envman that runs, as a wheel (PEP 427): what builds in an image is the envman that was asked to."""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
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
    """What envman needs: of a checkout as its pyproject.toml says now, else as it was installed."""
    checkout = package.parent / "pyproject.toml"
    if checkout.is_file():
        return list(tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]["dependencies"])
    try:
        return [line for line in distribution("envman").requires or () if "extra ==" not in line]
    except PackageNotFoundError:
        what = "is not installed, so it is not known what it needs"
        raise ImageError(Problem("envman", what, "Install envman with pip or uv.")) from None


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
