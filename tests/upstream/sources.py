"""Airflow's source, of each version that envman supports: fetched as wheels, read, and never imported."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

VERSIONS = ("3.3.0", "3.3.1", "3.3.2", "3.4.0b2")
"""Of Airflow, those that the shared components support, the oldest first."""

PROVIDERS = (
    *(
        "amazon==9.39.0",
        "apache-hive==9.7.1",
        "celery==3.26.0",
        "cncf-kubernetes==10.25.0",
        "common-io==1.11.0",
    ),
    *("edge3==5.1.0", "elasticsearch==6.10.0", "fab==3.10.2", "informatica==0.2.2", "keycloak==0.11.2"),
    *("microsoft-azure==15.2.1", "openlineage==2.20.3", "opensearch==1.15.0", "postgres==7.1.1"),
    *("snowflake==6.19.0", "standard==1.21.0", "yandex==4.6.1"),
)
"""Airflow's providers that describe options of its configuration."""

PYTHON = "3.12"
"""Whose wheels are fetched; they are the same for all."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
SECTIONS = (ast.If, ast.Try, ast.With)


def fetch(version: str, folder: Path) -> Sources:
    """Unpack the core and the task SDK of a version into a folder, and nothing of what they need."""
    return Sources(
        unpack([f"apache-airflow-core=={version}", f"apache-airflow-task-sdk==1{version[1:]}"], folder)
    )


def unpack(requirements: list[str], folder: Path) -> Path:
    """Unpack packages into a folder."""
    words = ["pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", PYTHON]
    environ = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    subprocess.run(
        [find_uv_bin(), *words, "--target", str(folder), *requirements],
        env=environ | {"UV_PYTHON_DOWNLOADS": "never"},
        cwd=folder.parent,
        check=True,
    )
    return folder


@dataclass(frozen=True)
class Found:
    """What a name stands for: a node, and the module that it is in."""

    module: str
    node: ast.AST


class Sources:
    """The modules below a folder, by their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, ast.Module | None] = {}

    def module(self, name: str) -> ast.Module | None:
        """A module's syntax tree; None where there is no such module."""
        if name not in self._read:
            path = self._folder.joinpath(*name.split("."))
            files = (path.with_suffix(".py"), path / "__init__.py")
            text = next((file.read_text(encoding="utf-8") for file in files if file.is_file()), None)
            self._read[name] = None if text is None else ast.parse(text)
        return self._read[name]

    def find(self, module: str, name: str) -> Found | None:
        """What a name of a module stands for, through imports and base classes; None where it is not there."""
        tree = self.module(module)
        if tree is None:
            return None
        if not name:
            return Found(module, tree)
        first, _, rest = name.partition(".")
        for node in _statements(tree.body):
            if isinstance(node, ast.ImportFrom) and (found := self._imported(module, node, first, rest)):
                return found
            if not rest and isinstance(node, ast.Import) and _names(node, first):
                return Found(module, node)
            if _defines(node, first):
                return self._member(module, node, rest) if rest else Found(module, node)
        return self.find(f"{module}.{first}", rest)

    def _imported(self, module: str, node: ast.ImportFrom, first: str, rest: str) -> Found | None:
        for alias in node.names:
            if (alias.asname or alias.name) == first and (source := self._source(module, node)):
                if not source.startswith("airflow"):
                    return Found(module, node)
                return self.find(source, f"{alias.name}.{rest}".rstrip("."))
        return None

    def _source(self, module: str, node: ast.ImportFrom) -> str:
        """The module that something is imported from, by its whole name."""
        if not node.level:
            return node.module or ""
        is_package = self._folder.joinpath(*module.split("."), "__init__.py").is_file()
        parts = module.split(".")
        above = parts[: len(parts) + is_package - node.level]
        return ".".join([*above, *([node.module] if node.module else [])])

    def _member(self, module: str, node: ast.AST, name: str) -> Found | None:
        if not isinstance(node, ast.ClassDef):
            return None
        first, _, rest = name.partition(".")
        for part in _statements(node.body):
            if _defines(part, first):
                return self._member(module, part, rest) if rest else Found(module, part)
        for base in node.bases:
            whole = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
            if found := self.find(module, f"{whole}.{name}"):
                return found
        return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What stands in a body, and in its conditions."""
    for node in body:
        yield node
        if isinstance(node, SECTIONS):
            for section in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, section, []))


def _names(node: ast.Import, name: str) -> bool:
    return any((alias.asname or alias.name) == name for alias in node.names)


def _defines(node: ast.stmt, name: str) -> bool:
    if isinstance(node, Definition):
        return node.name == name
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return any(isinstance(one, ast.Name) and one.id == name for one in targets)


UNSEEN = {"annotation", "returns", "type_comment", "type_ignores", "type_params", "kind", "ctx"}
"""Fields that say nothing of what code does, or that not every Python's parser fills in."""


def digest(found: Found) -> str:
    """A digest of what it does: without comments, docstrings and types, the same on each Python.

    Of a class it is that of its methods' signatures: what they do has digests of its own.
    """
    node = found.node
    if isinstance(node, ast.ClassDef):
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        plain: object = [(one.name, _plain(one.args)) for one in methods]
    else:
        plain = _plain(node)
    return hashlib.sha256(repr(plain).encode()).hexdigest()[:12]


def _plain(value: object) -> object:
    """A syntax tree as plain lists, without what is empty or not seen."""
    if isinstance(value, list):
        return [_plain(one) for one in value if not _is_words(one)]
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = [(name, one) for name, one in ast.iter_fields(value) if name not in UNSEEN]
    return [type(value).__name__, *((name, _plain(one)) for name, one in fields if one not in (None, []))]


def _is_words(node: object) -> bool:
    """Whether a statement is a docstring, or the like of one."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
