"""What components, and processes in teams' interpreters, agree on: descriptors, and lines of JSON.

It imports nothing, since `envman exec` and every process of a team's pay for it. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class ServerSettings(TypedDict):
        """What a fork server is started with: its third argument.

        `link` is the environment's link to its current generation, `owner` the user ID of the components,
        `idle` the seconds without a workload after which it ends; `budget` the bytes that all servers may
        have together (0: as many as they need), to be told on.
        """

        root: str
        link: str
        preload: list[str]
        owner: int
        idle: float
        budget: int

    class StatusQuestion(TypedDict):
        """What whoever wants to know a server's status sends; the answer is a StatusReport, or a refusal."""

        ask: str

    class EndQuestion(TypedDict):
        """What a component sends that needs a server's memory: it ends if it has no child. No answer."""

        ask: str

    class WorkloadRequest(TypedDict):
        """What a component sends, with the descriptors that the child is to have.

        `entry` is one of `child.ENTRIES`, `name` the bundle or environment, for people who read `ps`; `added`
        are variables of the server's that its children don't have; `component` are the arguments of the
        component's `airflow` command; `credentials`: the last descriptor is that of its credentials; `shared`
        are the bundle's shared folders.
        """

        entry: str
        name: str
        umask: int
        folder: str
        added: list[str]
        component: list[str]
        credentials: bool
        shared: list[str]

    class ServerAnswer(TypedDict, total=False):
        """A server's answer to a component: `pid` once a child is there, `status` once it has ended (negative
        for a signal), or why it refuses.
        """

        pid: int
        status: int
        refused: str

    class ChildReport(TypedDict):
        """A child that runs; `started` in seconds since the epoch."""

        pid: int
        kind: str
        name: str
        started: float

    class StatusReport(TypedDict):
        """What a server says of itself; `last_minute` are the workloads of the last minute, `idle` the
        seconds without one (0 while there is one).
        """

        version: int
        environment: str
        generation: str
        root: str
        pid: int
        started: float
        preload: list[str]
        budget: int
        workloads: int
        last_minute: int
        crashes: int
        idle: float
        idle_limit: float
        children: list[ChildReport]


SCRIPTS = __file__.rpartition("/")[0]
"""This folder."""

RUN = f"{SCRIPTS}/run.py"
"""The script that starts a module of this folder: `python RUN MODULE ARGUMENT...`."""

KEEPER = f"{SCRIPTS}/keeper.py"
"""The script that keeps files of credentials; it stands alone."""

CHILD = "child"
CHILD_WITH_CREDENTIALS = "taken_credentials"
FORK_SERVER = "fork_server"
IMPORT_CHECK = "import_check"
MODULE_WITH_SHARED = "module_with_shared"

SHARED_OPTION = "--shared="
"""How the words begin that name a bundle's shared folders on the command line of a child."""

# Above the numbers that scripts and service managers count on.
HELD_DESCRIPTOR = 100
"""The lock on the generation, which every child inherits."""

LOG_DESCRIPTOR = 101
"""A workload's structured log."""

CALL_DESCRIPTOR = 102
"""What a callback or a runner of triggers has to know: the call, or the bundle, as JSON."""

LISTEN_DESCRIPTOR = 103
"""A fork server's listening socket."""

CREDENTIALS_DESCRIPTOR = 104
"""A socket over which a workload gets its credentials: one message, with a file in memory."""

VARIABLES_DESCRIPTOR = 105
"""The variables of a process that is confined first; the highest number that a child gets a descriptor at."""

CHILD_DESCRIPTORS = (0, 1, 2, LOG_DESCRIPTOR, CALL_DESCRIPTOR)
"""Where a workload finds requests, standard output and standard error, its log and, if any, its call."""


def child_descriptors(count: int, credentials: bool) -> tuple[int, ...]:
    """The numbers of so many descriptors of a workload's; `credentials`: the last is where they come."""
    if credentials:
        return (*CHILD_DESCRIPTORS[: count - 1], CREDENTIALS_DESCRIPTOR)
    return CHILD_DESCRIPTORS[:count]


CONTENT_OF_VARIABLE, CONTENT_OF_FILE = b"variable", b"file"
CONTENT_ENDS, CONTENT_REFUSED = b"end", b"refused"
"""That file: for each credential its kind, a variable, a number of bytes and these bytes, a NUL behind each;
then that it ends. Or that there is none, and why.
"""

STATUS = "status"
"""What can be asked of a server."""

END = "end"
"""What a server can be told."""

BACKLOG = 4096
"""Connections that wait for a server."""

STATUS_VERSION = 2
"""Of a StatusReport."""

ENDED = "ended: "
"""What the last line of a server begins with that has ended of its own accord."""
