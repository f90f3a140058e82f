"""How children are started; all of them are of the one owner in `children`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from envman.system.child_process import Finished
from envman.system.children import CHILDREN


class Processes:
    """A way to start children; each gets `variables` besides those that it is started with."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._added = dict(variables or {})

    def seen(self, path: str) -> str:
        """A path of this machine as the children see it: here the same."""
        return path

    def outside(self, path: str) -> str:
        """A path that the children see as it is on this machine."""
        return path

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        held: Sequence[int] = (),
        on_line: Callable[[str], None] | None = None,
        *,
        timeout: float | None = None,
    ) -> Finished:
        """Run a command to its end.

        `held` are file descriptors of locks that the child inherits: if this process is killed, the lock
        lasts as long as the child still writes. `on_line` gets each line of standard error as it comes; an
        error of it ends the child, and is raised. After `timeout` seconds the child's group is ended, by
        SIGTERM first, and the exit code is that of SIGKILL. Raises OSError where the program can't be
        started, InterruptedByUserError where a signal ends the command.
        """
        return CHILDREN.run(command, {**environment, **self._added}, folder, held, on_line, timeout)
