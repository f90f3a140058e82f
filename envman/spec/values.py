"""The values of a spec's keys: what each may be, and what is said of one that can't be used.

A checked value is kept as it is written; `memory_bytes` reads a size, `seconds` a time.
"""

from __future__ import annotations

import math
import posixpath
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, Field, JsonValue, StrictFloat, StrictInt, StrictStr

from envman.names import name_problem
from envman.resolver.inherited import is_the_components
from envman.spec.image_names import FORMS, parse_reference
from envman.spec.requirement_text import LONGEST, parse_requirement
from envman.system.redaction import redact

RESERVED_VARIABLES = frozenset(
    {"PATH", "VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"}
)
"""Variables that decide which interpreter runs: exec sets or drops them, a spec may not."""

_OBEYED = ("GLIBC_TUNABLES", "BASH_ENV", "ENV", "IFS")
"""What loaders and shells obey as they start, besides LD_* and PYTHON*."""

Platform = Literal["linux-x86_64", "linux-aarch64", "macos-arm64", "macos-x86_64", "windows-x86_64"]
DEFAULT_PLATFORMS: tuple[Platform, ...] = ("linux-x86_64", "linux-aarch64")

LEAST_MEMORY, MOST_MEMORY = "16M", "8388607T"
"""An interpreter alone needs the one; the kernel counts bytes to 2**63, right behind the other."""

LEAST_PROCESSES, MOST_PROCESSES = 4, 4_194_304
"""A fork server, a workload and what that starts; the most that Linux has on any machine."""

_MEMORY = re.compile(r"([0-9]{1,19})([KMGT]?)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_BUDGET = re.compile(r"([1-9][0-9]?|100)%")

LEAST_IDLE, MOST_IDLE = "10s", "24h"
_TIME = re.compile(r"([0-9]{1,6})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?")
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]*\$?|[0-9]{1,10}")
_LONGEST_ACCOUNT = 32
_NO_NUMBER = 2**32 - 1
"""The number that system calls take for 'leave it as it is': nobody's, as is every greater one."""

_NOBODY = 65534
_OWN_ACCOUNT = "Name an account that the environment's workloads have for themselves."


class WrongValueError(ValueError):
    """A value that has the right type and can't be used; `remedy` says what could."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.remedy = remedy


def _requirement(text: str) -> str:
    try:
        requirement = parse_requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        what = f"'{redact(text)}' is not a requirement (PEP 508): {reason}"
        raise WrongValueError(what, "Write one such as 'pandas>=2.2,<3'.") from None
    if requirement.url is not None:
        what = f"'{requirement.name}' is given by URL, and a lock holds none"
        remedy = (
            "Name a version, and serve the file from an index; a folder of the project is one of `sources`."
        )
        raise WrongValueError(what, remedy)
    return text


def _specifier(text: str) -> str:
    remedy = "Write '==3.12.*', or a range such as '>=3.11,<3.13'."
    if len(text) > LONGEST:
        raise WrongValueError(f"the version specifier has more than {LONGEST} characters", remedy)
    try:
        specifier = SpecifierSet(text)
    except InvalidSpecifier:
        raise WrongValueError(f"'{text}' is not a version specifier (PEP 440)", remedy) from None
    if not any(part.operator.startswith((">", "==", "~=")) for part in specifier):
        raise WrongValueError(f"'{text}' has no lower bound", remedy)
    if not _admits_any(specifier):
        raise WrongValueError(f"'{text}' admits no version of Python at all", remedy)
    return text


def _admits_any(specifier: SpecifierSet) -> bool:
    """Whether it admits any Python: the first or the last one of a minor version, or one beside those that
    it names.
    """
    releases = (Version(part.version.removesuffix(".*")).release for part in specifier)
    named = [(*release, 0, 0)[:3] for release in releases]
    beside = [(major, minor, micro + step) for major, minor, micro in named for step in (0, 1, -1)]
    every = [(3, minor, micro) for minor in range(100) for micro in (0, 99)]
    return any(
        specifier.contains(".".join(map(str, release)), prereleases=True)
        for release in (*beside, *every)
        if min(release) >= 0
    )


def _version(text: str) -> str:
    try:
        if len(text) > LONGEST:
            raise InvalidVersion
        Version(text)
    except InvalidVersion:
        raise WrongValueError(f"'{text}' is not a version (PEP 440)", "Write one such as '3.3.2'.") from None
    return text


def _name(text: str) -> str:
    if problem := name_problem(text):
        raise WrongValueError(problem, "Choose a name such as 'env_a'.")
    return text


def _source(text: str) -> str:
    """A path or an http(s) URL; credentials in it are refused."""
    if "://" not in text:
        return _path(text)
    url = urlsplit(text)
    if url.scheme not in {"https", "http"}:
        remedy = "Name a file of the project by its path, or an https or http URL."
        raise WrongValueError(f"constraints can't be read from '{url.scheme}'", remedy)
    if url.username or url.password:
        raise WrongValueError("the URL holds credentials", "Put them into a netrc file, never into a spec.")
    return text


def _path(text: str) -> str:
    if not text or not text.isprintable():
        raise WrongValueError("the path is empty or holds characters that can't be printed", "Name a file.")
    return text


def _shared(text: str) -> str:
    """A folder relative to a bundle's, whose name can be imported."""
    path = posixpath.normpath(_path(text))
    remedy = "Write a path from the bundle's own folder, such as '../common'."
    if path.startswith("/"):
        raise WrongValueError(f"'{text}' is an absolute path", remedy)
    if not posixpath.basename(path).isidentifier():
        raise WrongValueError(f"'{text}' has no name that could be imported", remedy)
    return path


def _variable(text: str) -> str:
    if not text or "=" in text or "\0" in text:
        what = f"'{text}' is not the name of an environment variable"
        raise WrongValueError(what, "Write a name such as 'TZ', without '='.")
    if text in RESERVED_VARIABLES:
        what = f"'{text}' decides which interpreter runs"
        raise WrongValueError(what, "Take it out: envman sets or drops it itself.")
    return text


def _value(text: str) -> str:
    if "\0" in text:
        raise WrongValueError("a variable's value can't hold a NUL character", "Take it out.")
    return text


def _handed_variable(text: str) -> str:
    """A variable for a credential: no program obeys it as it starts, and it is not the components' own."""
    remedy = "Name one that the environment's code reads."
    if text.startswith(("LD_", "PYTHON")) or text in _OBEYED:
        raise WrongValueError(f"'{text}' decides what a program runs as it starts", remedy)
    if is_the_components(text) or text.startswith("ENVMAN_"):
        raise WrongValueError(f"'{text}' is the components' own, and no workload gets it", remedy)
    if text.startswith("AIRFLOW__SECRETS__BACKEND"):
        remedy = "A workload's secrets backend is AIRFLOW__WORKERS__SECRETS_BACKEND, with _KWARGS."
        raise WrongValueError(f"'{text}' is read before a workload has its credentials", remedy)
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise WrongValueError("it holds characters that can't be printed", "Take them out.")
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/"):
        what = f"'{text}' is not an absolute path"
        raise WrongValueError(what, "Write the path on the components' host, such as '/etc/airflow/token'.")
    return text


def _reading_command(words: tuple[str, ...]) -> tuple[str, ...]:
    _absolute(words[0])
    return tuple(map(_printable, words))


def _pattern(text: str) -> str:
    if not text or "*" in text[:-1] or "=" in text or "\0" in text:
        what = f"'{text}' is not the name of a variable, with or without a '*' at its end"
        raise WrongValueError(what, "Write 'AWS_SECRET_ACCESS_KEY' or 'AWS_*'.")
    return text


def _passed(text: str) -> str:
    if " " in text:
        what = f"'{text}' holds a space, and the published table separates the patterns by spaces"
        raise WrongValueError(what, "Write what stands before the space, and a '*'.")
    return text


def _package(text: str) -> str:
    try:
        return canonicalize_name(text, validate=True)
    except InvalidName:
        raise WrongValueError(
            f"'{text}' is not the name of a package", "Write one such as 'orjson'."
        ) from None


def _module(text: str) -> str:
    if not all(part.isidentifier() for part in text.split(".")):
        raise WrongValueError(f"'{text}' is not the name of a module", "Write one such as 'airflow.sdk'.")
    return text


def _queue(text: str) -> str:
    if not text or text != text.strip() or "," in text:
        raise WrongValueError(f"'{text}' is not the name of one queue", "Write one such as 'etl'.")
    return text


def _base_image(text: str) -> str:
    try:
        parse_reference(text)
    except ValueError as error:
        raise WrongValueError(str(error), FORMS) from None
    return text


def _apt_package(text: str) -> str:
    if not _DEBIAN_PACKAGE.fullmatch(text):
        what = f"'{text}' is not the name of a Debian package"
        raise WrongValueError(what, "Write one such as 'libpq5', or with a version 'libpq5=15.8-0'.")
    return text


def _image(text: str) -> str:
    if not text or any(character.isspace() for character in text):
        remedy = "Write one such as 'registry.example/team/image_a@sha256:...'."
        raise WrongValueError(f"'{text}' is not the name of an image", remedy)
    return text


def _class(text: str) -> str:
    parts = text.split(".")
    if len(parts) == 1 or not all(part.isidentifier() for part in parts):
        remedy = "Write one such as 'airflow.providers.git.bundles.git.GitDagBundle'."
        raise WrongValueError(f"'{text}' is not a class with its module", remedy)
    return text


def _bundle_argument(value: JsonValue) -> JsonValue:
    """An argument of a bundle's class: no credentials in a URL, and no number that JSON doesn't have."""
    if isinstance(value, float) and not math.isfinite(value):
        raise WrongValueError(f"JSON has no {value}", "Write a number.")
    if isinstance(value, str) and redact(value) != value:
        remedy = "Make it a Connection of Airflow's, and name that: git_conn_id."
        raise WrongValueError("the URL holds credentials", remedy)
    for part in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        _bundle_argument(part)
    return value


def _trigger(text: str) -> str:
    parts = (text[:-1].removesuffix(".") if text.endswith("*") else text).split(".")
    whole = text.endswith("*") or len(parts) > 1
    if text != "*" and not (whole and all(part.isidentifier() for part in parts)):
        what = f"'{text}' is not a class with its module, with or without a '*' at its end"
        raise WrongValueError(what, "Write one such as 'airflow.providers.*'.")
    return text


def _account(text: str) -> str:
    """The name of a user or group (POSIX), or its number."""
    if len(text) > _LONGEST_ACCOUNT or _ACCOUNT.fullmatch(text) is None:
        remedy = "Write a name such as 'team_a', in small letters, or a number such as '1001'."
        raise WrongValueError(f"'{text}' is not the name or number of an account", remedy)
    if text.isdigit() and int(text) >= _NO_NUMBER:
        raise WrongValueError(f"'{text}' is no account's number", f"The greatest is {_NO_NUMBER - 1}.")
    return text


def _user(text: str) -> str:
    if text == "root" or (text.isdigit() and int(text) == 0):
        what = f"'{text}' may do everything on the host: that would be no isolation"
        raise WrongValueError(what, _OWN_ACCOUNT)
    if text == "nobody" or (text.isdigit() and int(text) == _NOBODY):
        what = f"'{text}' is whom other programs of the host run as, and what packages run when root builds"
        raise WrongValueError(what, _OWN_ACCOUNT)
    return text


def memory_bytes(text: str) -> int:
    """A size in bytes: '512M' is 512 times 1024 times 1024; raises WrongValueError for text that is none."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        remedy = "Write a whole number of bytes, or one with K, M, G or T behind it, such as '512M' or '2G'."
        raise WrongValueError(f"'{text}' is not a size", remedy)
    return int(match[1]) * _UNITS[match[2]]


def _memory(text: str) -> str:
    if not memory_bytes(LEAST_MEMORY) <= memory_bytes(text) <= memory_bytes(MOST_MEMORY):
        what = f"'{text}' is not between {LEAST_MEMORY} and {MOST_MEMORY}"
        raise WrongValueError(what, "Write a size such as '512M' or '2G'.")
    return text


def _budget(text: str) -> str:
    if not text.endswith("%"):
        return _memory(text)
    if not _BUDGET.fullmatch(text):
        raise WrongValueError(f"'{text}' is no part of a host's memory", "Write '1%' to '100%', or a size.")
    return text


def seconds(text: str) -> int:
    """A time in seconds: '10m' is 600; raises WrongValueError for text that is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        remedy = "Write a whole number with s, m or h behind it, such as '90s' or '10m'."
        raise WrongValueError(f"'{text}' is not a time", remedy)
    return int(match[1]) * _SECONDS[match[2]]


def _idle(text: str) -> str:
    if not seconds(LEAST_IDLE) <= seconds(text) <= seconds(MOST_IDLE):
        what = f"'{text}' is not between {LEAST_IDLE} and {MOST_IDLE}"
        raise WrongValueError(what, "Write a time such as '90s' or '10m'.")
    return text


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    if not words or not words[0]:
        remedy = "Write a list of words, such as ['python', '-m', 'pytest', '--version']."
        raise WrongValueError("the command is empty", remedy)
    if any("\0" in word for word in words):
        raise WrongValueError("a word of a command can't hold a NUL character", "Take it out.")
    return words


RequirementText = Annotated[StrictStr, AfterValidator(_requirement)]
SpecifierText = Annotated[StrictStr, AfterValidator(_specifier)]
VersionText = Annotated[StrictStr, AfterValidator(_version)]
Name = Annotated[StrictStr, AfterValidator(_name)]
PathText = Annotated[StrictStr, AfterValidator(_path)]
SharedFolder = Annotated[StrictStr, AfterValidator(_shared)]
SourceText = Annotated[StrictStr, AfterValidator(_source)]
VariableName = Annotated[StrictStr, AfterValidator(_variable)]
VariableValue = Annotated[StrictStr, AfterValidator(_value)]
VariablePattern = Annotated[StrictStr, AfterValidator(_pattern)]
PassedPattern = Annotated[VariablePattern, AfterValidator(_passed)]
PackageName = Annotated[StrictStr, AfterValidator(_package)]
ModuleName = Annotated[StrictStr, AfterValidator(_module)]
QueueName = Annotated[StrictStr, AfterValidator(_queue)]
ImageName = Annotated[StrictStr, AfterValidator(_image)]
BaseImage = Annotated[StrictStr, AfterValidator(_base_image)]
AptPackage = Annotated[StrictStr, AfterValidator(_apt_package)]
TriggerPattern = Annotated[StrictStr, AfterValidator(_trigger)]
ClassPath = Annotated[StrictStr, AfterValidator(_class)]
BundleArgument = Annotated[JsonValue, AfterValidator(_bundle_argument)]
Command = Annotated[tuple[StrictStr, ...], AfterValidator(_command)]
HandedVariable = Annotated[VariableName, AfterValidator(_printable), AfterValidator(_handed_variable)]
AbsolutePath = Annotated[PathText, AfterValidator(_absolute)]
ReadingCommand = Annotated[Command, AfterValidator(_reading_command)]
GroupName = Annotated[StrictStr, AfterValidator(_account)]
UserName = Annotated[GroupName, AfterValidator(_user)]
MemorySize = Annotated[StrictStr, AfterValidator(_memory)]
MemoryBudget = Annotated[StrictStr, AfterValidator(_budget)]
IdleTime = Annotated[StrictStr, AfterValidator(_idle)]
Processors = Annotated[StrictFloat, Field(gt=0, allow_inf_nan=False)]
ProcessCount = Annotated[StrictInt, Field(ge=LEAST_PROCESSES, le=MOST_PROCESSES)]
