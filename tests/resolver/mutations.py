"""Damaged tables by the thousand, and a slow reader that says what such a text means.

    python -m tests.resolver.mutations 20000 [SEED]

Each is a published table of which something was changed, as a disk, an editor or a newer envman might; many have
the checksum and the order that belong to the new text.
"""

from __future__ import annotations

import collections
import random
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from envman.errors import EnvmanError
from envman.resolver.table import Table, render_table

TEXT = render_table(
    {"bundle_a": ("env_a", ""), "bundle_b": ("", "team_b"), "b": ("", ""), "a\tb": ("env_c", "t\\")},
    {"team_b": "env_b", "team": "env_a", "t\\": "env_c"},
    {
        "env": ((), {}),
        "env_a": (("AWS_*", "HOME"), {"TZ": "UTC", "LANG": "C", "PATTERN": "\\d\\n\n"}),
        "env_b": (("AIRFLOW_CONN_PAYROLL",), {}),
        "env_c": ((), {"E": "é"}),
    },
    "env_a",
    [
        ("components", "-", "env"),
        (
            "credentials",
            "env_a",
            "k\tpath-variable\tKEY\tfile\t/etc/k",
            "v\tvariable\tV\tcommand\t/bin/v\ta b",
        ),
        ("credentials", "env_b", "t\tvariable\tT\tfile\t/etc/t"),
        ("image", "env_a", "registry/image_a@sha256:0"),
        ("limits", "env_a", "memory=2147483648 cpu=1.5 pids=200"),
        ("limits", "env_b", "pids=20"),
        ("limits", "env", "memory=104857600"),
        ("pass", "env_a", "MY_* OTHER"),
        ("preload", "env_a", "numpy pandas"),
        ("servers", "-", "memory=4294967296"),
        ("team-queue", "team_b", "q"),
        ("bundle-queue", "b", "q"),
        ("trigger", "airflow.*", "-"),
        ("user", "env_a", "team_a:team_a"),
        ("user", "env_b", "1001:"),
        ("warm", "env_b", "false"),
    ],
).encode()

WORDS = (
    *(b"memory=abc", b"memory=-1", b"memory=", b"memory", b"cpu=nan", b"cpu=inf", b"cpu=-inf", b"cpu=1e999"),
    *(b"cpu=0", b"pids=1.5", b"pids=0", b"pids=1_0", b"disk=1", b"=5", b"memory=1e9", b"pids= 7", b"pids=+7"),
    *(b"memory=" + b"9" * 30, b"memory=" + b"9" * 5000, "memory=٣".encode(), b"cpu=0x1p3", b"MEMORY=1"),
    *(b"root:root", b"0:0", b"00:", b":", b":g", b"u", b"u:g:h", b"u :g", b"true", b"False", b"no", b""),
    *(
        b"+",
        b"-",
        b"+=x",
        b"+A",
        b"+A=1\t+A=2",
        b"?x",
        b"+A\0=1",
        b"\xff",
        b"\\",
        b"\\x",
        b"\r",
        b"\0",
        b"\t",
    ),
    *(
        b"\\t",
        b"file",
        b"command",
        b"variable",
        b"path-variable",
        b"relative",
        b"k\\tvariable\\tA\\tfile\\t/x",
    ),
    *(b"A=B", b"t\\tvariable\\tT\\tsocket\\t/x", b"t\\tvariable\\tT\\tfile\\t/x\\t/y", b"KEY", b"TOKEN\0"),
    *(b"env_a", b"env_b", b"bundle", b"limits", b"user", b"environment", b"-", b" ", b"\n", b"\n\n", b"\x01"),
)
LINES = (
    *(
        b"sandbox\tenv_a\tseccomp",
        b"limits-v2\tenv_a\tmemory=1",
        b"limits\tenv_a",
        b"limits\tenv_b\tpids=4000",
        b"credentials\tenv_a\tx\\tvariable\\tX\\tfile\\t/x",
        b"credentials\tenv_c",
        b"credentials\tenv_c\t",
        b"credentials\tenv_c\tx\\tvariable\\tX\\tfile\\t/x\tx\\tvariable\\tY\\tfile\\t/y",
        b"credentials\tenv_c\tx\\tvariable\\tX\\tfile\\t/x\ty\\tvariable\\tX\\tfile\\t/y",
    ),
    *(
        b"user\tenv_a\troot:",
        b"user\tenv",
        b"warm\tenv_a\ttrue",
        b"limits",
        b"",
        b"\t",
        b"\t\t",
        b"zoo\ta\tb",
    ),
    *(b"trigger\t*\tdeny", b"environment\tenv_b\t", b"environment\tenv_b", b"bundle\tbundle_a\tenv_b\t\tx"),
    *(
        b"limits\tenv_a\tmemory=1\tpids=1",
        b"limits\tenv\\_a\tpids=5",
        b"a",
        b"bundle",
        b"Limits\tenv_a\tpids=1",
    ),
)


def mutated(chance: random.Random) -> bytes:
    """The table with one to three changes; its order and its checksum are mostly put right."""
    head, _, records = TEXT.partition(b"\n")
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        records = chance.choice(CHANGES)(records, chance)
    if chance.random() < 0.7:
        *lines, rest = records.split(b"\n")
        records = b"\n".join([*sorted(lines), rest])
    if chance.random() < 0.7:
        head = b"%s %08x" % (head.rpartition(b" ")[0], zlib.crc32(records))
    return head + b"\n" + records


def _at(records: bytes, chance: random.Random) -> int:
    return chance.randrange(len(records) + 1)


def flip(records: bytes, chance: random.Random) -> bytes:
    changed = bytearray(records or b"x")
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def insert(records: bytes, chance: random.Random) -> bytes:
    at = _at(records, chance)
    return records[:at] + chance.choice(WORDS) + records[at:]


def cut(records: bytes, chance: random.Random) -> bytes:
    start, end = sorted((_at(records, chance), _at(records, chance)))
    return records[:start] + records[min(end, start + chance.randrange(60)) :]


def shorten(records: bytes, chance: random.Random) -> bytes:
    return records[: _at(records, chance)]


def replace_word(records: bytes, chance: random.Random) -> bytes:
    parts = re.split(rb"([\t\n ])", records)
    parts[chance.randrange(len(parts))] = chance.choice(WORDS)
    return b"".join(parts)


def change_lines(records: bytes, chance: random.Random) -> bytes:
    lines = records.split(b"\n")
    at = chance.randrange(len(lines))
    how = chance.randrange(4)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(at, chance.choice(LINES))
    elif how == 2:
        lines.insert(at, lines[at])
    else:
        other = chance.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    return b"\n".join(lines)


CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(flip, insert, cut, shorten, replace_word, replace_word, change_lines, change_lines),
)


# the slow reader: all of the text, with a grammar of its own


class Unclear(Exception):
    """The text does not say anything clear of that environment."""


LIMIT = {
    "memory": re.compile(r"0*[1-9][0-9]*"),
    "pids": re.compile(r"0*[1-9][0-9]*"),
    "cpu": re.compile(r"[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?"),
}


CREDENTIAL = re.compile(
    r"[^\t\0]+\t(path-)?variable\t[^\t\0=]+\t(file\t/[^\t\0]*|command\t/[^\t\0]*(\t[^\t\0]*)*)", re.DOTALL
)


def read(text: bytes) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for line in text.decode().split("\n")[1:-1]:
        fields = [re.sub(r"\\(.)", lambda one: {"t": "\t", "n": "\n", "r": "\r"}.get(one[1], one[1]), field)
                  for field in line.split("\t")]  # fmt: skip
        if len(fields) < 3 or (fields[0], fields[1]) in found:
            found[fields[0], [*fields, ""][1]] = ["\0unclear"]
        else:
            found[fields[0], fields[1]] = fields[2:]
    return found


def confinement(found: dict[tuple[str, str], list[str]], name: str) -> dict[str, Any]:
    """What the text says of an environment; raises Unclear."""
    for kind, _ in found:
        if kind not in {*ONE, "bundle", "credentials", "environment"}:
            raise Unclear(kind)
    said: dict[str, Any] = {}
    for kind in ("limits", "user", "warm", "pass", "preload"):
        fields = found.get((kind, name))
        if fields is not None and (len(fields) != 1 or not fields[0]):
            raise Unclear(kind)
        said[kind] = None if fields is None else fields[0]
    limits: dict[str, float] = {}
    for word in said["limits"].split(" ") if said["limits"] is not None else ():
        key, _, value = word.partition("=")
        if key not in LIMIT or key in limits or not LIMIT[key].fullmatch(value):
            raise Unclear(word)
        limits[key] = float(value)
    if said["user"] is not None and not re.fullmatch(r"[^:\s]+:[^:\s]*", said["user"]):
        raise Unclear("user")
    if said["warm"] not in {None, "false"}:
        raise Unclear("warm")
    credentials = found.get(("credentials", name), [])
    if not all(CREDENTIAL.fullmatch(field) for field in credentials):
        raise Unclear("credentials")
    for part in (0, 2):
        if len({field.split("\t")[part] for field in credentials}) != len(credentials):
            raise Unclear("credentials")
    fields = found.get(("environment", name), [])
    fields = [] if fields == [""] else fields
    if not all(re.fullmatch(r"-.+|\+[^=]+=.*", field, re.DOTALL) for field in fields):
        raise Unclear("environment")
    return {
        "limits": limits,
        "user": None if said["user"] is None else tuple(said["user"].split(":")),
        "warm": said["warm"] is None,
        "pass": said["pass"].split(" ") if said["pass"] is not None else [],
        "preload": said["preload"].split(" ") if said["preload"] is not None else [],
        "credentials": credentials,
        "keep_out": [field[1:] for field in fields if field[0] == "-"],
        "variables": dict(field[1:].split("=", 1) for field in fields if field[0] == "+"),
    }


ONE = ("bundle-queue", "components", "default", "image", "limits", "pass", "preload", "servers", "team",
       "team-queue", "trigger", "user", "warm")  # fmt: skip


def looked_up(table: Table, name: str) -> dict[str, Any] | None:
    environment = table.environment(name)
    if environment is None:
        return None
    return {
        "limits": table.limits(name),
        "user": table.user(name),
        "warm": table.is_warm(name),
        "pass": table.passed(name),
        "preload": table.preload(name),
        "credentials": [one.text() for one in table.credentials(name)],
        "keep_out": environment[0],
        "variables": environment[1],
    }


def outcomes(seed: int, count: int) -> Iterator[str]:
    """What became of so many tables: 'refused', 'a record is refused' or 'read'.

    Raises AssertionError where a table is read otherwise than it is written, and whatever is no EnvmanError.
    """
    chance = random.Random(seed)
    for _ in range(count):
        text = mutated(chance)
        try:
            table = Table(text, "the table")
        except EnvmanError:
            yield "refused"
            continue
        yield _compared(table, text)


def _compared(table: Table, text: bytes) -> str:
    found = read(text)
    outcome = "read"
    for name in {"env", "env_a", "env_b", "env_c", "nobody", *(name for _, name in found)}:
        try:
            fast = looked_up(table, name)
        except EnvmanError:
            outcome = "a record is refused"
            continue
        if fast is None:
            assert ("environment", name) not in found, (name, text)
            continue
        try:
            assert fast == confinement(found, name), (name, text)
        except Unclear as error:
            raise AssertionError(f"{name}: {error} was read from {text!r}") from None
        for kind, asked in (("bundle", table.bundle), ("team", table.team)):
            for named in {name for one, name in found if one == kind}:
                try:
                    value = asked(named)
                except EnvmanError:
                    continue
                fields = found[kind, named]
                assert value == (tuple(fields) if kind == "bundle" else fields[0]), (named, text)
    for kind in {*ONE, "bundle", "credentials", "environment"}:
        for several in (table.names, table.values):
            try:
                several(kind)
            except EnvmanError:
                outcome = "a record is refused"
    return outcome


if __name__ == "__main__":
    started = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print(collections.Counter(outcomes(started, int(sys.argv[1]))))
