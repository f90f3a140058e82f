"""Write the reference pages whose facts stand in the code: spec.md, cli.md and upstream.md in reference/.

`python docs/generate.py` writes them; with `--check` it only compares, and ends with 1 if one is out of date.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import types
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from string import Template
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import StrictBool, StrictStr
from typer.models import ArgumentInfo, OptionInfo

from envman.airflow import upstream
from envman.airflow.upstream_name import Upstream
from envman.cli.app import app
from envman.cli.registry import ADOPT_COMMANDS, COMMANDS, IMAGE_COMMANDS
from envman.launch.command import HELP as EXEC_HELP
from envman.launch.components import HELP as LAUNCH_HELP
from envman.launch.container_entrypoint import HELP as ENTRYPOINT_HELP
from envman.names import MAX_LENGTH, RESERVED
from envman.spec import model, values
from envman.spec.cool_down import CoolDown

UP_HELP = "envman up [OPTION ...] is: envman launch standalone [OPTION ...]\n"
LAUNCH_PATH = {
    "exec": EXEC_HELP,
    "launch": LAUNCH_HELP,
    "up": UP_HELP,
    "container-entrypoint": ENTRYPOINT_HELP,
}
"""The commands that have no typer, and a help text of their own."""

DOCS = Path(__file__).parent
NONE = "–"

_WORDS: tuple[tuple[object, str, str], ...] = (
    (values.RequirementText, "requirement", "requirements"),
    (values.SpecifierText, "version specifier", "version specifiers"),
    (values.VersionText, "version", "versions"),
    (CoolDown, "span or date", "spans or dates"),
    (values.Name, "name", "names"),
    (values.PathText, "path", "paths"),
    (values.AbsolutePath, "absolute path", "absolute paths"),
    (values.SourceText, "path or URL", "paths or URLs"),
    (values.VariableName, "variable name", "variable names"),
    (values.HandedVariable, "variable name", "variable names"),
    (values.VariableValue, "string", "strings"),
    (values.VariablePattern, "variable pattern", "variable patterns"),
    (values.PassedPattern, "variable pattern", "variable patterns"),
    (values.ModuleName, "module name", "module names"),
    (values.PackageName, "package name", "package names"),
    (values.Command, "command", "commands"),
    (values.ReadingCommand, "command", "commands"),
    (values.QueueName, "queue name", "queue names"),
    (values.ImageName, "image name", "image names"),
    (values.BaseImage, "base image", "base images"),
    (values.AptPackage, "Debian package", "Debian packages"),
    (values.TriggerPattern, "trigger class pattern", "trigger class patterns"),
    (values.ClassPath, "class", "classes"),
    (values.SharedFolder, "path", "paths"),
    (values.BundleArgument, "value", "values"),
    (values.UserName, "user", "users"),
    (values.GroupName, "group", "groups"),
    (values.MemorySize, "size", "sizes"),
    (values.MemoryBudget, "size or part", "sizes or parts"),
    (values.IdleTime, "time", "times"),
    (values.Processors, "number", "numbers"),
    (values.ProcessCount, "whole number", "whole numbers"),
    (values.Platform, "platform", "platforms"),
    (StrictBool, "true or false", ""),
    (StrictStr, "string", "strings"),
)
"""Types of the model in plain words, one of it and several of it."""

PROJECT_EXAMPLE = """\
# envman.toml: one for each deployment. It stands at the top of the repository.

root = "/venv"                     # where environments are published
airflow-version = "3.3.2"          # the deployment's Airflow, the same in every environment
default-environment = "env_a"      # for known bundles without an environment of their own or of a team
airflow-environment = "core"       # where `envman launch` runs the shared components
uv-config = "ops/uv.toml"          # the indexes; without this key: uv.toml beside this file
sandbox-required = false           # true: refuse a build where what packages run is in no sandbox

[defaults]                         # what every environment starts from; any key of an environment's file
requires-python = "==3.12.*"       # but `extends` and `abstract`
platforms = ["linux-x86_64", "linux-aarch64"]
constraints = ["https://constraints.company.example/airflow-3.3.2.txt"]

[defaults.variables]
keep-out = ["AWS_*", "VAULT_TOKEN"]
pass = ["COMPANY_*"]               # what workloads get of a shared component's variables besides the usual

[bundles]                          # by the names that Airflow's configuration gives to its bundles
bundle_a = { environment = "env_a", queue = "etl" }      # the queue of its tasks that name none
bundle_b = { team = "team_b" }
bundle_c = { environment = "env_a", team = "team_b" }    # its own environment wins over the team's
bundle_d = { environment = "env_a", path = "dags/d" }    # its Dags, for `envman airflow-config`
bundle_e = { environment = "env_a", shared = ["../common"] }    # for `import common`: beside the bundle's

[teams]
team_b = { environment = "env_b", queue = "team_b" }

[images]                           # for Kubernetes, where each environment is an image
env_a = "registry.company.example/airflow/image_a:2026-11"

[triggerer]
allow = ["airflow.providers.*"]    # trigger classes that the shared triggerer may run; default: all

[servers]
memory = "25%"                     # of the host, for all fork servers together; or "4G"; default: no limit
"""

ENVIRONMENT_EXAMPLE = """\
# environments/env_b.toml: the environment env_b. Its lock, environments/env_b.lock, stands beside it.

extends = ["base"]                 # environments/base.toml; a later entry wins over an earlier one
abstract = false                   # true: only a base for others; neither locked nor built
requires-python = "==3.11.*"       # the Pythons that the lock covers
platforms = ["linux-x86_64"]       # the machines that the lock covers
exclude-newer = "7 days"           # versions that were uploaded later don't count yet: a cool-down
exclude-newer-except = ["mylib"]   # but they do of these packages
no-build = false                   # true: only wheels; what would have to be built is refused
airflow = true                     # false: no Airflow of the deployment's version in it
warm = true                        # false: no fork server; each workload starts its own interpreter
preload = ["pandas"]               # what the fork server imports beforehand
server-idle = "30m"                # the fork server ends after so long without a workload; default: 10m
user = "team_b"                    # workloads run as this user and group
group = "team_b"

dependencies = [
    "pandas<2",
    "numpy<2",
    "psycopg[binary]>=3.2 ; sys_platform == 'linux'",
]
requirements-files = ["../team_b/requirements.txt"]    # paths count from this file
pyprojects = [
    { path = "../team_b/pyproject.toml", extras = ["reports"], dependency-groups = ["run"] },
]
sources = [                        # code of your own, built and locked with the rest
    "../libs/reports",
    { path = "../libs/warehouse", extras = ["postgres"] },
]
constraints = ["../constraints/security.txt"]          # they bound versions, they add no package
overrides = ["protobuf==5.29.5"]                       # replaces what every package asks of protobuf

[source-builds]                    # of packages that have no wheel for this Python or this machine
network = ["orjson"]               # those whose build downloads something; all others have no network
variables = { CFLAGS = "-O2" }     # no secrets: packages read them

[variables]
keep-out = ["PGPASSWORD"]          # joined with what the bases and [defaults] keep out
pass = ["TEAM_B_*"]                # joined, too; what is kept out is not passed
set = { TZ = "UTC" }               # no secrets: the published table is plain text

[credentials.warehouse]            # a secret, read for each workload as it starts; published by its place
file = "/etc/airflow/credentials/team_b/warehouse.json"
path-variable = "GOOGLE_APPLICATION_CREDENTIALS"       # the path of the workload's own copy

[credentials.vault]
command = ["/usr/local/bin/vault-token", "team_b"]
variable = "VAULT_TOKEN"           # the output itself

[limits]                           # for all workloads of the environment together, on one host
memory = "8G"
cpu = 1.5                          # processors
pids = 500                         # processes and threads

[image]                            # for envman image build
base = "apache/airflow:slim-3.3.2-python3.11"
apt = ["libpq5"]                   # Debian packages that the base has, or that an engine installs

[dev]                              # for authors: `envman test`, `run --dev`; in no build and no image
dependencies = ["pytest"]          # at versions that fit the lock; locked in env_b.dev-lock

[checks]                           # a generation that fails one of these is never published
imports = ["airflow.sdk", "pandas"]
commands = [["airflow", "version"]]
"""

_SPEC_PAGE = """\
<!-- Generated by docs/generate.py. Change the code or the generator, then run it. -->

# Spec reference

A deployment is declared in TOML: `envman.toml`, and one file for each environment, `environments/NAME.toml`.
An unknown key is an error. A command that reads specs reads all of them, and reports all errors of all files
in one run, with exit code 3.

`envman schema project` and `envman schema environment` print JSON Schemas of both files, for editors.
`envman init` writes them to `environments/.schema/`.

## envman.toml

$project

`[defaults]` takes every key of the next section, as `defaults.dependencies`, `defaults.variables.set` and so
on. Paths in it count from the folder of `envman.toml`.

## Keys of `[defaults]` and of an environment

In `environments/NAME.toml` they stand at the top level. Paths count from the file that holds them. The files
and folders that `requirements-files`, `pyprojects`, `sources`, `constraints` and `uv-config` name, and files
that they include, lie below the folder of `envman.toml`; a path or a link out of it is an error. A TOML file
has at most a million characters, any other 16 million.

$shared

An entry of `pyprojects` without `extras` and `dependency-groups` stands for `project.dependencies`; with
`extras` for those and the extras; with `dependency-groups` alone for the groups alone.

An entry of `sources` may be a path alone: `"../libs/reports"` stands for `{ path = "../libs/reports" }`. See
[Code that is your own](../how-to/own-code.md).

`warm`, `preload`, `server-idle`, `user`, `group`, `limits` and `variables` say how workloads run, not what an
environment consists of. A change of them makes no lock stale and no new generation: it takes effect for new
workloads after the next `envman build` or `envman publish`.

## Keys of an environment alone

$own

## Types

$types

## Inheritance

An environment is made of layers: `[defaults]` of `envman.toml`, then the specs of `extends` in their order
(each after its own bases, each once), then its own file.

| Keys | Rule |
|---|---|
| lists | joined in the order of the layers; an entry that is there already is not repeated |
| `variables.set`, `source-builds.variables` | joined by variable; the last layer wins |
| `requires-python`, `platforms`, `no-build`, `airflow` | the last layer that states the key wins |
| `exclude-newer`, `warm`, `server-idle` | the last layer that states the key wins |
| `user`, `group`, each key of `limits` | the last layer that states the key wins |
| `extends`, `abstract` | not inherited |

A layer that states another `user` states its `group`, too: an earlier layer's group would stay. A `group`
without a `user` is an error.

A later layer can't shorten a list. See
[Keep the file that you have](../how-to/keep-the-file-you-have.md#share-what-several-environments-need).

## A complete envman.toml

```toml
$project_example```

## A complete environment

```toml
$environment_example```
"""

_CLI_PAGE = """\
<!-- Generated by docs/generate.py. Change the code or the generator, then run it. -->

# Command reference

$introduction

Commands: $names.

Every command has `--help` (`-h`). `envman --version` shows the version; `--install-completion` and
`--show-completion` set up [completion](../how-to/complete-commands.md). Results go to standard output,
everything else to standard error. Colours and progress bars need a terminal; `NO_COLOR` takes the colours
away.

[Exit codes](exit-codes.md) and [`--json`](json.md) have pages of their own.

$commands
"""


_UPSTREAM_PAGE = """\
<!-- Generated by docs/generate.py. Change the code or the generator, then run it. -->

# Names of Airflow that envman leans on

The shared components of `envman launch` stand on names of Airflow that are not a documented interface. They
are listed here, from `envman/airflow/upstream.py`. A shared component looks its names up before it starts,
and refuses to start (125) on an Airflow that has moved one. A component for a bundle or team needs none of
them: it is the stock component, started by its documented command. A worker for a bundle or team that does
not find them says so and is the stock worker: a task of another environment's bundle that comes into its
queue is then not refused. Pods need none, either: `pod_mutation_hook` and the pods' arguments are public.

A name is **replaced** in the component's process, **overridden** in a subclass, or **used** as it is. What is
**repeated** is not called: envman does the same in its place, and has to follow where it changes. Where a
name is not needed, the reason says what holds on an Airflow without it.

Tests hold the list against envman's own source, and against the source of each supported Airflow: a digest of
each name shows where Airflow has rewritten what envman leans on
([compatibility](compatibility.md#a-new-airflow)).

What all components need from Airflow is one hook: given a workload and its bundle, return the command, the
variables and the inherited descriptors that it starts with, or an error that becomes the workload's own. Each
section says what that would be there.

$components
"""

_UPSTREAM_COMPONENTS = {
    "all": (
        "Every component",
        "`WatchedSubprocess.start` takes a command in place of a `target`, starts it with the four sockets\n"
        "on known descriptors, as macOS gets it for tasks today, and the child's side is a public function.",
    ),
    "dag-processor": (
        "Dag processor",
        "The manager asks a configured class to start the parse of a file, and tells it the bundle; a parse\n"
        "whose process ends without a result is the file's import error.",
    ),
    "worker": (
        "Worker and scheduler",
        "`[sdk] coordinators` has a default for every queue that is not configured, and executor callbacks\n"
        "go through coordinators as tasks do.",
    ),
    "triggerer": (
        "Triggerer",
        "The triggerer's job drives several runners, asks a configured class which runner a trigger belongs\n"
        "to, and lets it start that runner; a trigger's row holds its bundle.",
    ),
    "standalone": (
        "airflow standalone",
        "The program that it starts its components with is a setting.",
    ),
    "doctor": (
        "envman doctor --database",
        "A command prints the deployment's triggers and queues, by bundle and team, as JSON.",
    ),
    "check": (
        "envman check and preload --suggest",
        "A command parses a bundle's folder without a database, and prints Dags, import errors and warnings\n"
        "of each file as JSON.",
    ),
}
"""For each component of `upstream.NAMES`: its heading, and what a public hook would have to offer."""


def upstream_page() -> str:
    """The page about the names of Airflow that are not a documented interface."""
    if {name.component for name in upstream.NAMES} != set(_UPSTREAM_COMPONENTS):
        raise SystemExit("docs/generate.py: upstream.NAMES and the page have different components")
    sections = []
    for component, (heading, proposal) in _UPSTREAM_COMPONENTS.items():
        rows = [
            f"| `{name}` | {name.how} | {_cell(_reason(name))} |"
            for name in upstream.NAMES
            if name.component == component
        ]
        table = "\n".join(["| Name | How | Why |", "|---|---|---|", *rows])
        sections.append(f"## {heading}\n\n{table}\n\n**What a public hook would have to offer.**\n{proposal}")
    return Template(_UPSTREAM_PAGE).substitute(components="\n\n".join(sections))


def _reason(name: Upstream) -> str:
    return f"{name.why} (without it: {name.without})" if name.without else name.why


def spec_page() -> str:
    """The page about the keys of both kinds of files."""
    shared = set(model.Content.model_fields)
    return Template(_SPEC_PAGE).substitute(
        project=_table(model.ProjectSpec, set(model.ProjectSpec.model_fields) - {"defaults"}),
        shared=_table(model.Content, shared),
        own=_table(model.EnvironmentSpec, set(model.EnvironmentSpec.model_fields) - shared),
        types=_types(),
        project_example=PROJECT_EXAMPLE,
        environment_example=ENVIRONMENT_EXAMPLE,
    )


def _table(table: type[model.TomlTable], fields: set[str]) -> str:
    rows = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in _rows(table, fields)]
    return "\n".join(["| Key | Type | Default | Description |", "|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _rows(
    table: type[model.TomlTable], fields: set[str], prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and description of each field of a table, and of the tables in it."""
    hints = get_type_hints(table, include_extras=True)
    for name, field in table.model_fields.items():
        if name not in fields:
            continue
        key = f"{prefix}{field.alias or name}"
        yield f"`{key}`", _type(hints[name]), _default(field), field.description or ""
        for inner, joint in _inner_tables(hints[name], key):
            yield from _rows(inner, set(inner.model_fields), joint)


def _inner_tables(hint: object, key: str) -> Iterator[tuple[type[model.TomlTable], str]]:
    """The tables that stand in a field, and how the keys below them begin."""
    if inner := _as_table(hint):
        yield inner, f"{key}."
    for argument in get_args(hint):
        if inner := _as_table(argument):
            several = get_origin(hint) is tuple
            yield inner, f"{key}[]." if several else f"{key}.{key.removesuffix('s').upper()}."


def _as_table(hint: object) -> type[model.TomlTable] | None:
    return hint if isinstance(hint, type) and issubclass(hint, model.TomlTable) else None


def _without_none(hint: object) -> object:
    if get_origin(hint) in {Union, types.UnionType}:
        return next(argument for argument in get_args(hint) if argument is not type(None))
    return hint


def _type(hint: object, several: bool = False) -> str:
    """A type in plain words; an unknown one is an error, so that no page says `str | None`."""
    hint = _without_none(hint)
    for known, one, more in _WORDS:
        if hint == known:
            return more if several else one
    if _as_table(hint):
        return "tables" if several else "table"
    if get_origin(hint) is tuple:
        return f"list of {_type(get_args(hint)[0], several=True)}"
    if get_origin(hint) is dict:
        return f"table of {_type(get_args(hint)[1], several=True)}"
    raise SystemExit(f"docs/generate.py has no words for the type {hint!r}")


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return NONE if value is None or isinstance(value, model.TomlTable) else f"`{json.dumps(value)}`"


def _types() -> str:
    platforms, names, variables = (
        ", ".join(f"`{word}`" for word in words)
        for words in (get_args(values.Platform), sorted(RESERVED), sorted(values.RESERVED_VARIABLES))
    )
    rows = {
        "requirement": "[PEP 508](https://peps.python.org/pep-0508/): `pandas>=2.2,<3`; no URL, no path",
        "version specifier": "[PEP 440](https://peps.python.org/pep-0440/), with a lower bound: "
        "`==3.12.*`, `>=3.11,<3.13`",
        "version": "PEP 440: `3.3.2`",
        "span or date": "hours, days or weeks before the moment of locking, `24 hours`, `7 days`, `1 week`, "
        "or as ISO 8601 has them, `P7D`; the end of a day (UTC), `2026-11-01`; or a moment with its zone "
        "(RFC 3339), `2026-11-01T12:00:00Z`",
        "name": "letters, digits, `_`, `-` and single `.`; begins with a letter or digit, does not end with "
        f"`-` or `.`; at most {MAX_LENGTH} characters; not {names}; environments differ in more than case",
        "absolute path": "a string that begins with `/`",
        "path": "a string; a relative path counts from the file that holds it",
        "path or URL": "a path, or an `https`, `http` or `file` URL without credentials",
        "variable name": f"the name of an environment variable, not {variables}: envman sets or drops these",
        "variable pattern": "a variable's name, or the beginning of one and `*`: `AWS_*`",
        "queue name": "the name of one of the executor's queues, without a comma",
        "image name": "a container image, with its tag or digest",
        "base image": "an image in a registry, `debian:12`, or on this machine: `oci:FOLDER:NAME`, "
        "`oci-archive:FILE`, `docker-archive:FILE`",
        "Debian package": "its name, or `name=version`: `libpq5`",
        "trigger class pattern": "a class with its module, or its beginning and `*`: `airflow.providers.*`",
        "class": "a class with its module: `airflow.providers.git.bundles.git.GitDagBundle`",
        "value": "text, a number, `true` or `false`, a list or a table; a URL in it has no credentials",
        "user": "the name of a user of the host (small letters, digits, `_` and `-`; at most 32 characters), "
        "or a user's number; neither `root` nor `nobody`, nor their numbers",
        "group": "the name of a group of the host, written as a user's, or a group's number",
        "size": f"bytes, or a whole number and `K`, `M`, `G` or `T`, the powers of 1024: `512M`, `2G`; from "
        f"`{values.LEAST_MEMORY}` to `{values.MOST_MEMORY}`",
        "size or part": "a size, or a part of the host's memory: `1%` to `100%`",
        "time": f"a whole number and `s`, `m` or `h`: `90s`, `10m`; from `{values.LEAST_IDLE}` to "
        f"`{values.MOST_IDLE}`",
        "number": "a number greater than 0: `2`, `1.5`",
        "whole number": f"from {values.LEAST_PROCESSES} to {values.MOST_PROCESSES}",
        "module name": "what `import` takes: `airflow.sdk`",
        "package name": "as `dependencies` have it, without a version: `orjson`",
        "command": 'a list of words, no shell: `["python", "-m", "pytest", "--version"]`',
        "platform": f"one of {platforms}",
    }
    described = {one for _, one, _ in _WORDS} - {"string", "true or false"}
    if described != set(rows):
        raise SystemExit(f"docs/generate.py: types without a description: {sorted(described ^ set(rows))}")
    return "\n".join(
        ["| Type | What it is |", "|---|---|", *(f"| {name} | {_cell(rows[name])} |" for name in rows)]
    )


def commands() -> dict[str, Callable[..., object]]:
    """All commands by name, those of a group with the group's before it: `image build`."""
    return {entry.words: entry.load() for entry in (*COMMANDS, *ADOPT_COMMANDS, *IMAGE_COMMANDS)}


def cli_page() -> str:
    """The page about the commands."""
    sections: list[str] = []
    for name, callback in commands().items():
        sections.append(f"## envman {name}")
        sections += [f"```text\n{LAUNCH_PATH[name]}```"] if name in LAUNCH_PATH else _command(name, callback)
    return Template(_CLI_PAGE).substitute(
        introduction=_paragraphs(str(app.info.help)),
        names=" · ".join(f"[`{name}`](#envman-{name.replace(' ', '-')})" for name in commands()),
        commands="\n\n".join(sections),
    )


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def _command(name: str, callback: Callable[..., object]) -> list[str]:
    """A command's usage, help, arguments, options and examples."""
    prose: list[str] = []
    examples: list[str] = []
    for paragraph in _paragraphs(callback.__doc__ or "").split("\n\n"):
        if paragraph.startswith(("Example: ", "Examples: ")):
            examples += paragraph.split(": ", 1)[1].split(" · ")
        else:
            prose.append(paragraph)
    parameters = inspect.signature(callback, eval_str=True).parameters.values()
    arguments, options = [], []
    for parameter in parameters:
        hint, *extras = get_args(parameter.annotation)
        for info in extras:
            if isinstance(info, ArgumentInfo):
                arguments.append(_argument(parameter, hint, info))
            elif isinstance(info, OptionInfo):
                options.append(_option(parameter, hint, info))
    words = [
        "envman",
        *name.split(),
        *(what for what, _, _ in arguments),
        *(["[OPTIONS]"] if options else []),
    ]
    rows = [f"| `{_cell(what)}` | {_cell(text)} | {default} |" for what, text, default in arguments]
    rows += [f"| {_cell(what)} | {_cell(text)} | {default} |" for what, text, default in options]
    parts = [*prose, f"```text\n{' '.join(words)}\n```"]
    parts.append("\n".join(["| Argument or option | What it is | Default |", "|---|---|---|", *rows]))
    return [*parts, "\n".join(["```sh", *examples, "```"])] if examples else parts


def _argument(parameter: inspect.Parameter, hint: object, info: ArgumentInfo) -> tuple[str, str, str]:
    what = str(info.metavar or parameter.name.upper())
    if parameter.default is inspect.Parameter.empty:
        return what, _help(hint, info), "required"
    return what if what.startswith("[") else f"[{what}]", _help(hint, info), _shown(parameter.default)


def _option(parameter: inspect.Parameter, hint: object, info: OptionInfo) -> tuple[str, str, str]:
    declared = [info.default, *(info.param_decls or ())]  # typer keeps a first spelling as a default
    spelled = [text for text in declared if isinstance(text, str) and text.startswith("-")]
    value = "" if hint is bool else f" {info.metavar or parameter.name.upper()}"
    spelled = spelled or [f"--{parameter.name.replace('_', '-')}"]
    return ", ".join(f"`{text}{value}`" for text in spelled), _help(hint, info), _shown(parameter.default)


def _help(hint: object, info: ArgumentInfo | OptionInfo) -> str:
    text = str(info.help or "")
    if choices := _choices(hint):
        text += f" One of: {', '.join(f'`{choice}`' for choice in choices)}."
    return f"{text} Environment variable: `{info.envvar}`." if info.envvar else text


def _choices(hint: object) -> list[str]:
    hint = _without_none(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(member.value) for member in hint]
    return [str(value) for value in get_args(hint)] if get_origin(hint) is Literal else []


def _shown(default: object) -> str:
    if default is ...:  # typer's word for an option that has to be there
        return "required"
    if default in (None, False):
        return NONE
    return f"`{default.value if isinstance(default, Enum) else default}`"


def pages() -> dict[Path, str]:
    """The generated pages: text by path."""
    written = {"spec.md": spec_page(), "cli.md": cli_page(), "upstream.md": upstream_page()}
    return {DOCS / "reference" / name: text for name, text in written.items()}


def stale(current: dict[Path, str]) -> list[Path]:
    """The pages whose file says something else, or is missing."""
    return [
        path
        for path, text in current.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; end with 1 if one is out of date")
    check = parser.parse_args(arguments).check
    current = pages()
    outdated = stale(current)
    for path in outdated:
        if check:
            sys.stderr.write(f"{path}: is out of date\n  Run: python docs/generate.py\n")
        else:
            path.write_text(current[path], encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
