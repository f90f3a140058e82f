"""What envman says when it can't do what was asked: problems, each with a place, a cause and a remedy.

This module is on the launch path, so it imports nothing at run time.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class ExitCode:
    """Exit codes of envman, as documented in docs/reference/exit-codes.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SPEC = 3
    LOCK = 4
    UNSATISFIABLE = 5
    BUILD = 6
    RESOLVE = 7
    STORE = 8
    IMAGE = 9
    POLICY = 10
    LAUNCH = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


def printable(text: str) -> str:
    """A text without control characters, which a terminal would obey: much of what is told is strangers'."""
    if text.isprintable():
        return text
    shown = (one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)
    return "".join(shown)


class Problem:
    """One thing that is wrong: where it is, what it is, and what to do about it; each of them printable."""

    __slots__ = ("remedy", "what", "where")

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        self.where = printable(where)
        self.what = printable(what)
        self.remedy = printable(remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.remedy}" if self.remedy else text

    def __repr__(self) -> str:
        return f"Problem({self.where!r}, {self.what!r}, {self.remedy!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self.key() == other.key()

    def __hash__(self) -> int:
        return hash(self.key())

    def key(self) -> tuple[str, str, str]:
        """The three parts, for comparing and sorting."""
        return (self.where, self.what, self.remedy)


class EnvmanError(Exception):
    """An operation could not be done; carries every problem found and the process's exit code."""

    exit_code = ExitCode.FAILED

    def __init__(self, problems: Iterable[Problem] | Problem) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UsageError(EnvmanError):
    """The arguments of a command name something that does not exist or do not fit together."""

    exit_code = ExitCode.USAGE


class SpecError(EnvmanError):
    """envman.toml, an environment's spec or a file that one of them names is wrong."""

    exit_code = ExitCode.SPEC


class LockError(EnvmanError):
    """A lock is missing, unreadable or does not answer its spec."""

    exit_code = ExitCode.LOCK


class UnsatisfiableError(EnvmanError):
    """No set of versions satisfies an environment's requirements."""

    exit_code = ExitCode.UNSATISFIABLE


class BuildError(EnvmanError):
    """An environment could not be built from its lock; what was published stays as it was."""

    exit_code = ExitCode.BUILD


class ResolveError(EnvmanError):
    """A bundle, team or environment has no answer, or its answer is not built."""

    exit_code = ExitCode.RESOLVE


class StoreError(EnvmanError):
    """The root folder of the environments is damaged, altered or can't be written."""

    exit_code = ExitCode.STORE


class ImageError(EnvmanError):
    """An image could not be read, built or pushed; what was there before is as it was."""

    exit_code = ExitCode.IMAGE


class PolicyError(EnvmanError):
    """The host's policy refuses it: it is not signed by whom it has to be, or the policy can't be read."""

    exit_code = ExitCode.POLICY


class InterruptedByUserError(EnvmanError):
    """SIGINT, SIGTERM or SIGHUP ended the command; the exit code is 128 plus the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(Problem("", "Interrupted.", "What was published before still works; run it again."))
        self.exit_code = 128 + signum
