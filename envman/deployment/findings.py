"""Judge a deployment: from facts to findings, each with a place, a cause and a remedy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from envman.deployment.facts import CORE, SDK, EnvironmentFacts, Facts, Probed
from envman.deployment.finding import Finding, Found, Level
from envman.deployment.queue_findings import queue_findings, triggerer_findings
from envman.errors import Problem
from envman.resolver.variables import NO_PYTHONPATH, PYTHONPATH_REMEDY

OLD_HOLD = 7
"""Days after which a hold is more than worth knowing."""


def judge(facts: Facts) -> tuple[Finding, ...]:
    """All findings: errors, warnings, information; each in the order of the checks, and told once."""
    found = [
        Finding(level, check, problem.where, problem.what, problem.remedy)
        for check, rule in CHECKS.items()
        for level, problem in rule(facts)
    ]
    unique: dict[tuple[Level, Problem], Finding] = {}
    for finding in found:
        unique.setdefault((finding.level, finding.problem()), finding)
    return tuple(sorted(unique.values(), key=lambda finding: [*Level].index(finding.level)))


def _published(facts: Facts) -> Found:
    if facts.changes:
        what = f"envman.toml says something else than what is published: {', '.join(facts.changes)}"
        yield (
            Level.ERROR,
            Problem(facts.root, what, "Run: envman build; or, if nothing is to build: envman publish"),
        )


def _bundles(facts: Facts) -> Found:
    bundles = facts.airflow.bundles
    for reason in facts.snapshot.answers_for(bundles.teams).refusals.values():
        yield from ((Level.ERROR, problem) for problem in reason.problems)
    for bundle in facts.table.names("bundle"):
        if bundle not in bundles.teams:
            what = f"is in envman.toml, but not in {bundles.source}"
            remedy = "Let `envman airflow-config` write the list, or take the bundle out of envman.toml."
            yield Level.WARNING, Problem(f"bundle '{bundle}'", what, remedy)


def _shared(facts: Facts) -> Found:
    for one in facts.unshared:
        where, name = f"bundle '{one.bundle}': shared '{one.place}'", one.place.rpartition("/")[2]
        if one.hidden_by:
            what = f"'import {name}' gives what is installed in its environment: {one.hidden_by}"
            yield Level.WARNING, Problem(where, what, "Rename the folder, or take the package out.")
        else:
            remedy = "Correct `shared` in envman.toml; paths count from the bundle's own folder."
            yield Level.ERROR, Problem(where, f"there is no folder {one.folder}", remedy)


def _teams(facts: Facts) -> Found:
    bundles, table = facts.airflow.bundles, facts.table
    for bundle, airflow_team in bundles.teams.items():
        team, where = (table.bundle(bundle) or ("", ""))[1], f"bundle '{bundle}'"
        if team and airflow_team and team != airflow_team:
            what = f"envman.toml gives it to the team '{team}', {bundles.source} to '{airflow_team}'"
            yield (
                Level.ERROR,
                Problem(where, what, "A bundle belongs to at most one team: correct one of the two."),
            )
        elif team and not airflow_team and facts.airflow.multi_team:
            what = (
                f"envman.toml gives it to the team '{team}', Airflow to none, though [core] multi_team is on"
            )
            yield Level.WARNING, Problem(where, what, "Give it its team_name; see: envman airflow-config")
        elif airflow_team and not facts.airflow.multi_team:
            what = (
                f"has the team '{airflow_team}' in Airflow, whose [core] multi_team is off: it does not start"
            )
            yield Level.ERROR, Problem(where, what, "Turn it on, or take the team_name out.")
        if airflow_team and table.team(airflow_team) is None:
            what = f"Airflow's team of the bundle '{bundle}' is not in envman.toml"
            remedy = f"Add [teams.{airflow_team}] with an environment, or rename one of the two."
            yield Level.WARNING, Problem(f"team '{airflow_team}'", what, remedy)
    used = {facts.snapshot.team(bundle) for bundle in facts.snapshot.bundles()}
    for team in table.names("team"):
        if team not in used:
            remedy = "Give it one, or take it out of envman.toml."
            yield Level.WARNING, Problem(f"team '{team}'", "is in envman.toml, and has no bundle", remedy)


def _environments(facts: Facts) -> Found:
    used = {*facts.snapshot.answers().environments.values(), facts.table.components()}
    for environment in facts.environments:
        if environment.lock:
            yield Level.ERROR, environment.lock
        if environment.generation is None:
            if facts.table.image(environment.name) is None:
                level = Level.ERROR if environment.name in used else Level.WARNING
                yield level, _of(environment, f"is declared, but not built in {facts.root}", "build")
        elif not environment.whole:
            yield (
                Level.ERROR,
                _of(environment, f"its generation {environment.generation} is not whole", "build"),
            )
        else:
            yield from _whole(environment)
    yield from ((Level.ERROR, problem) for problem in facts.problems)


def _whole(environment: EnvironmentFacts) -> Found:
    if environment.altered:
        yield Level.ERROR, _of(environment, f"was altered after its build: {environment.altered}", "verify")
    if environment.base == "gone":
        yield (
            Level.ERROR,
            _of(environment, f"its base interpreter is gone: {environment.interpreter}", "build"),
        )
    elif environment.base:
        what = f"its base interpreter was changed since the build: {environment.interpreter}"
        yield Level.WARNING, _of(environment, what, "build")
    if environment.held:
        level = Level.WARNING if environment.held_days >= OLD_HOLD else Level.INFORMATION
        what = f"is {environment.held}"
        yield level, _of(environment, what, "unhold", "When the reason is gone")
    elif environment.behind and environment.lock is None:
        yield (
            Level.WARNING,
            _of(environment, "was built from another lock than the one that is there", "build"),
        )


def _of(environment: EnvironmentFacts, what: str, command: str, when: str = "Run") -> Problem:
    return Problem(f"environment '{environment.name}'", what, f"{when}: envman {command} {environment.name}")


def _probes(facts: Facts) -> Found:
    for probed in (*facts.probes.values(), *([facts.components] if facts.components else [])):
        if probed.problem:
            yield Level.ERROR, probed.problem
    if facts.components is None:
        what = "the interpreter of Airflow's components is not known, and was not looked at"
        remedy = "Set airflow-environment in envman.toml, pass --airflow PYTHON, or put `airflow` on PATH."
        yield Level.WARNING, Problem("components", what, remedy)


def _versions(facts: Facts) -> Found:
    """One Airflow everywhere: no promise exists between a component and a child of another version."""
    used = {*facts.snapshot.answers().environments.values()}
    places = {item.name: item.packages for item in facts.environments if item.whole and item.name in used}
    for name, packages in places.items():
        if CORE not in packages or SDK not in packages:
            what = "has no whole Airflow, but runs bundles"
            change = (
                f"Take 'airflow = false' out of environments/{name}.toml"
                if facts.airflow_version
                else "Set airflow-version in envman.toml, such as '3.3.2'"
            )
            remedy = f"{change}; then lock and build it."
            yield Level.ERROR, Problem(f"environment '{name}'", what, remedy)
    components = facts.components
    if components and not components.problem and CORE not in components.packages:
        remedy = "Set airflow-environment in envman.toml, or pass --airflow with the interpreter that has it."
        yield Level.ERROR, Problem("components", f"there is no Airflow in {components.where}", remedy)
    if components and not components.problem:
        places = {f"the components ({components.where})": components.packages, **places}
    for package, expected in ((CORE, facts.airflow_version), (SDK, None)):
        by_version: dict[str, list[str]] = {}
        if expected:
            by_version[expected] = ["airflow-version of envman.toml"]
        for place, packages in places.items():
            if package in packages:
                by_version.setdefault(packages[package], []).append(place)
        if len(by_version) > 1:
            listed = "; ".join(
                f"{version} in {', '.join(names)}" for version, names in sorted(by_version.items())
            )
            remedy = "Set airflow-version in envman.toml to the components' version; then lock and build."
            yield Level.ERROR, Problem(package, f"several versions in one deployment: {listed}", remedy)


def _classes(facts: Facts) -> Found:
    """A bundle's classes are imported where the bundle is parsed and run, and in the components, too."""
    answers = facts.snapshot.answers().environments
    for bundle, paths in facts.airflow.classes.items():
        own = f"environment '{answers.get(bundle)}'", facts.probes.get(answers.get(bundle, ""))
        for path, (where, found) in product(paths, (own, ("components", facts.components))):
            if found and CORE in found.packages and found.classes.get(path):
                what = f"{path}, which bundle '{bundle}' needs, can't be imported: {found.classes[path]}"
                yield Level.ERROR, Problem(where, what, _provider(where, found))


def _provider(where: str, probed: Probed) -> str:
    if where == "components":
        return f"Install the provider of that class in {probed.where}, or correct the classpath."
    return f"Run: envman add {probed.where} PROVIDER-OF-THAT-CLASS; or correct the classpath."


def _preloaded(facts: Facts) -> Found:
    """A module that can't be preloaded keeps the fork server from starting."""
    for name, probed in facts.probes.items():
        for module, why in probed.preload.items():
            if why:
                what = f"{module}, which is to be preloaded, {why}; each workload starts an interpreter"
                remedy = f"Take it out of preload in environments/{name}.toml; then: envman publish"
                yield Level.ERROR, Problem(f"environment '{name}'", what, remedy)


def _plugins(facts: Facts) -> Found:
    """A plugin that can't be imported is missing where it should work; Airflow goes on without it."""
    places = {f"environment '{name}'": probed for name, probed in facts.probes.items()}
    if facts.components:
        places["components"] = facts.components
    for where, probed in places.items():
        for plugin, why in probed.plugins.items():
            remedy = "Add the package that it needs to that environment, or catch the error in the plugin."
            yield Level.WARNING, Problem(where, f"the plugin {plugin} can't be imported: {why}", remedy)


def _readable(facts: Facts) -> Found:
    """Airflow's components read each Dag again; one that holds what they lack is an import error."""
    readers = facts.components
    if readers is None or CORE not in readers.packages:
        return
    for name, probed in facts.probes.items():
        lacking = [f"the plugin's class {one}" for one in probed.registered if one not in readers.registered]
        if probed.pods and not readers.pods:
            lacking.append("a pod_override (they have no kubernetes)")
        for one in lacking:
            what = f"a Dag there that uses {one} can't be read by Airflow's components: it is an import error"
            remedy = f"If Dags use it, add its package to the components' environment, too: {readers.where}"
            yield Level.WARNING, Problem(f"environment '{name}'", what, remedy)


def _variables(facts: Facts) -> Found:
    if facts.has_pythonpath:
        yield Level.WARNING, Problem("components", NO_PYTHONPATH, PYTHONPATH_REMEDY)
    for item in facts.kept_back:
        what = (
            f"{item.file} names the variable {item.variable}, which is set here, and its workloads do not get"
        )
        spec = f"environments/{item.environment}.toml"
        remedy = (
            f"To hand it on, list it in {spec}: [variables] pass; where keep-out names it, take it out there."
        )
        yield Level.WARNING, Problem(f"bundle '{item.bundle}'", what, remedy)

    if facts.not_handed_on:
        what = f"set here, and reach no workload: {', '.join(facts.not_handed_on)}"
        remedy = "Where a workload needs one, list it in its environment's spec: [variables] pass."
        yield Level.INFORMATION, Problem("components", what, remedy)


def _exposed(facts: Facts) -> Found:
    for item in facts.exposed:
        who = "everybody" if item.everybody else "its group"
        remedy = f"Run: chmod {'o-w,g-w' if item.everybody else 'g-w'} {item.path}"
        level = Level.ERROR if item.everybody and not item.sticky else Level.WARNING
        yield (
            level,
            Problem(item.path, f"{who} may write it (mode {item.mode}), and so decide what runs", remedy),
        )


DELEGATE = (
    "Start components as root where cgroups can be written, or as a unit with Delegate=yes; and run the "
    "doctor as they run."
)


def _confined(facts: Facts) -> Found:
    for item in facts.confined:
        where = f"environment '{item.environment}'"
        if item.refusal:
            cause, _, remedy = item.refusal.partition("; ")
            yield Level.ERROR, Problem(where, cause, f"{remedy[:1].upper()}{remedy[1:]}.")
        for limit, mechanism in item.mechanisms.items():
            if mechanism == "none":
                what = f"nothing here holds its limit of {limit}: {item.reasons[limit]}"
                yield Level.WARNING, Problem(where, what, DELEGATE)
            elif mechanism == "rlimit":
                whose = "each process on its own" if limit == "memory" else "all processes of its user"
                what = f"its limit of {limit} holds {whose}, not the environment: {item.reasons[limit]}"
                yield Level.WARNING, Problem(where, what, DELEGATE)
        held = [
            f"{limit} {_amount(limit, item.limits[limit])} by {mechanism}"
            for limit, mechanism in item.mechanisms.items()
            if mechanism not in {"none", "rlimit"}
        ]
        if item.user and not item.refusal:
            held.insert(0, f"its user is {item.user[0]}{':' if item.user[1] else ''}{item.user[1]}")
        if held:
            yield Level.INFORMATION, Problem(where, f"components started as the doctor: {', '.join(held)}")


def _credentials(facts: Facts) -> Found:
    for one in facts.credentials:
        for is_error, problem in one.problems():
            yield Level.ERROR if is_error else Level.WARNING, problem


def _amount(limit: str, value: float) -> str:
    """A limit as one would say it: 1.5 GiB, 200."""
    if limit == "memory":
        for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
            if value >= size:
                return f"{value / size:.4g} {unit}"
    return f"{value:g}"


def _policy(facts: Facts) -> Found:
    if facts.policy:
        what = "a policy stands: what runs from here has to be signed by its keys"
        yield Level.INFORMATION, Problem(facts.policy, what, "")


CHECKS: dict[str, Callable[[Facts], Found]] = {
    "published": _published,
    "bundles": _bundles,
    "shared": _shared,
    "teams": _teams,
    "environments": _environments,
    "interpreters": _probes,
    "versions": _versions,
    "classes": _classes,
    "preload": _preloaded,
    "plugins": _plugins,
    "readable": _readable,
    "variables": _variables,
    "permissions": _exposed,
    "queues": queue_findings,
    "triggerer": triggerer_findings,
    "confinement": _confined,
    "policy": _policy,
    "credentials": _credentials,
}
"""What is looked at, by the name that a finding carries."""
