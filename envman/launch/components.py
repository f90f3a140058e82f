"""`envman launch`: start one of Airflow's components, for one bundle or team, or one for all of them."""

from __future__ import annotations

import os

from envman.errors import EnvmanError, ExitCode, Problem, ResolveError, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.own_component import COLD_VARIABLE, HOME_VARIABLE, names_queues, own_component
from envman.launch.process import Addition, become, replace_process, show_help, tell
from envman.resolver.variables import NO_PYTHONPATH, PYTHONPATH_REMEDY
from envman.signing.policy_file import VARIABLE
from envman.store import layout
from envman.store.root import find_root, take_snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.resolver.snapshot import Snapshot
    from envman.resolver.table import Table

USAGE = "envman launch COMPONENT [OPTION ...] [-- ARG ...]"
HELP = f"""Usage: {USAGE}

Start one of Airflow's components; every parse, task, callback and trigger runs in its bundle's interpreter.

Components:
  scheduler         with LocalExecutor its tasks run below it; pods get their images from it
  dag-processor     parses
  triggerer         triggers
  worker            of Celery: tasks
  edge-worker       of the Edge executor: tasks
  api-server        runs no bundle's code
  standalone        a scheduler, Dag processor, triggerer and API server, to try things out on one machine

Without --bundle and --team: one shared component for all bundles (Airflow 3.3 and 3.4). It runs in the
deployment's own environment, and starts each workload in the interpreter of its bundle. It says at the start
which bundle goes where, and refuses to start on a bundle without an environment.
With --bundle or --team: the stock component (any Airflow 3), inside that environment, for its bundles alone:
dag-processor, triggerer, worker, edge-worker.
All that follows -- goes to Airflow's command unchanged.

Options:
  --bundle B        a component of its own for a bundle; may be repeated for dag-processor
  --team T          a component of its own for a team
  --environment E   where the shared component runs [airflow-environment of envman.toml, else airflow on PATH]
  --python PATH     the same, as the path of an interpreter that has Airflow
  --cold            start an interpreter for each workload of a shared component, without fork servers
  --root DIR        root folder of the environments [ENVMAN_ROOT, else 'root' of envman.toml]
  --health          instead: say whether this component is at work here (0) or not (1), for a probe
  --json            with --health: as JSON
  --help            show this text

Exit codes: the component's own; 125 envman refused to start it, 126 and 127 as a shell has them.

Examples:
  envman launch scheduler
  envman launch dag-processor
  envman launch dag-processor -- --num-runs 1
  envman launch worker -- --concurrency 8
  envman launch dag-processor --bundle bundle_a
  envman launch worker --team team_b
  envman launch standalone
  envman launch dag-processor --health
"""

COMPONENTS = {
    "scheduler": ["scheduler"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer"],
    "worker": ["celery", "worker"],
    "edge-worker": ["edge", "worker"],
    "api-server": ["api-server"],
    "standalone": ["standalone"],
}
"""Components by their names here, and the words of Airflow's command for each."""

OWN_COMPONENTS = ("dag-processor", "triggerer", "worker", "edge-worker")
"""Those that there can be one of for each bundle or team."""

WITHOUT_BEATS = ("api-server", "standalone")
_FLAGS = ("cold", "health", "json")
_OPTIONS = ("bundle", "team", "environment", "python", "root")


class LaunchRequest:
    """What was asked on the command line: a component, and further words for Airflow's command."""

    __slots__ = ("bundles", "component", "flags", "options", "words")

    def __init__(self) -> None:
        self.component = ""
        self.bundles: list[str] = []
        self.flags: set[str] = set()
        self.options: dict[str, str] = {}
        self.words: list[str] = []


def main(arguments: list[str]) -> int:
    """Run `envman launch`; returns only where the component could not be started."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if not arguments or {"--help", "-h"} & {*own}:
        return show_help(HELP, bool(arguments))
    try:
        request = parse(arguments)
        if "health" in request.flags:
            from envman.launch.health import health

            return health(request.component, "json" in request.flags)
        if os.environ.get("PYTHONPATH"):
            tell(f"envman launch: warning: {NO_PYTHONPATH}. {PYTHONPATH_REMEDY}\n")
        return _launch(request)
    except EnvmanError as error:
        for problem in error.problems:
            tell(f"envman launch: {problem}\n")
        return ExitCode.LAUNCH


def _launch(request: LaunchRequest) -> int:
    root = find_root(os.environ, request.options.get("root"), ".")
    configuration = AirflowConfiguration(os.environ)
    snapshot = take_snapshot(root, configuration.bundles)
    if request.bundles or "team" in request.options:
        team = request.options.get("team", "")
        environment, words, variables = own_component(
            snapshot, configuration, request.component, request.bundles, team, request.words
        )
        command = ["airflow", *words]
        is_guarded = request.component in {"worker", "edge-worker"} and knows_coordinators(
            snapshot, environment
        )
        if is_guarded:
            variables[HOME_VARIABLE] = environment
            command = ["python", component_script(), *words]
        addition = Addition("launch", {**_of_launch(root), **variables}, is_component=is_guarded)
        return replace_process(snapshot, environment, command, addition)
    words = [*COMPONENTS[request.component], *request.words]
    if request.component == "worker" and not names_queues(words):
        words += all_queues(snapshot.table, configuration)
    return _shared(snapshot, request, words)


def _of_launch(root: str) -> dict[str, str]:
    """What a component goes on with: the root, and the policy, whatever its environment keeps out or sets."""
    policy = os.environ.get(VARIABLE)
    return {"ENVMAN_ROOT": root, **({VARIABLE: policy} if policy else {})}


def component_script() -> str:
    """The script that starts a component with envman's hooks in it: run by path, in another interpreter."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "airflow/component.py")


def knows_coordinators(snapshot: Snapshot, environment: str) -> bool:
    """Whether the environment's Airflow is 3.3 or newer: then a worker can look at each task's bundle."""
    import json

    path = layout.manifest_path(snapshot.root, snapshot.generation(environment))
    try:
        with open(path, encoding="utf-8") as stream:
            version = json.load(stream)["packages"]["apache-airflow-core"]
        return tuple(int(part) for part in version.split(".")[:2]) >= (3, 3)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def all_queues(table: Table, configuration: AirflowConfiguration) -> list[str]:
    """The words by which the shared worker serves Airflow's default queue and those of envman.toml."""
    declared = {*table.values("bundle-queue"), *table.values("team-queue")}
    if not declared:
        return []
    default = configuration.option("operators", "default_queue") or "default"
    return ["--queues", ",".join(dict.fromkeys([default, *sorted(declared)]))]


def _shared(snapshot: Snapshot, request: LaunchRequest, words: list[str]) -> int:
    """Become the shared component, in the deployment's own environment."""
    script = component_script()
    cold = {COLD_VARIABLE: "1"} if "cold" in request.flags else {}
    addition = Addition("launch", {**_of_launch(snapshot.root), **cold}, is_component=True)
    environment = request.options.get("environment") or snapshot.table.components()
    if environment and "python" not in request.options:
        return replace_process(snapshot, environment, ["python", script, *words], addition)
    python = request.options.get("python") or airflows_python(os.environ.get("PATH", ""))
    variables = {**os.environ, **addition.variables}
    return become(python, [python, script, *words], variables, addition)


def airflows_python(path: str) -> str:
    """The interpreter of the `airflow` command that is found on PATH; raises ResolveError."""
    for folder in path.split(":"):
        command = f"{folder or '.'}/airflow"
        if os.path.isfile(command) and os.access(command, os.X_OK) and (python := _interpreter_of(command)):
            return python
    what = "the deployment's own environment is not known"
    remedy = "Pass --environment E or --python PATH, or set airflow-environment in envman.toml."
    raise ResolveError(Problem("", what, remedy))


def _interpreter_of(command: str) -> str:
    """The Python that a console script starts; empty where it is no script, or not of Python."""
    try:
        with open(command, "rb") as stream:
            lines = stream.read(4096).decode(errors="replace").split("\n")
    except OSError:
        return ""
    if lines[0] == "#!/bin/sh" and lines[1:2] and lines[1].startswith("'''exec' "):
        return _of_exec_line(lines[1], command)
    program = lines[0].removeprefix("#!").strip().partition(" ")[0]
    return program if lines[0].startswith("#!") and "python" in program.rpartition("/")[2] else ""


def _of_exec_line(line: str, command: str) -> str:
    """The Python of the line that installers write where its path is too long, or relative to the script."""
    import shlex

    beside = '\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")"/'
    folder = f"{os.path.dirname(os.path.realpath(command))}/" if line.startswith(beside) else ""
    try:
        words = shlex.split(line.removeprefix(beside) if folder else line.removeprefix("'''exec' "))
    except ValueError:
        return ""
    return folder + words[0] if words and "python" in words[0].rpartition("/")[2] else ""


def parse(arguments: list[str]) -> LaunchRequest:
    """Read the command line; raises UsageError."""
    request = LaunchRequest()
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            break
        if word in COMPONENTS and not request.component:
            request.component = word
            continue
        if word[:2] == "--" and word[2:] in _FLAGS:
            request.flags.add(word[2:])
            continue
        option, has_value, value = word.partition("=")
        if option[:2] != "--" or option[2:] not in _OPTIONS:
            raise _usage(f"'{word}' is neither an option nor a component")
        if not has_value and words:
            value = words.pop(0)
        if not value or value == "--":
            raise _usage(f"the option '{option}' needs a value")
        _set(request, option[2:], value)
    request.words = words
    _check(request)
    return request


def _set(request: LaunchRequest, option: str, value: str) -> None:
    if option == "bundle":
        request.bundles.append(value)
    elif option in request.options:
        raise _usage(f"--{option} is given twice")
    else:
        request.options[option] = value


def _check(request: LaunchRequest) -> None:
    own = bool(request.bundles) or "team" in request.options
    if not request.component:
        raise _usage(f"which component? One of: {', '.join(COMPONENTS)}")
    if own and request.component not in OWN_COMPONENTS:
        raise _usage(f"--bundle and --team go with {', '.join(OWN_COMPONENTS)}")
    if own and {"environment", "python"} & request.options.keys():
        raise _usage("a component for a bundle or team runs in their environment: name no other")
    if own and "cold" in request.flags:
        raise _usage("--cold is about shared components: one for a bundle or team forks itself")
    if "health" in request.flags:
        if own or request.component in WITHOUT_BEATS:
            raise _usage("--health is about shared components that run workloads")
        if request.words or request.options or "cold" in request.flags:
            raise _usage("--health starts nothing: only --json goes with it")
    if "json" in request.flags and "health" not in request.flags:
        raise _usage("--json goes with --health")
    if request.bundles and "team" in request.options:
        raise _usage("--bundle and --team are both given: name one")
    if {"environment", "python"} <= request.options.keys():
        raise _usage("--environment and --python are both given: name one")


def _usage(what: str) -> UsageError:
    return UsageError(Problem("", what, f"Usage: {USAGE}"))
