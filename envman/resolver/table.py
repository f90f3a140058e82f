r"""The table that a build publishes and launches read: bundles, teams, environments.

A text file in UTF-8, one record a line, sorted, fields separated by tabs. A look-up is a binary search for a
line's beginning: sixteen comparisons among ten thousand bundles. It needs neither a JSON nor a TOML parser
(importing one takes longer than starting the interpreter):

    envman-table 2 4f1e27c9                    the checksum of all that follows (CRC-32)
    bundle       bundle_a   env_a              its own environment (may be empty), its team (may be empty)
    bundle-queue bundle_a   etl                the queue of its tasks that name none
    components   -          core               the environment of the shared components
    default      -          env_a
    environment  env_a      -AWS_*   +TZ=UTC   what to keep out (-), what to set (+)
    image        env_a      registry/image_a   the image of its pods
    limits       env_a      cpu=1.5 pids=200   of its workloads together; memory in bytes; those stated
    pass         env_a      MY_* OTHER         what its workloads get of a component's variables besides
    preload      env_a      numpy pandas       what its fork server imports beforehand, in this order
    team         team_b     env_b
    team-queue   team_b     etl_b
    trigger      airflow.*  -                  a trigger class that may run; all may where none is listed
    user         env_a      team_a:team_a      its workloads' user and group (may be empty)
    warm         env_a      false              no fork server; where there is no such record, one forks

Backslash, tab, line feed and carriage return in a field are written `\\`, `\t`, `\n` and `\r`.

A search in lines out of their order misses some, and a bundle or team that is missed might be answered by the
default. So a table that was edited or cut short is refused, by its checksum. That protects against accidents
alone: whoever may write the table decides what runs.
"""

from __future__ import annotations

import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = "envman-table 2"
_START = len(f"{FORMAT} 00000000\n")
"""Where the records start."""

_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


class TableFormatError(ValueError):
    """The text is not a table of the format that this envman reads."""


class Table:
    """Look-ups over a table's content: text, or its bytes in UTF-8. Only the line that is asked for is read.
    A value: two of the same content are equal.

    Raises TableFormatError for content that is no table, or not as it was written.
    """

    __slots__ = ("_content",)

    def __init__(self, content: str | bytes) -> None:
        content = content.encode() if isinstance(content, str) else content
        if not content.startswith(f"{FORMAT} ".encode()):
            raise TableFormatError(f"it does not start with '{FORMAT}'")
        if not content.startswith(_first_line(memoryview(content)[_START:])):
            raise TableFormatError("it is not as envman has written it: it was edited, or cut short")
        self._content = content

    def __eq__(self, other: object) -> bool:
        """Whether the other has the same content."""
        return isinstance(other, Table) and self._content == other._content

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self._content)

    def bundle(self, name: str) -> tuple[str, str] | None:
        """The bundle's own environment and its team, each may be empty; None if it is not in the table."""
        fields = self._fields("bundle", name)
        return None if fields is None else (fields[0], fields[1])

    def team(self, name: str) -> str | None:
        """The team's environment."""
        return self._value("team", name)

    def default(self) -> str | None:
        """The environment of known bundles that have no other."""
        return self._value("default", "-")

    def components(self) -> str | None:
        """The environment that the shared components run in."""
        return self._value("components", "-")

    def queue(self, bundle: str, team: str) -> str | None:
        """The queue of a bundle's tasks that name none: its own, else its team's."""
        return self._value("bundle-queue", bundle) or self._value("team-queue", team)

    def image(self, environment: str) -> str | None:
        """The image of the environment's pods."""
        return self._value("image", environment)

    def is_warm(self, environment: str) -> bool:
        """Whether a fork server of the environment forks its workloads; else each starts an interpreter."""
        return self._value("warm", environment) != "false"

    def preload(self, environment: str) -> list[str]:
        """The modules that the environment's fork server imports beforehand, in this order."""
        return self._words("preload", environment)

    def user(self, environment: str) -> tuple[str, str] | None:
        """The user and the group (may be empty) of the environment's workloads, each a name or a number;
        None where they run as the component's user.
        """
        value = self._value("user", environment)
        if value is None:
            return None
        user, _, group = value.partition(":")
        return user, group

    def limits(self, environment: str) -> dict[str, float]:
        """What the environment's workloads together may use on one host, those that are stated: `memory` in
        bytes, `cpu` in processors, `pids` in processes and threads.
        """
        pairs = [word.partition("=") for word in self._words("limits", environment)]
        return {key: float(value) if key == "cpu" else int(value) for key, _, value in pairs}

    def passed(self, environment: str) -> list[str]:
        """Patterns of a component's variables that the environment's workloads get besides the usual ones;
        what the environment keeps out is kept out all the same.
        """
        return self._words("pass", environment)

    def _words(self, kind: str, name: str) -> list[str]:
        value = self._value(kind, name)
        return value.split(" ") if value else []

    def _value(self, kind: str, name: str) -> str | None:
        fields = self._fields(kind, name)
        return None if fields is None else fields[0]

    def environment(self, name: str) -> tuple[list[str], dict[str, str]] | None:
        """What the environment keeps out, and the variables that it sets."""
        fields = self._fields("environment", name)
        if fields is None:
            return None
        keep_out = [field[1:] for field in fields if field.startswith("-")]
        pairs = [field[1:].partition("=") for field in fields if field.startswith("+")]
        return keep_out, {key: value for key, _, value in pairs}

    def names(self, kind: str) -> list[str]:
        """The names of all records of a kind, in the table's order."""
        return [_unescaped(line.split("\t", 2)[1]) for line in self._lines(kind)]

    def values(self, kind: str) -> list[str]:
        """The values of all records of a kind: bundle-queue, team-queue or image."""
        return [_unescaped(line.split("\t", 3)[2]) for line in self._lines(kind)]

    def records(self) -> list[str]:
        """All lines but the first, as they were written."""
        return self._content[_START:].decode().split("\n")[:-1]

    def has(self, kind: str) -> bool:
        """Whether there is any record of a kind."""
        beginning = f"{kind}\t".encode()
        return self._content.startswith(beginning, self._first(beginning))

    def _lines(self, kind: str) -> list[str]:
        start = self._first(f"{kind}\t".encode())
        block = self._content[start : self._first(f"{kind}\n".encode())]  # a tab comes before a line feed
        return block.decode().split("\n")[:-1]  # splitlines knows further separators

    def _fields(self, kind: str, name: str) -> list[str] | None:
        beginning = f"{kind}\t{_escaped(name)}\t".encode(errors="surrogatepass")
        start = self._first(beginning)
        if not self._content.startswith(beginning, start):
            return None
        line = self._content[start + len(beginning) : self._content.index(b"\n", start)]
        return [_unescaped(field) for field in line.decode().split("\t")]

    def _first(self, beginning: bytes) -> int:
        """Where the first line starts that does not come before this beginning in the table's order.

        The order of bytes in UTF-8 is that of the characters, by which lines are sorted.
        """
        content, length = self._content, len(beginning)
        low, high = _START, len(content)
        while low < high:
            middle = (low + high) // 2
            start = max(content.rfind(b"\n", low, middle) + 1, low)
            if content[start : start + length] < beginning:
                low = content.index(b"\n", middle) + 1
            else:
                high = start
        return low


def with_first_line(records: str) -> str:
    """Records, each a line, as a table: behind the line with their format and checksum."""
    return _first_line(records.encode()).decode() + records


def _first_line(records: bytes | memoryview) -> bytes:
    return f"{FORMAT} {zlib.crc32(records):08x}\n".encode()


def render_table(
    bundles: Mapping[str, tuple[str, str]],
    teams: Mapping[str, str],
    environments: Mapping[str, tuple[Iterable[str], Mapping[str, str]]],
    default: str | None,
    more: Iterable[tuple[str, str, str]] = (),
) -> str:
    """Write a table: bundles as (environment, team), environments as (keep out, set); `more` are records of
    the other kinds, as (kind, name, value).
    """
    lines = [_line("bundle", name, *answer) for name, answer in bundles.items()]
    lines += [_line("team", name, environment) for name, environment in teams.items()]
    if default:
        lines.append(_line("default", "-", default))
    lines += [_line(*record) for record in more]
    for name, (keep_out, variables) in environments.items():
        fields = [f"-{pattern}" for pattern in keep_out]
        fields += [f"+{key}={value}" for key, value in sorted(variables.items())]
        lines.append(_line("environment", name, *(fields or [""])))
    return with_first_line("\n".join([*sorted(lines), ""]))


def _line(*fields: str) -> str:
    return "\t".join(_escaped(field) for field in fields)


def _escaped(field: str) -> str:
    for plain, escape in _ESCAPES:
        field = field.replace(plain, escape)
    return field


def _unescaped(field: str) -> str:
    if "\\" not in field:
        return field
    parts = field.split("\\\\")
    for plain, escape in _ESCAPES[1:]:
        parts = [part.replace(escape, plain) for part in parts]
    return "\\".join(parts)
