"""`envman exec`: parse its few options, resolve, and replace this process. No typer here: it is too slow."""

from __future__ import annotations

import os

from envman.errors import EnvmanError, ExitCode, Problem, UsageError
from envman.launch.process import replace_process, show_help, tell
from envman.store.root import find_root, take_snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.resolver.snapshot import AirflowBundles, Resolution, Snapshot

USAGE = "envman exec [--root DIR] (--bundle B | --team T | --environment E) [--explain] -- COMMAND [ARG ...]"
HELP = f"""Usage: {USAGE}

Replace this process with COMMAND, run in the environment of a bundle or team.

The command keeps the process ID; signals and the exit status are its own. It runs in the generation that is
current now, and stays in it. PATH and VIRTUAL_ENV point to the generation; PYTHONHOME, PYTHONPATH and what
the spec keeps out are dropped; what the spec sets is added.

Options:
  --bundle B        the environment of a bundle: its own, else its team's, else the default
  --team T          the environment of a team
  --environment E   an environment by its name
  --root DIR        root folder of the environments [ENVMAN_ROOT, else 'root' of envman.toml]
  --explain         say on standard error how the answer was found
  --help            show this text

Exit codes: the command's own; 125 envman could not start it, 126 it is not executable, 127 it is not found.

Examples:
  envman exec --bundle bundle_a -- python -V
  envman exec --bundle bundle_a -- airflow dag-processor --bundle-name bundle_a
  envman exec --team team_b -- python -c 'import sys; print(sys.prefix)'
"""

_KINDS = ("bundle", "team", "environment")


class Request:
    """What was asked on the command line."""

    __slots__ = ("command", "dev", "explain", "kind", "name", "root", "shell")

    def __init__(self) -> None:
        self.kind = ""
        self.name = ""
        self.root: str | None = None
        self.explain = False
        self.dev = False
        self.shell = ""
        self.command: list[str] = []


def main(arguments: list[str]) -> int:
    """Run `envman exec`; returns only where the command could not be started."""
    if not arguments or arguments[0] in {"--help", "-h"}:
        return show_help(HELP, bool(arguments))
    try:
        return _execute(parse(arguments))
    except EnvmanError as error:
        for problem in error.problems:
            tell(f"envman exec: {problem}\n")
        return ExitCode.LAUNCH


def _execute(request: Request) -> int:
    snapshot = take_snapshot(find_root(os.environ, request.root, "."), airflow_bundles)
    resolution = resolve(snapshot, request)
    if request.explain:
        for step in resolution.steps:
            tell(f"envman exec: {step}\n")
    return replace_process(snapshot, resolution.environment, request.command)


def resolve(snapshot: Snapshot, request: Request) -> Resolution:
    """Answer a request from the table and, where the table leaves it open, Airflow's configuration."""
    if request.kind == "bundle":
        return snapshot.resolve(request.name)
    if request.kind == "team":
        return snapshot.resolve_team(request.name)
    return snapshot.resolve_environment(request.name)


def airflow_bundles() -> AirflowBundles:
    """The bundles of Airflow's configuration."""
    from envman.launch.airflow_configuration import AirflowConfiguration

    return AirflowConfiguration(os.environ).bundles()


def parse(arguments: list[str]) -> Request:
    """Read the options up to `--` or the first word that is none; raises UsageError."""
    request = read_words(arguments, USAGE)
    if not request.kind:
        raise usage_error("which environment? Neither --bundle nor --team nor --environment is given", USAGE)
    if not request.command:
        raise usage_error("there is no command after --", USAGE)
    return request


def read_words(
    arguments: list[str],
    usage: str,
    flags: tuple[str, ...] = ("--explain",),
    named: tuple[str, ...] = ("root",),
) -> Request:
    """The options, of those that a command has, and the words behind them as its command."""
    request = Request()
    words = list(arguments)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        option, has_value, value = word.partition("=")
        if option in flags and not has_value:
            setattr(request, option[2:], True)
            continue
        if not option.startswith("--") or option[2:] not in (*_KINDS, *named):
            raise usage_error(f"unknown option '{option}'", usage)
        if not has_value:
            if not words:
                raise usage_error(f"the option '{option}' needs a value", usage)
            value = words.pop(0)
        if not value:
            raise usage_error(f"the option '{option}' needs a value", usage)
        _set(request, option[2:], value, usage)
    request.command = words
    return request


def _set(request: Request, option: str, value: str, usage: str) -> None:
    if option not in _KINDS:
        setattr(request, option, value)
    elif request.kind:
        raise usage_error(f"--{request.kind} and --{option} are both given: name one", usage)
    else:
        request.kind, request.name = option, value


def usage_error(what: str, usage: str) -> UsageError:
    """What is said of words that a command does not understand."""
    return UsageError(Problem("", what, f"Usage: {usage}"))
