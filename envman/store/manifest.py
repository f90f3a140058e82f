"""A generation's identity and its manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from envman.errors import Problem, StoreError
from envman.spec.inputs import digest
from envman.spec.project import Environment

FORMAT = 1
IDENTIFIER_LENGTH = 12


@dataclass(frozen=True)
class BaseInterpreter:
    """A base interpreter; `stamp` is its file's size and modification time, to notice an upgrade cheaply."""

    implementation: str
    version: str
    platform: str
    executable: str
    stamp: str

    def describe(self) -> str:
        """As people say it: 'CPython 3.12.1'."""
        return f"{self.implementation} {self.version}"

    def marker_environment(self) -> dict[str, str]:
        """PEP 508 environment of this machine under that interpreter."""
        from packaging.markers import default_environment  # a parser, which reading a manifest needs not

        environment = {key: str(value) for key, value in default_environment().items()}
        environment["python_version"] = ".".join(self.version.split(".")[:2])
        environment["python_full_version"] = environment["implementation_version"] = self.version
        environment["implementation_name"] = self.implementation.lower()
        environment["platform_python_implementation"] = self.implementation
        environment["extra"] = ""
        return environment


def list_digest(listing: bytes) -> str:
    """What a manifest says of a generation's file list."""
    return "sha256:" + hashlib.sha256(listing).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What a generation was made of; written last, so a generation that has one is whole.

    `created` is UTC (ISO 8601), `size` in bytes, `seconds` the time that the build took. `files` is the
    digest of the file list, `packages` maps names to versions (their hashes stand in envman.lock beside it).
    """

    generation: str
    environment: str
    created: str
    seconds: float
    interpreter: BaseInterpreter
    lock: str
    lock_text: str
    options: str
    spec: str
    files: str
    file_count: int
    size: int
    packages: Mapping[str, str]
    tools: Mapping[str, str]

    def was_made_for(self, listing: bytes) -> bool:
        """Whether a file list is the generation's own."""
        return self.files == list_digest(listing)

    def to_json(self) -> str:
        """The manifest as JSON text."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True) + "\n"


_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "Mapping[str, str]": (dict,),
    "BaseInterpreter": (BaseInterpreter,),
}
"""What JSON may have for a field, by its annotation."""


def parse_manifest(text: str, file: str) -> Manifest:
    """Read a manifest; raises StoreError for text that is not one."""
    try:
        data: dict[str, Any] = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("another format")
        data["interpreter"] = BaseInterpreter(**data["interpreter"])
        manifest = Manifest(**data)
        for value in (manifest, manifest.interpreter):
            _check_types(value)
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"is not a manifest that this envman reads: {error}"
        raise StoreError(Problem(file, what, "Build the environment anew: envman build")) from None


def _check_types(value: Manifest | BaseInterpreter) -> None:
    for field in fields(value):
        found = getattr(value, field.name)
        texts = found.values() if isinstance(found, dict) else ()
        if not isinstance(found, _TYPES[str(field.type)]) or not all(isinstance(one, str) for one in texts):
            raise TypeError(f"{field.name} is not of its type")


_FACTS = {
    "implementation": re.compile("[A-Za-z]{1,20}"),
    "version": re.compile(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}((a|b|rc)[0-9]{1,4})?"),
    "platform": re.compile("[A-Za-z0-9._-]{1,60}"),
    "executable": re.compile("/[^\\x00-\\x1f\\x7f]{1,1000}"),
    "stamp": re.compile("[0-9]{1,20}-[0-9]{1,20}"),
}
"""What may stand in the fields of an interpreter: they become parts of paths and of command lines."""


def parse_interpreter(text: str) -> BaseInterpreter:
    """Read what `python_facts.py` has printed, in a base's Python; raises ValueError for anything else."""
    try:
        facts = json.loads(text)
        if facts.keys() == _FACTS.keys() and all(_FACTS[key].fullmatch(facts[key]) for key in _FACTS):
            return BaseInterpreter(**facts)
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise ValueError("it does not say which Python it is")


def options_digest(environment: Environment) -> str:
    """Digest of what, besides lock and interpreter, decides a generation: the checks that it has passed, and
    how packages without a wheel are built.
    """
    return digest(
        [
            *(f"import {module}" for module in environment.check_imports),
            *(f"command {json.dumps(words)}" for words in environment.check_commands),
            *(f"build network {package}" for package in sorted(environment.build_network)),
            *(f"build variable {json.dumps(one)}" for one in sorted(environment.build_variables.items())),
        ]
    )


def generation_identifier(lock_body: str, interpreter: BaseInterpreter, options: str) -> str:
    """The name of the generation that these make: the same content has the same name."""
    parts = [
        f"format={FORMAT}",
        lock_body,
        interpreter.implementation,
        interpreter.version,
        interpreter.platform,
        interpreter.executable,
        options,
    ]
    return digest(parts).removeprefix("sha256:")[:IDENTIFIER_LENGTH]
