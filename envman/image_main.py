"""Entry point of an image, where what makes environments is not: its text is the image's command `envman`.

It runs in an interpreter of the base, that its first line names there, and imports what is beside it.
"""

from __future__ import annotations

import sys

PACKAGES = "/opt/envman/lib"


def main(words: list[str]) -> int:
    """Run a launch command, as `envman` does; returns an exit code."""
    if words[:2] == ["container-entrypoint", "envman"]:  # podman run IMAGE envman exec --bundle B -- ...
        words = words[2:]
    command = words[0] if words else "--help"
    if command == "--version":
        from envman import __version__

        sys.stdout.write(f"envman {__version__}\n")
        return 0
    if command in {"exec", "launch", "container-entrypoint"}:
        from envman.__main__ import main as run

        sys.argv[1:] = words
        run()
    sys.stderr.write("envman: this image holds the launcher alone: exec, launch, container-entrypoint.\n")
    return 0 if command in {"--help", "-h"} else 2


if __name__ == "__main__":
    sys.path[0] = PACKAGES
    sys.exit(main(sys.argv[1:]))
