"""What workloads of an environment are handed as they start: where it is read, how they get it."""

from __future__ import annotations

FILE, COMMAND = "file", "command"
VARIABLE, PATH_VARIABLE = "variable", "path-variable"


class Credential:
    """A named secret of an environment: `words` are a file's path, or a command; `source` says which.

    `variable` holds the content, or with `is_path` the path of a workload's own copy. A value.
    """

    __slots__ = ("is_path", "name", "source", "variable", "words")

    def __init__(self, name: str, source: str, words: tuple[str, ...], variable: str, is_path: bool) -> None:
        self.name = name
        self.source = source
        self.words = words
        self.variable = variable
        self.is_path = is_path

    def __eq__(self, other: object) -> bool:
        """Whether the other says the same."""
        return isinstance(other, Credential) and self.text() == other.text()

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self.text())

    def text(self) -> str:
        """The credential as a field of the published table; its words hold no tab."""
        how = PATH_VARIABLE if self.is_path else VARIABLE
        return "\t".join((self.name, how, self.variable, self.source, *self.words))


def credential_of(text: str) -> Credential | None:
    """The credential of a table's field; None for a text that `Credential.text` would not write."""
    if text.count("\t") < 4:
        return None
    name, how, variable, source, *words = text.split("\t")
    is_one = source == COMMAND or (source == FILE and len(words) == 1)
    if not (is_one and name and variable and words[0].startswith("/")) or "=" in variable or "\0" in text:
        return None
    if how not in {VARIABLE, PATH_VARIABLE}:
        return None
    return Credential(name, source, tuple(words), variable, how == PATH_VARIABLE)
