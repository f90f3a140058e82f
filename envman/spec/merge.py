"""Inheritance: `[defaults]`, then the extended specs in their order, then the environment's own file.

Lists are joined in that order, without repeating an entry. Tables (`variables.set`, `credentials`,
`source-builds.variables`) are joined by key. Of single values (`requires-python`, `platforms`,
`exclude-newer`, `no-build`, `airflow`, `warm`, `server-idle`, `user`, `group`, `image.base`, each key of
`limits`) the last one wins.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from envman.errors import Problem
from envman.names import nearest
from envman.resolver.credential import COMMAND, FILE, Credential
from envman.spec.image_names import FILE_SCHEMES
from envman.spec.model import Content, CredentialSpec, EnvironmentSpec, PyprojectSource, SourceFolder
from envman.spec.project import Environment, ResourceLimits
from envman.spec.values import DEFAULT_PLATFORMS, memory_bytes, seconds

ItemT = TypeVar("ItemT")
ENVIRONMENTS = "environments"
DEEPEST = 50
"""Specs that extend each other, one below the other."""


@dataclass(frozen=True)
class SpecLayer:
    """One file's share of an environment.

    `place` is how the places of its keys begin, `folder` is what its paths are relative to.
    """

    content: Content
    place: str
    folder: str

    def path(self, text: str) -> str:
        """A declared path relative to the project; URLs and absolute paths stay as they are."""
        return text if "://" in text else posixpath.normpath(posixpath.join(self.folder, text))

    def base(self) -> str | None:
        """The base image, the path of one that is a file relative to the project."""
        scheme, separator, path = (self.content.image.base or "").partition(":")
        if separator and scheme in FILE_SCHEMES:
            return f"{scheme}:{self.path(path)}"
        return self.content.image.base

    def pyproject(self, source: PyprojectSource) -> PyprojectSource:
        """The source with its path relative to the project."""
        return source.model_copy(update={"path": self.path(source.path)})

    def source(self, source: SourceFolder) -> SourceFolder:
        """The folder with its path relative to the project."""
        return source.model_copy(update={"path": self.path(source.path)})


def spec_file(name: str) -> str:
    """Where an environment's spec stands, relative to the project."""
    return f"{ENVIRONMENTS}/{name}.toml"


def merge(
    specs: Mapping[str, EnvironmentSpec], defaults: Content | None, unread: Collection[str] = ()
) -> tuple[dict[str, Environment], list[Problem]]:
    """Apply inheritance to every spec that is not abstract.

    `unread` are specs that are there and wrong, `defaults` is None where envman.toml is: what they would have
    stated is not called missing, and the environments that build on them are left out. One whose group has no
    user is not left out, so that the files that it names are read in the same run.
    """
    problems = [problem for name in specs for problem in _extends_problems(name, specs, unread)]
    problems += [_too_deep(name) for name in specs if _is_deep(name, specs)]
    broken = {problem.where.partition(":")[0] for problem in problems}
    environments: dict[str, Environment] = {}
    without_user: dict[str, list[str]] = {}
    for name, spec in specs.items():
        if spec.abstract or spec_file(name) in broken:
            continue
        chain = _chain(name, specs)
        if any(base not in specs for base in chain) or _on_cycle(chain, specs):
            continue
        layers = _layers(chain, specs, defaults or Content())
        environment = _merged(name, layers)
        if environment.group and not environment.user and defaults is not None:
            without_user.setdefault(_place_of_group(layers), []).append(name)
        problems += _contested(environment)
        if environment.requires_python:
            environments[name] = environment
        elif defaults is not None:
            problems.append(_no_python(name))
    problems += [_no_user(place, names) for place, names in without_user.items()]
    return environments, problems


def _layers(chain: Iterable[str], specs: Mapping[str, EnvironmentSpec], defaults: Content) -> list[SpecLayer]:
    own = [SpecLayer(specs[name], f"{spec_file(name)}: ", ENVIRONMENTS) for name in chain]
    return [SpecLayer(defaults, "envman.toml: defaults.", "."), *own]


def _no_python(name: str) -> Problem:
    return Problem(
        f"{spec_file(name)}: requires-python",
        "no Python version is declared",
        "Add the key here, in an extended spec or in [defaults] of envman.toml: requires-python = '==3.12.*'",
    )


def _place_of_group(layers: Iterable[SpecLayer]) -> str:
    """Where the layer that wins states the group."""
    return [f"{layer.place}group" for layer in layers if layer.content.group is not None][-1]


def _no_user(place: str, names: Iterable[str]) -> Problem:
    return Problem(
        place,
        f"there is a group and no user for: {', '.join(names)}",
        "State the 'user' beside it, or take the group out.",
    )


def _extends_problems(
    name: str, specs: Mapping[str, EnvironmentSpec], unread: Collection[str]
) -> Iterable[Problem]:
    for index, base in enumerate(specs[name].extends):
        where = f"{spec_file(name)}: extends[{index}]"
        if base in unread:
            continue
        if base not in specs:
            yield Problem(where, f"there is no spec {spec_file(base)}", nearest(base, set(specs) - {name}))
        elif cycle := _cycle(name, base, specs):
            yield Problem(where, f"a cycle: {' -> '.join(cycle)}", "Take one of these out of 'extends'.")


def _is_deep(name: str, specs: Mapping[str, EnvironmentSpec]) -> bool:
    """Whether more than so many specs are below it, each extended by the one before."""
    level, seen = {name}, {name}
    for _ in range(DEEPEST):
        level = {base for one in level if one in specs for base in specs[one].extends}
        if not level or name in level:
            return False
        seen |= level
    return len(seen) > DEEPEST


def _too_deep(name: str) -> Problem:
    what = f"more than {DEEPEST} specs extend each other"
    return Problem(f"{spec_file(name)}: extends", what, "Join some of them.")


def _cycle(start: str, base: str, specs: Mapping[str, EnvironmentSpec]) -> list[str] | None:
    """A way from base back to start, if there is one."""
    trail: list[str] = [start]

    def walk(name: str, seen: set[str]) -> list[str] | None:
        trail.append(name)
        if name == start:
            return list(trail)
        if len(trail) > DEEPEST:  # which is a problem of its own
            trail.pop()
            return None
        if name not in seen and name in specs:
            seen.add(name)
            for following in specs[name].extends:
                if found := walk(following, seen):
                    return found
        trail.pop()
        return None

    return walk(base, set())


def _on_cycle(chain: list[str], specs: Mapping[str, EnvironmentSpec]) -> bool:
    return any(_cycle(name, base, specs) for name in chain for base in specs[name].extends)


def _chain(name: str, specs: Mapping[str, EnvironmentSpec]) -> list[str]:
    """The specs that an environment consists of, bases first, each once."""
    chain: list[str] = []

    def visit(current: str, above: frozenset[str]) -> None:
        if current in above or current in chain:
            return
        if current in specs:
            for base in specs[current].extends:
                visit(base, above | {current})
        chain.append(current)

    visit(name, frozenset())
    return chain


def _merged(name: str, layers: list[SpecLayer]) -> Environment:
    contents = [layer.content for layer in layers]
    variables: dict[str, str] = {}
    build_variables: dict[str, str] = {}
    for content in contents:
        variables.update(content.variables.set)
        build_variables.update(content.source_builds.variables)
    return Environment(
        name=name,
        file=spec_file(name),
        requires_python=_last((c.requires_python for c in contents), ""),
        platforms=_last((c.platforms for c in contents), DEFAULT_PLATFORMS),
        dependencies=_joined(c.dependencies for c in contents),
        requirements_files=_joined([x.path(f) for f in x.content.requirements_files] for x in layers),
        pyprojects=_joined([x.pyproject(p) for p in x.content.pyprojects] for x in layers),
        sources=_joined([x.source(s) for s in x.content.sources] for x in layers),
        constraints=_joined([x.path(s) for s in x.content.constraints] for x in layers),
        overrides=_joined(c.overrides for c in contents),
        exclude_newer=_last((c.exclude_newer for c in contents), ""),
        exclude_newer_except=_joined(c.exclude_newer_except for c in contents),
        no_build=_last((c.no_build for c in contents), False),
        build_network=_joined(c.source_builds.network for c in contents),
        build_variables=build_variables,
        airflow=_last((c.airflow for c in contents), True),
        set_variables=variables,
        keep_out=_joined(c.variables.keep_out for c in contents),
        passed=_joined(c.variables.passed for c in contents),
        credentials=_credentials(contents),
        check_imports=_joined(c.checks.imports for c in contents),
        check_commands=_joined(c.checks.commands for c in contents),
        warm=_last((c.warm for c in contents), True),
        preload=_joined(c.preload for c in contents),
        server_idle=_idle(contents),
        user=_last((c.user for c in contents), ""),
        group=_last((c.group for c in contents), ""),
        limits=_limits(contents),
        image_base=_last((x.base() for x in layers), ""),
        apt=_joined(c.image.apt for c in contents),
        dev=_joined(c.dev.dependencies for c in contents),
    )


def _idle(contents: Iterable[Content]) -> int | None:
    stated = _last((c.server_idle for c in contents), "")
    return seconds(stated) if stated else None


def _credentials(contents: Iterable[Content]) -> tuple[Credential, ...]:
    stated = {name: spec for content in contents for name, spec in content.credentials.items()}
    return tuple(_credential(name, spec) for name, spec in sorted(stated.items()))


def _credential(name: str, spec: CredentialSpec) -> Credential:
    source, words = (FILE, (spec.file,)) if spec.file else (COMMAND, spec.command or ())
    return Credential(name, source, words, spec.variable or spec.path_variable or "", not spec.variable)


def _contested(environment: Environment) -> Iterable[Problem]:
    """Credentials whose variable is another's, too."""
    owners = dict.fromkeys(environment.set_variables, "variables.set")
    for credential in environment.credentials:
        own = f"credentials.{credential.name}"
        if (owner := owners.setdefault(credential.variable, own)) != own:
            what = f"the variable {credential.variable} is that of {owner}, too"
            yield Problem(f"{environment.file}: {own}", what, "Give each a variable of its own.")


def _limits(contents: Iterable[Content]) -> ResourceLimits:
    stated = [content.limits for content in contents]
    memory = _last((limits.memory for limits in stated), None)
    return ResourceLimits(
        memory=None if memory is None else memory_bytes(memory),
        cpu=_last((limits.cpu for limits in stated), None),
        pids=_last((limits.pids for limits in stated), None),
    )


def _last(values: Iterable[ItemT | None], default: ItemT) -> ItemT:
    stated = [value for value in values if value is not None]
    return stated[-1] if stated else default


def _joined(lists: Iterable[Iterable[ItemT]]) -> tuple[ItemT, ...]:
    return tuple(dict.fromkeys(item for items in lists for item in items))
