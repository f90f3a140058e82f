"""Entry point. The launch commands are sent off before typer or rich is imported."""

from __future__ import annotations

import _signal as signal  # without the enums, which cost as much as an exec's other modules
import os
import sys


def main() -> None:
    """Run envman with the process's arguments and end the process with its exit code."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "up":
        command = "launch"
        sys.argv[1:2] = ["launch", "standalone"]
    if command == "launch":  # before all else: its variables are the components' secrets
        from envman.launch.closed_process import close_process

        close_process()
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_closed_streams()
    if command == "exec":
        from envman.launch.command import main as exec_main

        sys.exit(exec_main(sys.argv[2:]))
    if command in {"run", "shell", "which"}:
        from envman.launch.author_commands import main as author_main

        if (code := author_main(command, sys.argv[2:])) is not None:
            sys.exit(code)
        from envman.cli.in_overlay import main as overlay_main

        sys.exit(overlay_main(command, sys.argv[2:]))
    if command == "launch":
        from envman.launch.components import main as launch_main

        sys.exit(launch_main(sys.argv[2:]))
    if command == "container-entrypoint":
        from envman.launch.container_entrypoint import main as entrypoint_main

        sys.exit(entrypoint_main(sys.argv[2:]))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until somebody hears it there is nothing to clean up
    from envman.cli.app import main as cli_main

    cli_main()


def _open_closed_streams() -> None:
    """Point the standard descriptors that are closed to /dev/null, else the next file that is opened becomes
    one of them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


if __name__ == "__main__":
    main()
