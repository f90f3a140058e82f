"""`envman run`, `shell` and `which`: for whoever stands in a bundle's folder. No typer here: it is too slow.

With `--dev` they run in a dev overlay, which may have to be built first: then these are not asked, and the
command line builds it.
"""

from __future__ import annotations

import os
import sys

from envman.errors import EnvmanError, ExitCode, Problem, ResolveError
from envman.launch.bundle_here import bundle_here
from envman.launch.command import Request, airflow_bundles, read_words, resolve, usage_error
from envman.launch.process import Addition, ProgramError, find_program, replace_process, show_help, tell
from envman.resolver.variables import child_environment
from envman.store import layout
from envman.store.root import find_root, take_snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from envman.resolver.snapshot import Snapshot

USAGES = {
    "run": "envman run [--bundle B | --team T | --environment E] [--dev] [--explain] [--] COMMAND [ARG ...]",
    "shell": "envman shell [--dev] [--shell SHELL] [--root DIR] [BUNDLE | --team T | --environment E]",
    "which": "envman which [--root DIR] [BUNDLE | --team T | --environment E] [PROGRAM]",
}

_WHICH = """\
Which bundle: the one whose folder you stand in, by 'path' in [bundles] of envman.toml or Airflow's own list;
the only one of a project, wherever you stand in it; or the one that you name.
"""

_OPTIONS = """\
  --bundle B        the environment of a bundle: its own, else its team's, else the default
  --team T          the environment of a team
  --environment E   an environment by its name
  --root DIR        root folder of the environments [ENVMAN_ROOT, else 'root' of envman.toml]
"""

_DEV = """\
  --dev             in the dev overlay: with the packages of [dev] of the environment's spec; built if need be
"""

_CODES = "125 envman could not start it, 126 it is not executable, 127 it is not found."

HELPS = {
    "run": f"""Usage: {USAGES["run"]}

Run a command in the environment of the bundle that you stand in.

{_WHICH}
All else is as with `envman exec`: the process is replaced, and no other interpreter's program runs.

Options:
{_OPTIONS}{_DEV}  --explain         say on standard error how the answer was found
  --help            show this text

Exit codes: the command's own; {_CODES}

Examples:
  cd bundles/bundle_a && envman run -- python -V
  envman run --dev -- pytest -x
  envman run --bundle bundle_b -- python -c 'import pandas; print(pandas.__version__)'
""",
    "shell": f"""Usage: {USAGES["shell"]}

Start a shell in a bundle's environment, whatever your own files put on PATH; `exit` leaves it.

{_WHICH}
It is bash, zsh, fish or sh: the one that $SHELL names. Your own files (.bashrc, .zshrc, config.fish) are read
as always; whatever they put on PATH, `python` is the environment's, before each prompt again. pip and such
programs of other interpreters are refused.

Options:
{_OPTIONS}{_DEV}  --shell SHELL     another shell than $SHELL: its name, or its path
  --help            show this text

Exit codes: the shell's own; {_CODES}

Examples:
  envman shell bundle_a
  cd bundles/bundle_a && envman shell --dev
  echo 'python -V' | envman shell --environment env_b
""",
    "which": f"""Usage: {USAGES["which"]}

Print the path of a bundle's interpreter, or of a program in its environment: one whole line, for scripts.

{_WHICH}
'.' in the place of BUNDLE is the bundle of this folder, to ask for a program of it. The path is that of the
generation that is current now; it stays what it is until `envman gc` removes the generation.

Options:
{_OPTIONS}  --help            show this text

Exit codes: 0 found; 125 there is no answer, 126 it is not executable, 127 it is not found.

Examples:
  envman which bundle_a
  envman which . airflow
  $(envman which --environment env_b) -V
""",
}


def main(command: str, arguments: list[str]) -> int | None:
    """Run one of the commands; returns an exit code, where it could not be started or is `which`, and None
    where it is to run in a dev overlay.
    """
    if arguments[:1] in (["--help"], ["-h"]) or (command == "run" and not arguments):
        return show_help(HELPS[command], bool(arguments))
    try:
        request = parse(command, arguments)
        if request.dev:
            return None
        request = with_bundle(request)
        snapshot = take_snapshot(find_root(os.environ, request.root, "."), airflow_bundles)
        if command == "which":
            return _which(snapshot, request)
        return start(command, request, snapshot)
    except EnvmanError as error:
        return refuse(command, error)


def refuse(command: str, error: EnvmanError) -> int:
    """Say why a command can't be started; returns the exit code."""
    for problem in error.problems:
        tell(f"envman {command}: {problem}\n")
    return ExitCode.LAUNCH


def parse(command: str, arguments: list[str]) -> Request:
    """The words of a command; raises UsageError."""
    usage = USAGES[command]
    flags = {"run": ("--explain", "--dev"), "shell": ("--dev",), "which": ()}[command]
    request = read_words(arguments, usage, flags, ("root", "shell") if command == "shell" else ("root",))
    if command == "run":
        if not request.command:
            raise usage_error("there is no command", usage)
        return request
    if not request.kind and request.command:
        request.kind, request.name = "bundle", request.command.pop(0)
    if request.command and request.command[0].startswith("-"):
        raise usage_error(f"options stand before the bundle: '{request.command[0]}'", usage)
    most = 1 if command == "which" else 0
    if len(request.command) > most:
        raise usage_error(f"there is a word too many: '{request.command[most]}'", usage)
    return request


def with_bundle(request: Request) -> Request:
    """The request, with the bundle of this folder where it names none; raises UsageError."""
    if not request.kind or (request.kind == "bundle" and request.name == "."):
        request.kind, request.name = "bundle", bundle_here(os.environ, ".")
    return request


def start(command: str, request: Request, snapshot: Snapshot, overlay: str = "") -> int:
    """Become the command or shell; returns an exit code only where that fails."""
    resolution = resolve(snapshot, request)
    if request.explain:
        for step in resolution.steps:
            tell(f"envman {command}: {step}\n")
    environment = resolution.environment
    if command == "run":
        return replace_process(snapshot, environment, request.command, Addition(command, {}, overlay=overlay))
    from envman.launch.own_shell import own_shell

    folders = [f"{overlay}/bin"] if overlay else []
    folders.append(f"{layout.generation_path(snapshot.root, snapshot.generation(environment))}/bin")
    declared = snapshot.table.environment(environment) or ([], {})
    words, variables = own_shell(request.shell, environment, folders, declared)
    if sys.stderr.isatty():
        where = f"of the {request.kind} '{request.name}'" if request.kind != "environment" else "by its name"
        tell(f"envman: a shell in the environment '{environment}', {where}; exit leaves it\n")
    return replace_process(snapshot, environment, words, Addition(command, variables, overlay=overlay))


def _which(snapshot: Snapshot, request: Request) -> int:
    environment = resolve(snapshot, request).environment
    declared = snapshot.table.environment(environment)
    if declared is None:
        remedy = "Publish envman.toml anew: envman build"
        raise ResolveError(Problem(f"environment '{environment}'", "is not in the published table", remedy))
    bin_folder = f"{layout.generation_path(snapshot.root, snapshot.generation(environment))}/bin"
    path = child_environment(os.environ, bin_folder, *declared)["PATH"]
    try:
        found = find_program((request.command or ["python"])[0], path, (bin_folder,), environment)
        if not os.path.exists(found):
            raise ProgramError(f"{found}: no such file", ExitCode.NOT_FOUND)
    except ProgramError as error:
        tell(f"envman which: {error}\n")
        return error.exit_code
    return show_help(f"{os.path.abspath(found)}\n", is_wanted=True)
