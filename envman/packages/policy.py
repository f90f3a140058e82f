"""Which licenses are allowed: rules on SPDX expressions, where OR is a choice and AND is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from envman.errors import EnvmanError, Problem, UsageError
from envman.names import nearest
from envman.packages.license import UNKNOWN, License, expression

_GNU = re.compile(r"((?:[AL]?GPL|GFDL)-\d\.\d)(\+)?")
"""Identifiers that SPDX has given up: without a suffix they leave open whether later versions count."""


@dataclass(frozen=True)
class Policy:
    """Licenses that are allowed (none: all) and denied: SPDX identifiers, or words as metadata has them.

    `X WITH exception` is a license of its own.
    """

    allow: frozenset[str] = field(default_factory=frozenset)
    deny: frozenset[str] = field(default_factory=frozenset)

    def allows(self, license_: License) -> bool:
        """Whether a package under this license may be there. Raises EnvmanError without license-expression.

        Of an OR one side has to be allowed, of an AND each, and each part. `unknown` stands for no license.
        """
        if not self.allow and not self.deny:
            return True
        return all(self._part(part) for part in license_.parts or (UNKNOWN,))

    def _part(self, part: str) -> bool:
        found = expression(part)
        return self._tree(_parsed(found)) if found else self._one(part)

    def _tree(self, tree: Any) -> bool:
        if not hasattr(tree, "operator"):
            return self._one(tree.render())
        sides = [self._tree(side) for side in tree.args]
        return any(sides) if tree.operator.strip() == "OR" else all(sides)

    def _one(self, name: str) -> bool:
        wanted = _key(name)
        return wanted not in self.deny and (not self.allow or wanted in self.allow)


def make_policy(allow: Iterable[str], deny: Iterable[str], licenses: Iterable[License]) -> Policy:
    """The rules that these names make; raises UsageError for one that can't be what was meant.

    What is denied has to be an SPDX identifier, or to stand in one of the packages' licenses: a typing error
    would allow what it meant to deny.
    """
    words = {part for license_ in licenses for part in license_.parts} | {UNKNOWN}
    known = {_key(part) for part in words}
    problems: list[Problem] = []
    rules: dict[str, set[str]] = {"--allow": set(), "--deny": set()}
    for option, names in (("--allow", allow), ("--deny", deny)):
        for name in names:
            found = expression(name)
            if found and hasattr(_parsed(found), "operator"):
                remedy = f"Pass each by itself: {option} MIT {option} Apache-2.0"
                problems.append(Problem(f"{option} '{name}'", "names several licenses", remedy))
            elif option == "--deny" and not found and _key(name) not in known:
                what = "is neither an SPDX identifier nor the license of a package here"
                problems.append(Problem(f"{option} '{name}'", what, nearest(name, words)))
            rules[option].add(_key(found or name))
    if problems:
        raise UsageError(problems)
    return Policy(frozenset(rules["--allow"]), frozenset(rules["--deny"]))


def _key(name: str) -> str:
    match = _GNU.fullmatch(name)
    current = f"{match[1]}-{'or-later' if match[2] else 'only'}" if match else name
    return " ".join(current.casefold().split())


def _parsed(found: str) -> Any:
    try:
        from license_expression import Licensing
    except ImportError:
        what = "the library license-expression, which reads license expressions, is not installed"
        raise EnvmanError(Problem("envman", what, "Install it: pip install 'envman[audit]'")) from None
    return Licensing().parse(found)
