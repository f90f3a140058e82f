"""Entry point. The launch commands are sent off before typer or rich is imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Run envman with the process's arguments and end the process with its exit code."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "exec":
        from envman.launch.command import main as exec_main

        sys.exit(exec_main(sys.argv[2:]))
    if command == "launch":
        from envman.launch.components import main as launch_main

        sys.exit(launch_main(sys.argv[2:]))
    if command == "pod-entrypoint":
        from envman.launch.pod import main as pod_main

        sys.exit(pod_main(sys.argv[2:]))
    from envman.cli.app import main as cli_main

    cli_main()


if __name__ == "__main__":
    main()
