"""Patterns of .gitignore's kind, as CODEOWNERS and .airflowignore have them, matched in linear time each."""

from __future__ import annotations

from fnmatch import fnmatchcase

PathPattern = tuple[str, ...]
"""One part for each folder of a path; '**' stands for any number of them."""


def path_pattern(text: str, deep: bool = True) -> PathPattern:
    """Read one. Without a slash but at its end it fits at every depth.

    What fits a folder fits all that is in it; unless `deep`, not so where the pattern ends with `/*`.
    """
    is_anchored = "/" in text.rstrip("/")
    parts = [part for part in text.split("/") if part]
    end = ["*", "**"] if text.endswith("/") else ["**"]
    if text.endswith("/*") and not deep:
        end = []
    return (*([] if is_anchored else ["**"]), *parts, *end)


def fits(pattern: PathPattern, path: str) -> bool:
    """Whether a pattern fits a path: for each of its parts, which numbers of folders are taken by then."""
    folders = path.split("/")
    reached = {0}
    for part in pattern:
        if part == "**":
            reached = set(range(min(reached, default=len(folders) + 1), len(folders) + 1))
        else:
            fitting = part.replace("[", "[[]")  # which is a letter like others here
            reached = {
                number + 1
                for number in reached
                if number < len(folders) and fnmatchcase(folders[number], fitting)
            }
    return len(folders) in reached


class IgnoredFiles:
    """What .airflowignore files say, each of its own folder; the last line that fits counts."""

    def __init__(self) -> None:
        self._rules: list[tuple[str, PathPattern, bool]] = []

    def add(self, folder: str, text: str) -> None:
        """Take a file's lines in; `folder` is '' for the bundle's own, and comes before those below it."""
        for raw in text.splitlines():
            line = raw.partition(" #")[0].strip()
            if line and not line.startswith("#"):
                self._rules.append((folder, path_pattern(line.lstrip("!")), line.startswith("!")))

    def has(self, path: str) -> bool:
        """Whether the Dag processor passes a file over."""
        found = False
        for folder, pattern, is_back in self._rules:
            start = f"{folder}/" if folder else ""
            if path.startswith(start) and fits(pattern, path[len(start) :]):
                found = not is_back
        return found
