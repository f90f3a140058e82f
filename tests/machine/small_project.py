"""A project of small packages on a guest's disk: builds take a second or two there."""

from __future__ import annotations

from pathlib import Path

from tests.machine.disk import inside
from tests.wheels import make_wheel

PROJECT = "/project"
ROOT = "/small"
WHEELHOUSE = "/house"
MODULES = 60
NEWEST = 60


def add_project(tree: Path) -> None:
    """Add two environments, built, and a wheelhouse with many versions of their one package."""
    house = tree / WHEELHOUSE[1:]
    for number in range(NEWEST + 1):
        version = f"1.{number}"
        make_wheel(house, "grid", version, files=_modules(version), console_script="tool = grid:main")
    project = tree / PROJECT[1:]
    (project / "environments").mkdir(parents=True)
    (project / "envman.toml").write_text(settings(), encoding="utf-8")
    (project / "uv.toml").write_text(f'no-index = true\nfind-links = ["{WHEELHOUSE}"]\n', encoding="utf-8")
    for name in ("env_a", "env_b"):
        (project / f"environments/{name}.toml").write_text(spec("1.0"), encoding="utf-8")
    inside(tree, f"cd {PROJECT} && envman lock && envman build")


def settings(bundle: str | None = None) -> str:
    """The project's envman.toml, with a bundle of env_a or with none."""
    bundles = f'[bundles]\n{bundle} = {{ environment = "env_a" }}\n' if bundle else ""
    return f'root = "{ROOT}"\n{bundles}'


def spec(version: str) -> str:
    """An environment's spec with a version of the package."""
    return f'requires-python = "==3.11.*"\ndependencies = ["grid=={version}"]\n'


def _modules(version: str) -> dict[str, str]:
    """A package whose modules all know the package's version."""
    main = f"__version__ = {version!r}\n\n\ndef main():\n    print(__version__)\n"
    one = f"VERSION = {version!r}\n" + "# what a file of some length has besides\n" * 200
    return {"grid/__init__.py": main, **{f"grid/part_{number}.py": one for number in range(MODULES)}}
