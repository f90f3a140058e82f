"""What a Python file imports, read in its syntax tree: nothing is run.

Also found: imports in functions and behind conditions, and `importlib.import_module`, `__import__` and
Airflow's `import_string` with a plain string. Imports for types alone (`TYPE_CHECKING`) are left out.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

ELSEWHERE = frozenset({"virtualenv", "external_python", "docker", "kubernetes"})
"""Decorators of `task` whose functions run in another interpreter: `@task.virtualenv`."""

ELSEWHERE_OPERATORS = ("VirtualenvOperator", "ExternalPythonOperator")
"""How the names of operators end whose `python_callable` runs in another interpreter."""

_LOADERS = frozenset({"import_module", "__import__", "import_string"})
_WHOLE = ("", "*")


@dataclass(frozen=True, order=True)
class FoundImport:
    """One import: a module, what of it ('' for itself), and how many dots stand before it.

    `optional`: the file goes on where it fails. `elsewhere`: it happens in a function that runs in another
    interpreter, and this names what makes it do so.
    """

    module: str
    name: str
    level: int
    line: int
    optional: bool = False
    elsewhere: str = ""

    def place(self, path: str) -> str:
        """Where it stands in a file, `file:line`; the file alone where there are no lines."""
        return f"{path}:{self.line}" if self.line else path


class UnreadableSourceError(Exception):
    """A file that no parser takes; the text says why, without a line of the file."""


def imports_of(source: bytes) -> tuple[FoundImport, ...]:
    """The imports of a file, sorted; raises UnreadableSourceError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's own escapes
            tree = ast.parse(source)
        return tuple(sorted(set(_walk(tree))))
    except SyntaxError as error:
        raise UnreadableSourceError(f"is no Python that this envman reads: line {error.lineno}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableSourceError(f"is no Python that this envman reads: {type(error).__name__}") from None


def _walk(tree: ast.Module) -> Iterator[FoundImport]:
    elsewhere = _callables_elsewhere(tree)
    waiting: list[tuple[ast.AST, bool, str]] = [(tree, False, "")]
    while waiting:
        node, optional, where = waiting.pop()
        yield from _at(node, optional, where)
        children: list[ast.AST] = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and _is_for_types(node.test):
            children = [*node.orelse]
        elif isinstance(node, ast.Try) and _goes_on(node):
            waiting += [(child, True, where) for child in (*node.body, *node.handlers)]
            children = [*node.orelse, *node.finalbody]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            makes = where or elsewhere.get(node.name, "") or _decorated(node)
            waiting += [(child, optional, makes) for child in node.body]
            children = [*node.decorator_list, node.args]
        waiting += [(child, optional, where) for child in children]


def _at(node: ast.AST, optional: bool, where: str) -> Iterator[FoundImport]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield FoundImport(alias.name, "", 0, node.lineno, optional, where)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            name = "" if alias.name in _WHOLE else alias.name
            yield FoundImport(node.module or "", name, node.level, node.lineno, optional, where)
    elif isinstance(node, ast.Call) and node.args and (loader := _last(node.func)) in _LOADERS:
        first = node.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and is_dotted(first.value):
            module, name = first.value, ""
            if loader == "import_string":
                module, _, name = first.value.rpartition(".")
            if module:
                yield FoundImport(module, name, 0, node.lineno, optional, where)


def is_dotted(text: str) -> bool:
    """Whether a text can be a module's name: 'a.b'."""
    return all(part.isidentifier() for part in text.split("."))


def _last(node: ast.AST) -> str:
    """The last name of `a.b.c`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_for_types(test: ast.expr) -> bool:
    return _last(test) == "TYPE_CHECKING"


def _goes_on(node: ast.Try) -> bool:
    caught = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    for handler in node.handlers:
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        if any(one is None or _last(one) in caught for one in types):
            return True
    return False


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The decorator that makes a function run in another interpreter: 'task.virtualenv'; or ''."""
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute) and called.attr in ELSEWHERE and _last(called.value) == "task":
            return f"@task.{called.attr}"
    return ""


def _callables_elsewhere(tree: ast.Module) -> dict[str, str]:
    """Functions that only operators with another interpreter call, each with that operator's name."""
    found: dict[str, str] = {}
    here: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            operator = _last(node.func)
            for keyword in node.keywords:
                if keyword.arg == "python_callable" and isinstance(keyword.value, ast.Name):
                    if operator.endswith(ELSEWHERE_OPERATORS):
                        found[keyword.value.id] = operator
                    else:
                        here.add(keyword.value.id)
    return {name: operator for name, operator in found.items() if name not in here}
