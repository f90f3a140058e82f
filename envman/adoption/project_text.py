"""The project that gives a live Airflow's environment, as text: envman.toml, one spec, the way back. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import Version
from pydantic import ValidationError

from envman.adoption.airflow_stage import AirflowStage
from envman.adoption.found_airflow import FoundAirflow, FoundBundle, FoundPython
from envman.adoption.start_commands import ChangedFile, StartKind
from envman.adoption.todays_versions import TodaysVersions
from envman.names import name_problem
from envman.spec.model import Bundle
from envman.spec.schema import FILE_NAMES, SchemaName, schema_text
from envman.spec.starter import SCHEMAS

ENVIRONMENT = "airflow"
"""The name of the one environment."""

DIFF = "start-commands.diff"
WAY_BACK = "WAY-BACK.md"

_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_PLATFORMS = ("linux-x86_64", "linux-aarch64", "macos-arm64", "macos-x86_64", "windows-x86_64")


@dataclass(frozen=True)
class AdoptedProject:
    """What a project is written from. `root` is as envman.toml has it, `published` the whole path."""

    interpreter: str
    live: FoundAirflow
    stage: AirflowStage
    today: TodaysVersions
    root: str
    published: str
    starts: tuple[ChangedFile, ...]
    diff: str


def project_files(project: AdoptedProject) -> dict[str, str]:
    """The project's files by their paths in its folder."""
    files = {
        "envman.toml": _project_file(project),
        f"environments/{ENVIRONMENT}.toml": _spec(project),
        WAY_BACK: _way_back(project),
    }
    if project.diff:
        files[DIFF] = project.diff
    files |= {f"{SCHEMAS}/{FILE_NAMES[name]}": schema_text(name) for name in SchemaName}
    return files


def platform_of(python: FoundPython) -> str:
    """The platform of an interpreter by the name that a spec uses; empty where a spec has none for it."""
    system = _SYSTEMS.get(python.markers.get("sys_platform", ""), "")
    name = f"{system}-{python.markers.get('platform_machine', '').lower().replace('amd64', 'x86_64')}"
    return name if name in _PLATFORMS else ""


def requires_python(version: str) -> str:
    """The Pythons of the same minor version, from this one on."""
    release = Version(version)
    return f">={version},<{release.major}.{release.minor + 1}"


def _quoted(text: str) -> str:
    """A string of TOML, which takes JSON's."""
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    return f"# {' '.join(text.split())}\n"


def _project_file(project: AdoptedProject) -> str:
    live, stage = project.live, project.stage
    lines = [
        f"#:schema ./{SCHEMAS}/{FILE_NAMES[SchemaName.project]}\n",
        _comment(
            f"Taken over from {project.interpreter} by `envman adopt init`: all bundles in one environment,"
        ),
        _comment("with today's versions. An environment for a team comes later, one team at a time."),
        f"\nroot = {_quoted(project.root)}\n",
    ]
    if stage.has_bundles:
        lines.append(f"airflow-version = {_quoted(stage.version)}\n")
    lines += [f'airflow-environment = "{ENVIRONMENT}"\n']
    lines += [f'default-environment = "{ENVIRONMENT}"    # of bundles that are not listed below\n']
    if stage.has_bundles:
        lines += ["\n[bundles]\n", *_bundles(live.bundles), *_examples(live.examples)]
        teams = dict.fromkeys(one.team for one in live.bundles if one.team and not name_problem(one.team))
        if teams:
            lines += [
                "\n[teams]\n",
                *(f'{_quoted(team)} = {{ environment = "{ENVIRONMENT}" }}\n' for team in teams),
            ]
    return "".join(lines)


def _bundles(bundles: Iterable[FoundBundle]) -> Iterator[str]:
    for name, source, note in bundle_sources(bundles):
        yield _comment(f"{name}: {note}") if note else ""
        if source is not None:
            yield f"{_quoted(name)} = {{ {', '.join([*source, f'environment = {_quoted(ENVIRONMENT)}'])} }}\n"


def _examples(names: Iterable[str]) -> Iterator[str]:
    """Airflow's own bundles, which it adds to those of its configuration."""
    usable = [name for name in names if not name_problem(name)]
    if usable:
        yield _comment("Airflow adds these while [core] load_examples is on:")
    yield from (f"{_quoted(name)} = {{ environment = {_quoted(ENVIRONMENT)} }}\n" for name in usable)


def bundle_sources(bundles: Iterable[FoundBundle]) -> Iterator[tuple[str, list[str] | None, str]]:
    """Each bundle's keys in envman.toml (None: it can't be there), and what is to be said of it."""
    seen: set[str] = set()
    for one in bundles:
        if problem := name_problem(one.name):
            yield one.name, None, f"{problem}; the default environment answers for it"
        elif one.name in seen:
            yield one.name, None, "a second bundle of this name"
        elif one.withheld:
            hidden = ", ".join(one.withheld)
            yield one.name, [], f"{hidden} may hold a secret: make it a Connection of Airflow's"
        else:
            yield one.name, *_source(one)
        seen.add(one.name)


def _source(one: FoundBundle) -> tuple[list[str], str]:
    """Where a bundle's Dags are, as keys of envman.toml; none where these can't say it."""
    stated = {"path": one.path} if one.path else {"classpath": one.classpath, "kwargs": one.arguments}
    team = {"team": one.team} if one.team else {}
    try:
        Bundle.model_validate({**stated, **team})
        keys = {**stated, **team}
        return [f"{key} = {_inline(value)}" for key, value in keys.items() if value != {}], ""
    except (ValidationError, ValueError):
        return [], "Airflow's configuration says where it is; envman.toml can't"


def _inline(value: object) -> str:
    """A value of TOML on one line; raises ValueError for one that TOML doesn't have."""
    if isinstance(value, dict):
        pairs = (f"{_quoted(str(key))} = {_inline(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if value is None or (isinstance(value, str) and "://****@" in value):
        raise ValueError("TOML has no null; and what hides credentials is no address")
    return json.dumps(value, ensure_ascii=False)


def _spec(project: AdoptedProject) -> str:
    live, today = project.live, project.today
    version, platform = live.python.version, platform_of(live.python)
    lines = [
        f"#:schema ./.schema/{FILE_NAMES[SchemaName.environment]}\n",
        _comment(f"What {project.interpreter} has today: {len(today.pins)} packages on Python {version}."),
        f"\nrequires-python = {_quoted(requires_python(version))}\n",
        f"platforms = [{_quoted(platform)}]\n" if platform else "",
        "dependencies = [\n",
        *(f"    {_quoted(pin)},\n" for pin in today.pins),
        "]\n",
    ]
    if today.overrides:
        lines += [
            "\n",
            _comment("Today's set does not give what some packages ask for, and runs all the same:"),
        ]
        lines += [_comment(one.words()) for one in today.contradictions]
        lines += ["overrides = [\n", *(f"    {_quoted(line)},\n" for line in today.overrides), "]\n"]
    if today.left_out:
        lines += ["\n", _comment("Not in here, as no index has them:")]
        lines += [_comment(f"{one.name} {one.version}: {one.origin}. {one.remedy}") for one in today.left_out]
    module = "airflow.sdk" if project.stage.has_bundles else "airflow"
    lines += ["\n[checks]\n", f'imports = ["{module}"]\n']
    return "".join(lines)


def _way_back(project: AdoptedProject) -> str:
    kinds = {one.kind for one in project.starts}
    parts = [
        "# The way back\n",
        f"Airflow is where it was, at `{project.live.python.prefix}`, with its configuration, its Dags and "
        "its database. `envman adopt init` has changed none of it. All that changed is how components are "
        "started, so the way back is to start them as before.\n",
    ]
    parts += _steps_back(project, kinds)
    parts += [
        "## What is left\n",
        "The database needs nothing: the environment has the same Airflow version. Tasks that were running "
        "when a component stopped are retried or failed, as with each restart of it.\n",
        f"What envman made is `{project.published}` and this folder. Nothing else uses them: remove both "
        "once no component is started from there.\n",
        "## How far the way goes\n",
        "It is open as long as the old interpreter and its packages stay. It ends with an upgrade of Airflow "
        "that migrates the database: after that, downgrade the database first (`airflow db downgrade`).\n",
    ]
    return "\n".join(parts)


def _steps_back(project: AdoptedProject, kinds: set[StartKind]) -> list[str]:
    if not project.diff:
        program = f"{project.live.python.prefix}/bin/airflow"
        return [
            "## Steps\n",
            f"Start each component by its old command, such as `{program} scheduler`.\n",
        ]
    steps = [f"patch -d / -p1 -R < {DIFF}"]
    if StartKind.SYSTEMD in kinds:
        units = _unit_names(project.starts)
        steps += ["systemctl daemon-reload", f"systemctl restart {' '.join(units)}"]
    if StartKind.COMPOSE in kinds:
        steps += ["docker compose up -d    # with the image that was named before"]
    if StartKind.HELM in kinds:
        steps += [
            "helm upgrade RELEASE apache-airflow/airflow -f VALUES    # with the image that was named before"
        ]
    listed = "\n".join(steps)
    return [
        "## Steps\n",
        f"In this folder, with the rights to write those files:\n\n```sh\n{listed}\n```\n",
        "`patch` says which lines it does not find, if somebody has edited a file since: then change that "
        "line by hand; the diff has both.\n",
    ]


def _unit_names(starts: Sequence[ChangedFile]) -> list[str]:
    """The units that were changed; of what is dropped in to one, that unit."""
    names = []
    for one in starts:
        if one.kind is StartKind.SYSTEMD and one.old != one.new:
            parts = [
                part.removesuffix(".d")
                for part in one.path.split("/")
                if part.endswith((".service", ".service.d"))
            ]
            names += parts[-1:]
    return list(dict.fromkeys(names))


def counted(counts: Mapping[str, int]) -> str:
    """Modules with how many files import them: 'common (3 files)'."""
    return ", ".join(f"{name} ({number} file{'s' if number != 1 else ''})" for name, number in counts.items())
