"""Entry point. The launch command is sent off before typer or rich is imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Run envman with the process's arguments and end the process with its exit code."""
    if len(sys.argv) > 1 and sys.argv[1] == "exec":
        from envman.launch.command import main as exec_main

        sys.exit(exec_main(sys.argv[2:]))
    from envman.cli.app import main as cli_main

    cli_main()


if __name__ == "__main__":
    main()
