"""Operators that bring an interpreter for a task: what a bundle's own environment makes needless. Pure.

Found in a file's text, without running it: by the names under which they are imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from envman.proof.verdicts import NeedlessUse

OPERATORS = {
    "PythonVirtualenvOperator",
    "BranchPythonVirtualenvOperator",
    "ExternalPythonOperator",
    "BranchExternalPythonOperator",
}
DECORATORS = {"virtualenv", "branch_virtualenv", "external_python", "branch_external_python"}
FUNCTIONS = {
    "virtualenv_task",
    "branch_virtualenv_task",
    "external_python_task",
    "branch_external_python_task",
}
"""What decorators are as functions of Airflow's modules."""

MOST_ASKED = 20


def needless_uses(text: str | bytes, file: str) -> list[NeedlessUse]:
    """All uses in a file, by lines; none where it is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    names = _imported(tree)
    found = []
    for node, called in _used(tree):
        name = _name(called, names)
        if name:
            asks = _asks(node) if isinstance(node, ast.Call) else ()
            found.append(NeedlessUse(file, called.lineno, name, asks))
    return sorted(found, key=lambda one: (one.line, one.name))


def _used(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.expr]]:
    """What is called, and decorators that are not: each with the expression that names it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, node.func
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from ((one, one) for one in node.decorator_list if not isinstance(one, ast.Call))


def _imported(tree: ast.Module) -> dict[str, str]:
    """The names of the file that are of Airflow, each as what it is there: `task` as `airflow.sdk.task`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and _is_airflows(node.module):
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            for one in node.names:
                if _is_airflows(one.name):
                    names |= {one.asname: one.name} if one.asname else {"airflow": "airflow"}
    return names


def _is_airflows(module: str) -> bool:
    return module.partition(".")[0] == "airflow"


def _name(called: ast.expr, names: dict[str, str]) -> str:
    """What an expression is, if it is one of those: an operator's name, or a decorator as one writes it."""
    words: list[str] = []
    while isinstance(called, ast.Attribute):
        words.append(called.attr)
        called = called.value
    if not isinstance(called, ast.Name) or called.id not in names:
        return ""
    whole = ".".join([names[called.id], *reversed(words)])
    before, _, last = whole.rpartition(".")
    if last in OPERATORS or last in FUNCTIONS:
        return last
    return f"@task.{last}" if last in DECORATORS and before.endswith(".task") else ""


def _asks(call: ast.Call) -> tuple[str, ...]:
    """The requirements, or the interpreter, that a call names as strings."""
    for keyword in call.keywords:
        if keyword.arg in {"requirements", "python"}:
            values = (
                keyword.value.elts if isinstance(keyword.value, (ast.List, ast.Tuple)) else [keyword.value]
            )
            texts = [one.value for one in values if isinstance(one, ast.Constant)]
            return tuple(text for text in texts if isinstance(text, str))[:MOST_ASKED]
    return ()
