"""CODEOWNERS, as GitHub and GitLab have it: whose a file is. The last line that fits counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from envman.splitting.patterns import PathPattern, fits, path_pattern

PLACES = ("CODEOWNERS", ".github/CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
"""Where the file may stand in a repository."""

MOST_LINES = 20_000
_SECTION = re.compile(r"\^?\[[^\]]+\](?:\[\d+\])?(?P<owners>(?:\s+\S+)*)\s*")
_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True)
class OwnerRule:
    """One line: a pattern and the owners of what it fits; without owners it belongs to nobody."""

    pattern: PathPattern
    owners: tuple[str, ...]


def parse_owners(text: str) -> tuple[OwnerRule, ...]:
    """The rules of a file, in their order; lines that mean nothing are passed over, as both do."""
    rules: list[OwnerRule] = []
    section: tuple[str, ...] = ()
    for raw in text.splitlines()[:MOST_LINES]:
        line = _COMMENT.sub("", raw).strip()
        if not line or line.startswith("!"):
            continue
        if match := _SECTION.fullmatch(line):
            section = tuple(match["owners"].split())
            continue
        pattern, *owners = re.split(r"(?<!\\)\s+", line)
        fitting = path_pattern(pattern.replace("\\ ", " "), deep=False)
        rules.append(OwnerRule(fitting, tuple(owners) or section))
    return tuple(rules)


def owner_of(rules: tuple[OwnerRule, ...], path: str) -> str:
    """The first owner of a file, by its path in the repository; '' where nobody owns it."""
    for rule in reversed(rules):
        if fits(rule.pattern, path):
            return rule.owners[0] if rule.owners else ""
    return ""


def team_name(owner: str) -> str:
    """What a team is called: '@company/data-eng' is data-eng, 'ann@company.example' is ann."""
    name = owner.rpartition("/")[2].lstrip("@") if owner.startswith("@") else owner.partition("@")[0]
    return name or owner
