"""The names of Airflow's that envman's own source uses, read from its syntax trees: nothing is imported.

Found are: what is imported of Airflow, at whatever moment; the attributes of what was imported; modules of
Airflow's named in strings; and, in classes that inherit from Airflow's, what `self`, `cls` and `super()` are
asked for that no class of envman gives them.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import envman

HOUSE = Path(envman.__file__).parent
MODULE = re.compile(r"airflow(\.[a-z_][a-z0-9_]*)+")
ASKED = {"getattr", "hasattr", "setattr"}


@dataclass
class Module:
    """One module of envman's: what its names stand for, and its classes."""

    name: str
    tree: ast.Module
    imported: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    constants: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Module:
        name = ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts)
        made = cls(name, ast.parse(path.read_text(encoding="utf-8")))
        for node in ast.walk(made.tree):
            made._take(node)
        return made

    def _take(self, node: ast.AST) -> None:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                self.imported[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            self.modules |= {alias.name for alias in node.names if alias.name.split(".")[0] == "airflow"}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    self.constants[target.id] = node.value.value

    @functools.cached_property
    def airflow(self) -> dict[str, str]:
        """What is imported of Airflow, by the name that it has here."""
        return {name: what for name, what in self.imported.items() if what.startswith("airflow.")}

    def chain(self, node: ast.AST) -> str:
        """What an expression means in Airflow, such as `coordinator.BaseCoordinator`; else empty."""
        if isinstance(node, ast.Name):
            return self.airflow.get(node.id, "")
        if isinstance(node, ast.Attribute) and (before := self.chain(node.value)):
            return f"{before}.{node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ASKED:
            name = node.args[1]
            text = name.value if isinstance(name, ast.Constant) else ""
            text = self.constants.get(name.id, "") if isinstance(name, ast.Name) else text
            if (before := self.chain(node.args[0])) and isinstance(text, str) and text:
                return f"{before}.{text}"
        return ""

    def names(self) -> Iterator[str]:
        """Every name of Airflow's that stands in it, each with what it was reached by."""
        yield from self.airflow.values()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute | ast.Call) and (found := self.chain(node)):
                yield found
            elif isinstance(node, ast.Constant) and MODULE.fullmatch(str(node.value)):
                yield str(node.value)

    def classes(self) -> Iterator[Class]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                bases = [self.chain(base) or self._own(base) for base in node.bases]
                yield Class(f"{self.name}.{node.name}", tuple(filter(None, bases)), node)

    def _own(self, base: ast.expr) -> str:
        if not isinstance(base, ast.Name):
            return ""
        return self.imported.get(base.id, f"{self.name}.{base.id}")


@dataclass(frozen=True)
class Class:
    """A class of envman's, with its bases by their whole names."""

    name: str
    bases: tuple[str, ...]
    node: ast.ClassDef

    def gives(self) -> set[str]:
        """What it defines: methods and class attributes, also those that it only declares."""
        found = set()
        for node in self.node.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    found |= {one.id for one in ast.walk(target) if isinstance(one, ast.Name)}
        return found

    def sets(self) -> set[str]:
        """What an `__init__` of its own gives to `self`."""
        starts = [
            one for one in self.node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"
        ]
        return {
            node.attr
            for start in starts
            for node in ast.walk(start)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }

    def asks(self) -> Iterator[tuple[str, bool]]:
        """What `self`, `cls` and `super()` are asked for, and whether it was `super()`."""
        for node in ast.walk(self.node):
            if not isinstance(node, ast.Attribute):
                continue
            value = node.value
            if isinstance(value, ast.Name) and value.id in {"self", "cls"}:
                yield node.attr, False
            elif (
                isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "super"
            ):
                yield node.attr, True


class House:
    """All modules that run in Airflow's processes."""

    def __init__(self, folders: Iterable[str] = ("airflow", "inside", "launch")) -> None:
        self.modules = [
            Module.read(path) for folder in folders for path in sorted((HOUSE / folder).rglob("*.py"))
        ]
        self.classes = {one.name: one for module in self.modules for one in module.classes()}

    def names(self) -> dict[str, set[str]]:
        """The names of Airflow's, each with the modules of envman's that use it."""
        found: dict[str, set[str]] = {}
        for module in self.modules:
            for name in (*module.names(), *module.modules):
                found.setdefault(name, set()).add(module.name)
        return found

    def above(self, one: Class) -> tuple[list[Class], list[str]]:
        """The classes of envman's that a class is made of, itself first, and Airflow's."""
        own, foreign = [one], []
        for base in one.bases:
            if base in self.classes:
                more, others = self.above(self.classes[base])
                own += more
                foreign += others
            elif base.startswith("airflow."):
                foreign.append(base)
        return own, foreign

    def inherited(self) -> Iterator[tuple[Class, str, list[str]]]:
        """For each class that inherits from Airflow's: what it is asked for that only those can give."""
        for one in self.classes.values():
            own, foreign = self.above(one)
            if not foreign:
                continue
            given = {name for each in own for name in each.gives() | each.sets()}
            for name, of_super in one.asks():
                if of_super or name not in given:
                    yield one, name, foreign

    def overridden(self) -> Iterator[tuple[Class, str, list[str]]]:
        """For each class that inherits from Airflow's: the methods and attributes that it defines."""
        for one in self.classes.values():
            _, foreign = self.above(one)
            if foreign:
                for name in one.gives():
                    yield one, name, foreign

    def privates(self) -> Iterator[tuple[str, str]]:
        """Attributes with an underscore that no class or module of envman's defines, by whomever they are
        asked for.
        """
        defined = {name for one in self.classes.values() for name in one.gives() | one.sets()}
        for module in self.modules:
            defined |= {
                node.attr
                for node in ast.walk(module.tree)
                if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            }
        for module in self.modules:
            for node in ast.walk(module.tree):
                attribute = node.attr if isinstance(node, ast.Attribute) else ""
                if re.match("_[^_]", attribute) and attribute not in defined:
                    yield module.name, attribute
