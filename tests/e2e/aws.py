"""The parts of AWS that Airflow's executors call, on loopback: ECS, Batch, SQS, and Lambda with its runtime API.

What AWS would start in a container is a process here, with the image's entrypoint and variables.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

RUNTIME = "/2018-06-01/runtime/invocation"
FUNCTIONS = "/2015-03-31/functions"


class Image(NamedTuple):
    """What a container is started from: an entrypoint, variables, and the folder to start in."""

    entrypoint: Sequence[str]
    environ: Mapping[str, str]
    folder: Path


@dataclass
class Container:
    """One that was started, with the command that the executor gave."""

    command: Sequence[str]
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def exit_code(self) -> int | None:
        return self.process.poll()


@dataclass
class Aws:
    """An account: its containers by ECS's or Batch's names, Lambda's events, the messages of its one queue."""

    image: Image
    function: Image
    containers: dict[str, Container] = field(default_factory=dict)
    runtimes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    events: queue.Queue[bytes | None] = field(default_factory=queue.Queue)
    messages: dict[str, str] = field(default_factory=dict)

    def run(self, kind: str, overrides: Mapping[str, Any]) -> str:
        """Start a container as ECS and Batch do, the command after the entrypoint; returns its name."""
        name = f"{kind}-{len(self.containers)}"
        added = {variable["name"]: variable["value"] for variable in overrides["environment"]}
        output = self.image.folder / f"{name}.out"
        command = [*self.image.entrypoint, *overrides["command"]]
        process = _started(command, self.image.environ | added, self.image.folder, output)
        self.containers[name] = Container(overrides["command"], process, output)
        return name

    def invoke(self, event: bytes) -> None:
        """Have a new runtime of the function take the event."""
        self.events.put(event)
        output = self.function.folder / "function.out"
        self.runtimes.append(
            _started(self.function.entrypoint, self.function.environ, self.function.folder, output)
        )

    def end(self) -> None:
        """Kill what runs, and let go those who wait for an event."""
        for process in [*self.runtimes, *(container.process for container in self.containers.values())]:
            process.kill()
            process.wait()
            self.events.put(None)

    def answer(self, target: str, path: str, body: bytes) -> tuple[int, Any]:
        """What a call gives: a status and the content."""
        if path.startswith(FUNCTIONS):
            return self._lambda(path, body)
        if path.startswith(RUNTIME):
            return 202, {}
        given = json.loads(body or b"{}")
        if path.startswith("/v1/"):
            return self._batch(path.rpartition("/")[2], given)
        service, _, operation = target.partition(".")
        return self._sqs(operation, given) if service == "AmazonSQS" else self._ecs(operation, given)

    def _ecs(self, operation: str, given: Mapping[str, Any]) -> tuple[int, Any]:
        if operation == "StopTask":  # the executor's health check asks for one that is not there
            return 400, {"__type": "InvalidParameterException", "message": "The task was not found."}
        if operation == "RunTask":
            (overrides,) = given["overrides"]["containerOverrides"]
            return 200, {"tasks": [self._ecs_task(self.run("ecs", overrides))], "failures": []}
        assert operation == "DescribeTasks", operation
        return 200, {"tasks": [self._ecs_task(name) for name in given["tasks"]], "failures": []}

    def _ecs_task(self, name: str) -> dict[str, Any]:
        code = self.containers[name].exit_code
        status = "RUNNING" if code is None else "STOPPED"
        container = {"name": "airflow", "lastStatus": status} | ({} if code is None else {"exitCode": code})
        task = {"taskArn": name, "lastStatus": status, "desiredStatus": status, "startedAt": 1}
        return task | {"containers": [container]}

    def _batch(self, operation: str, given: Mapping[str, Any]) -> tuple[int, Any]:
        if operation == "submitjob":
            name = self.run("batch", given["containerOverrides"])
            return 200, {"jobId": name, "jobName": given["jobName"]}
        assert operation == "describejobs", operation
        known = [name for name in given["jobs"] if name in self.containers]
        ends = {None: "RUNNING", 0: "SUCCEEDED"}
        jobs = [
            {"jobId": name, "status": ends.get(self.containers[name].exit_code, "FAILED")} for name in known
        ]
        return 200, {"jobs": jobs}

    def _lambda(self, path: str, body: bytes) -> tuple[int, Any]:
        name = path.removeprefix(f"{FUNCTIONS}/").partition("/")[0]
        if not path.endswith("/invocations"):
            return 200, {"Configuration": {"FunctionName": name}}
        self.invoke(body)
        return 202, {}

    def _sqs(self, operation: str, given: Mapping[str, Any]) -> tuple[int, Any]:
        dead = given["QueueUrl"].endswith("/dead")
        if operation == "ReceiveMessage":
            kept = {} if dead else dict(self.messages)
            listed = [{"MessageId": name, "ReceiptHandle": name, "Body": text} for name, text in kept.items()]
            for name in kept:  # a message is out of sight once it was received
                del self.messages[name]
            return 200, {"Messages": listed}
        if operation == "SendMessage":
            name = uuid4().hex
            self.messages[name] = given["MessageBody"]
            return 200, {"MessageId": name}
        assert operation == "GetQueueAttributes", operation
        return 200, {"Attributes": {"ApproximateNumberOfMessages": "0"}}


def _started(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, output: Path
) -> subprocess.Popen[bytes]:
    with output.open("ab") as stream:
        return subprocess.Popen(
            command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )


def handler(account: Aws) -> type[BaseHTTPRequestHandler]:
    """The HTTP side of an account."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == f"{RUNTIME}/next":
                self._next()
            else:
                self._answer(*account.answer("", self.path, b""))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(*account.answer(self.headers.get("X-Amz-Target") or "", self.path, body))

        def _next(self) -> None:
            """Give a runtime its event; once it has one it waits for the next until it is ended."""
            event = account.events.get()
            if event is None:
                self.close_connection = True
                return
            headers = {
                "Lambda-Runtime-Aws-Request-Id": "an-id",
                "Lambda-Runtime-Deadline-Ms": "9" * 13,
                "Lambda-Runtime-Invoked-Function-Arn": "airflow",
                "Content-Type": "application/json",
            }
            self._send(200, event, headers)

        def _answer(self, status: int, content: Any) -> None:
            self._send(status, json.dumps(content).encode(), {})

        def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving(account: Aws, port: int) -> Iterator[None]:
    """Answer for an account on a port of loopback; what it has started ends with it."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(account))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        account.end()
        server.shutdown()
        thread.join()
        server.server_close()
