"""Start a child of an Airflow component in a bundle's interpreter.

Airflow's supervisor forks itself and goes on in the fork. `BundleProcess` stands between a supervisor class
and `WatchedSubprocess`. With the same four sockets, it has the environment's fork server fork (see
`server_client.py`), or starts another interpreter; from there on the child is Airflow's own (see
`inside/child.py`), and the component sees the process that it would have seen.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from selectors import EVENT_READ
from signal import SIGKILL, Signals
from socket import socket, socketpair
from typing import Any, ClassVar, NoReturn

import psutil
import structlog
from airflow.sdk.execution_time.supervisor import ProcessTracker, PsutilTracker, WatchedSubprocess

from envman.airflow import server_client
from envman.airflow.bundle_interpreter import BundleInterpreter
from envman.airflow.checked_pipes import AnswerQueue, CheckedPipe
from envman.airflow.handed_credentials import HandedCredentials
from envman.airflow.memory import WithinMemory
from envman.airflow.own_masks import BoundedMasker, everybodys, of_a_child, within
from envman.airflow.pending_child import NO_PROCESS, PendingChild
from envman.airflow.run_record import record_of
from envman.airflow.runtime import Runtime
from envman.airflow.server_child import keeps_its_number
from envman.door import log_lines
from envman.door.frames import Frames
from envman.door.lines import Lines
from envman.door.rules import ALONE, SHARED, Allowance, Rule
from envman.errors import EnvmanError
from envman.inside.protocol import CHILD, CHILD_WITH_CREDENTIALS, RUN, SHARED_OPTION, child_descriptors

CHECKS = {"logs": log_lines.checked}
"""What lines have to pass, by Airflow's names for the sockets."""

NOT_WAITED_FOR = ("parse", "triggers", "list")
"""Children of components that look after others meanwhile: neither a fork, which takes milliseconds, nor a
server that starts slowly must stop them.
"""

START_LIMIT = 30.0
"""Seconds that such a child waits for a server that is; less than Airflow gives to the parse of a file."""

END_LIMIT = 0.1
"""Seconds between the end of all that a child has open, and its exit status."""

log = structlog.get_logger(logger_name="envman.fork_server")


class Start:
    """What to start, and where: the child's entry, whose interpreter, and what else it inherits.

    `find` gives the interpreter or raises an EnvmanError; `name` is the bundle, for `ps`, in its `version`.
    `call` is a file with what a callback or a runner of triggers has to know.
    """

    __slots__ = ("call", "entry", "find", "name", "version")

    def __init__(
        self,
        entry: str,
        name: str,
        find: Callable[[str], BundleInterpreter],
        call: int = -1,
        version: str | None = None,
    ) -> None:
        self.entry = entry
        self.name = name
        self.find = find
        self.call = call
        self.version = version


class BundleProcess(WatchedSubprocess):  # type: ignore[misc]  # Airflow is not there when types are checked
    """A supervised child in another interpreter.

    Where there is no interpreter for it, the child is a fork of the component that says so in the workload's
    log and fails, without touching anybody's code.
    """

    refusal = ""
    """Why no interpreter was started, or none of the bundle's code in it; empty where it was."""

    runtime: Runtime | None = None
    """What it runs with; None where no interpreter was started."""

    rule: ClassVar[Rule] = ALONE
    """How much it may say."""

    _allowance = Allowance(ALONE, 0.0)
    _answers: AnswerQueue | None = None
    _requests: CheckedPipe | None = None
    _masker: BoundedMasker | None = None
    _handed: HandedCredentials | None = None

    breach = ""
    """Which rule it has broken, and was ended for; empty where it has broken none."""

    @classmethod
    def start(cls, *, start: Start, logger: Any = None, **fields: Any) -> Any:
        """Start the child as `WatchedSubprocess.start` would; `start` takes the place of its `target`.

        Raises TypeError, before anything is started, for a keyword that this Airflow's class does not have;
        OSError where no descriptor is free.
        """
        for how in ("target", "use_exec"):  # here each child is a process of another interpreter
            fields.pop(how, None)
        inspect.signature(cls).bind_partial(**fields)
        try:
            interpreter = start.find(start.name)
        except (EnvmanError, OSError) as error:
            return cls._refused(str(error), logger, fields)
        runtime = interpreter.runtime
        try:
            ours, theirs = _socket_pairs()
        except OSError:  # no descriptor is free: nothing can be started, not even a refusal
            interpreter.close()
            raise
        masker = of_a_child() if cls.rule is SHARED else None  # else Airflow's is there for it alone
        try:
            mask = masker.keep_mask if masker else everybodys().add_mask
            mask = mask if runtime.credentials else None
            tracker, handed = _begun(interpreter, start, [end.fileno() for end in theirs], mask)
        except (EnvmanError, OSError) as error:
            for one in ours:
                one.close()
            why = (
                f"{runtime.python}: can't be started: {error.strerror}"
                if isinstance(error, OSError)
                else error
            )
            return cls._refused(str(why), logger, fields)
        finally:
            for one in theirs:
                one.close()
        requests, stdout, stderr, logs = ours
        logger = logger or structlog.get_logger(logger_name="task").bind()
        how = tracker.how if isinstance(tracker, PendingChild) else "cold"
        record_of(runtime, start.name, start.version, how).say(logger)
        if limit := runtime.limits.get("memory"):
            tracker = WithinMemory(tracker, runtime.environment, limit, logger)
        process = cls(
            pid=tracker.pid,
            stdin=requests,
            process=tracker,
            process_log=logger,
            start_time=time.monotonic(),
            **fields,
        )
        process.runtime, process._handed, process._masker = runtime, handed, masker
        process._register_pipe_readers(stdout, stderr, requests, logs, data={})
        process.put_behind_the_door(requests, ours)
        return process

    def put_behind_the_door(self, requests: socket, pipes: Iterable[socket]) -> None:
        """Put the door between the child and Airflow's readers of its four sockets, and the way back."""
        self.stdin = self._answers = AnswerQueue(requests, self.selector)
        self._allowance = Allowance(self.rule, time.monotonic())
        if self.rule is SHARED:  # else Airflow's is there for it alone
            self._masker = self._masker or of_a_child()
        self.check_pipes(pipes)

    def check_pipes(self, pipes: Iterable[socket]) -> None:
        """Put the door between these of the child's sockets and Airflow's readers."""
        for pipe in pipes:
            kind = self._open_sockets.get(pipe, "logs")
            read, on_close = self.selector.get_key(pipe).data
            if self._masker:
                read = within(self._masker, read)
            if kind == "requests":
                frames = Frames(self.rule.request, self.rule.values)
                checked = self._requests = CheckedPipe(read, frames, None, self._end_for)
            else:
                lines = Lines(self.rule.line, CHECKS.get(kind))
                checked = CheckedPipe(read, lines, self._allowance, self._end_for)
            self.selector.modify(pipe, EVENT_READ, (checked, on_close))

    def _end_for(self, breach: str) -> None:
        """End the child for what it has sent, and say so in its log."""
        if not self.breach:
            self.breach = breach
            with contextlib.suppress(Exception):  # its log may be on a disk that is full
                self.process_log.error("This process was ended for what it has sent", reason=breach)
        # what has taken another user by a setuid program may not be signalled; nothing more is read of it
        with contextlib.suppress(self._process.ProcessNotFound, OSError, psutil.Error):
            self._process.send_signal(SIGKILL)

    def _check_subprocess_exit(self, **how: Any) -> int | None:
        """Wait for the exit status of a child that has closed everything.

        Nothing else would wake the component then: it would see the end a second, or five seconds, later.
        """
        if self._answers and self._answers.waits() > self.rule.answer:
            self._end_for(f"no sign that it reads an answer, for {self.rule.answer:.0f} s")
        if self._requests and self._requests.stalls() > self.rule.answer:
            self._end_for(f"half a request, and nothing more for {self.rule.answer:.0f} s")
        if self._handed and self._handed.problem:
            self.refusal = self._handed.problem
        self.pid = int(self._process.pid)  # that of a child whose server was just starting is known by now
        if self._exit_code is None and not self._open_sockets:
            with contextlib.suppress(self._process.TimeoutExpired):
                self._process.wait(timeout=END_LIMIT)
        try:
            super()._check_subprocess_exit(**how)
        except OSError as error:  # of its log, where Airflow says how it ended
            log.warning("A workload's log can't be written", pid=self.pid, reason=str(error))
        exit_code: int | None = self._exit_code
        return exit_code

    def _signal_subprocess(self, sig: Signals) -> None:
        """Signal the child, with the group that it leads; never a group that it has only joined."""
        if self._new_process_group and (pid := self._process.pid) != NO_PROCESS:
            with contextlib.suppress(OSError):
                if keeps_its_number(self._process) and os.getpgid(pid) == pid:
                    os.killpg(pid, sig)
                    return
        self._process.send_signal(sig)

    @classmethod
    def _refused(cls, message: str, logger: Any, fields: dict[str, Any]) -> Any:
        process = super().start(target=partial(refuse, message), logger=logger, **fields)
        process.refusal = message
        return process


@contextlib.contextmanager
def call_file(content: bytes) -> Iterator[int]:
    """A file with what a child has to know, for `Start`, as a command line is short and public."""
    with tempfile.TemporaryFile() as stream:
        stream.write(content)
        stream.seek(0)
        yield stream.fileno()


def refuse(message: str) -> NoReturn:
    """Say in the workload's log why it can't run, and fail."""
    structlog.get_logger(logger_name="envman").error(message)
    sys.exit(1)


def _socket_pairs() -> tuple[list[socket], list[socket]]:
    """Four pairs, for requests, stdout, stderr and logs: the component's ends, and the child's."""
    pairs = [socketpair() for _ in range(4)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _begun(
    interpreter: BundleInterpreter, start: Start, theirs: list[int], mask: Callable[[Any], None] | None
) -> tuple[ProcessTracker, HandedCredentials | None]:
    """The child as `begin` has it, and its credentials on their way; `mask` is None where it has none."""
    if mask is None:
        return begin(interpreter, start, theirs), None
    try:
        handed = HandedCredentials(interpreter.runtime, mask)
    except OSError:
        interpreter.close()
        raise
    with contextlib.closing(handed):
        return begin(interpreter, start, theirs, handed.descriptor), handed


def begin(
    interpreter: BundleInterpreter, start: Start, theirs: list[int], credentials: int = -1
) -> ProcessTracker:
    """Have the child forked by the environment's server, else start an interpreter. Raises OSError.

    `credentials` is where it gets them, -1 where it has none. The interpreter is closed once it is no longer
    needed.
    """
    has_credentials = credentials >= 0
    descriptors = [one for one in (*theirs, start.call, credentials) if one >= 0]
    cold = partial(_started, interpreter, start, has_credentials)
    held = contextlib.ExitStack()
    held.callback(interpreter.close)
    with held:
        if not interpreter.runtime.warm:
            return cold(descriptors)
        try:
            patience = START_LIMIT if start.entry in NOT_WAITED_FOR else server_client.ANSWER_LIMIT
            asked = server_client.ServerClient(interpreter).ask(
                start.entry, start.name, descriptors, patience, has_credentials
            )
        except EnvmanError as error:
            return cold(descriptors, str(error))
        waiting = PendingChild(
            asked, cold, held.pop_all(), partial(_cold.discard, interpreter.runtime.environment)
        )
    waiting.look(0.0 if start.entry in NOT_WAITED_FOR else patience)
    if waiting.error:
        raise waiting.error
    return waiting


def _started(
    interpreter: BundleInterpreter,
    start: Start,
    has_credentials: bool,
    descriptors: list[int],
    reason: str = "",
) -> ProcessTracker:
    """A fresh interpreter with the child in it; with the reason why no server has forked one."""
    if reason:
        _warn_once(interpreter.runtime.environment, reason)
    places = zip(descriptors, child_descriptors(len(descriptors), has_credentials), strict=True)
    script = CHILD_WITH_CREDENTIALS if has_credentials else CHILD
    shared = [f"{SHARED_OPTION}{place}" for place in interpreter.shared]
    words = [RUN, script, start.entry, start.name, *shared, *sys.argv[1:]]
    pid = interpreter.spawn(words, places, seeded=start.entry == "parse", leads=start.entry == "task")
    return PsutilTracker(psutil.Process(pid))


_cold: set[str] = set()


def _warn_once(environment: str, reason: str) -> None:
    """Say that an environment's workloads start slowly, once until a server has forked one again."""
    if environment not in _cold:
        _cold.add(environment)
        log.warning(
            "No fork server; each workload starts an interpreter", environment=environment, reason=reason
        )
