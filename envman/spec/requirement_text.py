"""Requirement strings (PEP 508) of files that strangers write."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement

LONGEST = 4000
"""Characters of a requirement or a version: Python reads no number of more than 4,300 digits."""

DEEPEST = 50
"""Parentheses in a requirement's marker, which is parsed with a call for each."""


def parse_requirement(text: str) -> Requirement:
    """Read one; raises InvalidRequirement, also for one that no parser takes."""
    if len(text) > LONGEST or text.count("(") > DEEPEST:
        raise InvalidRequirement("it is too long, or its marker is nested too deeply")
    return Requirement(text)
