"""The variables that envman sets for the component alone, and those that its operator gave it."""

from __future__ import annotations

import os

_operators: dict[str, str | None] = {}


def leave_to_component(name: str) -> None:
    """Whatever the component sets a variable to from now on, its workloads have the operator's value."""
    _operators.setdefault(name, os.environ.get(name))


def set_for_component(name: str, value: str) -> None:
    """Set a variable of this process that its workloads shall not see."""
    leave_to_component(name)
    os.environ[name] = value


def operators_variables() -> dict[str, str]:
    """The variables of this process as its operator has set them."""
    variables = dict(os.environ)
    for name, value in _operators.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    return variables
