r"""The table that a build publishes and launches read: bundles, teams, environments.

A text file in UTF-8, one record a line, sorted, fields separated by tabs. A look-up is a binary search for a
line's beginning: sixteen comparisons among ten thousand bundles. It needs neither a JSON nor a TOML parser
(importing one takes longer than starting the interpreter):

    envman-table 2 4f1e27c9                    the checksum of all that follows (CRC-32)
    bundle       bundle_a   env_a              its own environment (may be empty), its team (may be empty)
    bundle-queue bundle_a   etl                the queue of its tasks that name none
    components   -          core               the environment of the shared components
    credentials  env_a      vault\tvariable\t...  what its workloads are handed: see credential.py
    default      -          env_a
    environment  env_a      -AWS_*   +TZ=UTC   what to keep out (-), what to set (+)
    image        env_a      registry/image_a   the image of its pods
    limits       env_a      cpu=1.5 pids=200   of its workloads together; memory in bytes; those stated
    pass         env_a      MY_* OTHER         what its workloads get of a component's variables besides
    preload      env_a      numpy pandas       what its fork server imports beforehand, in this order
    server-idle  env_a      1800               seconds without a workload after which its fork server ends
    shared       bundle_a   ../common\t...     folders beside the bundle's own that its code imports
    servers      -          memory=4294967296  of all fork servers of a host together: bytes, or a part (25%)
    team         team_b     env_b
    team-queue   team_b     etl_b
    trigger      airflow.*  -                  a trigger class that may run; all may where none is listed
    user         env_a      team_a:team_a      its workloads' user and group (may be empty)
    warm         env_a      false              no fork server; where there is no such record, one forks

Backslash, tab, line feed and carriage return in a field are written `\\`, `\t`, `\n` and `\r`.

A search in lines out of their order misses some, and a bundle or team that is missed might be answered by
the default, a limit or user that is missed not be held. So three things are refused: a table that was edited
or cut short, by its checksum and the order of its lines; one with a kind of record that is not known here, by
which a newer envman may confine something; and a record that is not as envman writes it, once it is asked
for. That protects against accidents alone: whoever may write the table decides what runs.
"""

from __future__ import annotations

import zlib

from envman.errors import Problem, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from envman.resolver.credential import Credential

FORMAT = "envman-table 2"
_START = len(f"{FORMAT} 00000000\n")
"""Where the records start."""

KINDS = {
    **dict.fromkeys(("bundle-queue", "components", "default", "image", "limits", "pass", "preload"), 1),
    **dict.fromkeys(("server-idle", "servers", "team", "team-queue", "trigger", "user", "warm"), 1),
    "bundle": 2,
    **dict.fromkeys(("credentials", "environment", "shared"), 0),
}
"""The kinds of records, with the number of fields behind the name; 0 for one or more."""

LIMITS = ("memory", "cpu", "pids")
_MOST = 2**63 - 1

_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


class TableFormatError(StoreError):
    """The text is not a table of the format that this envman reads, or a record of it says nothing known."""

    def __init__(self, path: str, what: str, remedy: str = "Publish it anew: envman publish") -> None:
        super().__init__(Problem(path, f"the published table can't be read: {what}", remedy))


class Table:
    """Look-ups over a table's content: text, or its bytes in UTF-8. Only the line that is asked for is read.
    A value: two of the same content are equal.

    Raises TableFormatError for content that is no table, or not as it was written; so does each look-up for a
    record that is none of its kind. `path` is where the content is from, for messages.
    """

    __slots__ = ("_content", "_path")

    def __init__(self, content: str | bytes, path: str = "") -> None:
        content = content.encode() if isinstance(content, str) else content
        self._content = content
        self._path = path
        if not content.startswith(f"{FORMAT} ".encode()):
            raise self._error(f"it does not start with '{FORMAT}'")
        if not content.startswith(_first_line(memoryview(content)[_START:])):
            raise self._error("it is not as envman has written it: it was edited, or cut short")
        lines = content.split(b"\n")
        del lines[0]
        if lines.pop() or lines != sorted(lines) or not _are_plain(content, lines):
            raise self._error("its lines are not as envman writes them")
        self._check_kinds()

    def _check_kinds(self) -> None:
        """One search for each kind that is there, as lines of a kind follow each other."""
        start = _START
        while start < len(self._content):
            kind, tab, _ = self._content[start : self._content.index(b"\n", start)].partition(b"\t")
            if not tab or kind.decode() not in KINDS:
                what = f"this envman does not know what {kind.decode()!r} means in it"
                remedy = (
                    "Use the envman that has published it, or publish it anew with this one: envman publish"
                )
                raise self._error(what, remedy)
            start = self._first(kind + b"\n")  # a tab comes before a line feed

    def _error(self, what: str, *remedy: str) -> TableFormatError:
        return TableFormatError(self._path, what, *remedy)

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

    def shared(self, bundle: str) -> list[str]:
        """Folders that the bundle's code imports by their names, relative to the bundle's own folder."""
        fields = self._fields("shared", bundle) or []
        names = {field.rpartition("/")[2] for field in fields if not field.startswith("/")}
        if len(names) != len(fields) or not all(name.isidentifier() for name in names):
            raise self._wrong("shared", bundle)
        return fields

    def image(self, environment: str) -> str | None:
        """The image of the environment's pods."""
        return self._value("image", environment)

    def is_warm(self, environment: str) -> bool:
        """Whether a fork server of the environment forks its workloads; else each starts an interpreter."""
        value = self._value("warm", environment)
        if value not in {None, "false"}:
            raise self._wrong("warm", environment)
        return value is None

    def preload(self, environment: str) -> list[str]:
        """The modules that the environment's fork server imports beforehand, in this order."""
        return self._words("preload", environment)

    def server_idle(self, environment: str) -> int:
        """Seconds without a workload after which the environment's fork server ends; 0: as many as usual."""
        value = self._value("server-idle", environment)
        if value is not None and not _is_number(value):
            raise self._wrong("server-idle", environment)
        return int(value or 0)

    def server_memory(self) -> str:
        """The memory of all fork servers of a host: bytes, or a part of it (`25%`); empty: as they need."""
        value = self._value("servers", "-")
        if value is None:
            return ""
        key, _, text = value.partition("=")
        number = text.removesuffix("%")
        if key != "memory" or not _is_number(number) or (number != text and int(number) > 100):
            raise self._wrong("servers", "-")
        return text

    def user(self, environment: str) -> tuple[str, str] | None:
        """The user and the group (may be empty) of the environment's workloads, each a name or a number;
        None where they run as the component's user.
        """
        value = self._value("user", environment)
        if value is None:
            return None
        user, colon, group = value.partition(":")
        may_do_everything = user == "root" or (user.isdecimal() and int(user) == 0)
        if not (user and colon) or may_do_everything or ":" in group or value.split() != [value]:
            raise self._wrong("user", environment)
        return user, group

    def limits(self, environment: str) -> dict[str, float]:
        """What the environment's workloads together may use on one host, those that are stated: `memory` in
        bytes, `cpu` in processors, `pids` in processes and threads.
        """
        limits: dict[str, float] = {}
        for word in self._words("limits", environment):
            key, _, text = word.partition("=")
            value = _limit(key, text)
            if value is None or key in limits:
                raise self._wrong("limits", environment)
            limits[key] = value
        return limits

    def passed(self, environment: str) -> list[str]:
        """Patterns of a component's variables that workloads get besides the usual ones, unless kept out."""
        return self._words("pass", environment)

    def credentials(self, environment: str) -> list[Credential]:
        """What the environment's workloads are handed as they start."""
        fields = self._fields("credentials", environment)
        if fields is None:
            return []
        from envman.resolver.credential import credential_of

        found = [one for one in map(credential_of, fields) if one]
        distinct = {one.name for one in found}, {one.variable for one in found}
        if any(len(one) != len(fields) for one in distinct):
            raise self._wrong("credentials", environment)
        return found

    def _words(self, kind: str, name: str) -> list[str]:
        value = self._value(kind, name)
        words = [] if value is None else value.split(" ")
        if "" in words:
            raise self._wrong(kind, name)
        return words

    def _value(self, kind: str, name: str) -> str | None:
        fields = self._fields(kind, name)
        if fields is None:
            return None
        if not fields[0]:
            raise self._wrong(kind, name)
        return fields[0]

    def _wrong(self, kind: str, name: str) -> TableFormatError:
        return self._error(f"its record {kind!r} of {name!r} is not as envman writes one")

    def environment(self, name: str) -> tuple[list[str], dict[str, str]] | None:
        """What the environment keeps out, and the variables that it sets."""
        fields = self._fields("environment", name)
        if fields is None:
            return None
        keep_out: list[str] = []
        variables: dict[str, str] = {}
        for field in fields if fields != [""] else ():
            key, equals, value = field[1:].partition("=")
            if field.startswith("-") and len(field) > 1:
                keep_out.append(field[1:])
            elif field.startswith("+") and key and equals and "\0" not in field and key not in variables:
                variables[key] = value
            else:
                raise self._wrong("environment", name)
        return keep_out, variables

    def names(self, kind: str) -> list[str]:
        """The names of all records of a kind, in the table's order."""
        return [fields[0] for fields in self._records(kind)]

    def values(self, kind: str) -> list[str]:
        """The values of all records of a kind: bundle-queue, team-queue or image."""
        return [fields[1] for fields in self._records(kind)]

    def records(self) -> list[str]:
        """All lines but the first, as they were written."""
        return self._content[_START:].decode().split("\n")[:-1]

    def has(self, kind: str) -> bool:
        """Whether there is any record of a kind."""
        beginning = f"{kind}\t".encode()
        return self._content.startswith(beginning, self._first(beginning))

    def _records(self, kind: str) -> list[list[str]]:
        start = self._first(f"{kind}\t".encode())
        block = self._content[start : self._first(f"{kind}\n".encode())]  # a tab comes before a line feed
        lines = block.decode().split("\n")[:-1]  # splitlines knows further separators
        return [self._read(line) for line in lines]

    def _read(self, line: str) -> list[str]:
        """A record's name, and what is behind it."""
        kind, *fields = [_unescaped(field) for field in line.split("\t")]
        if len(fields) < 2 or len(fields) != 1 + (KINDS[kind] or len(fields) - 1):
            raise self._wrong(kind, fields[0] if fields else "")
        if kind == "trigger" and fields[1] != "-":
            raise self._wrong(kind, fields[0])
        return fields

    def _fields(self, kind: str, name: str) -> list[str] | None:
        beginning = f"{kind}\t{_escaped(name)}\t".encode(errors="surrogatepass")
        start = self._first(beginning)
        content = self._content
        if not content.startswith(beginning, start):
            if content.startswith(beginning[:-1] + b"\n", start):  # it ends with the name
                raise self._wrong(kind, name)
            return None
        end = content.index(b"\n", start)
        if content.startswith(beginning, end + 1):  # there are two
            raise self._wrong(kind, name)
        return self._read(content[start:end].decode())[1:]

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


def _are_plain(content: bytes, lines: list[bytes]) -> bool:
    """Whether they are UTF-8, and each field is written in the one way in which look-ups search for it."""
    try:
        content.isascii() or content.decode()
    except UnicodeDecodeError:
        return False
    if b"\\" not in content and b"\r" not in content:
        return True
    escaped = (line.decode() for line in lines if b"\\" in line or b"\r" in line)
    return all(_escaped(_unescaped(field)) == field for line in escaped for field in line.split("\t"))


def _limit(key: str, text: str) -> float | None:
    """A limit's value; None for one that is none, or of a limit that is not known."""
    try:
        value = float(text) if key == "cpu" else int(text)
    except ValueError:
        return None
    is_plain = text.isascii() and text[0].isdigit() and text[-1].isdigit() and "_" not in text
    return value if key in LIMITS and is_plain and 0 < value <= _MOST else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20 and 0 < int(text) <= _MOST


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
    more: Iterable[tuple[str, ...]] = (),
) -> str:
    """Write a table: bundles as (environment, team), environments as (keep out, set); `more` are records of
    the other kinds, as (kind, name, value, ...).
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
