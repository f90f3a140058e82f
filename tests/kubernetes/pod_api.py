"""Pods' part of Kubernetes' API over HTTP, as its clients use it: paths, parameters, streams."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.kubernetes.label_selectors import Matches, fields_match, labels_match
from tests.kubernetes.pod_history import Key, PodHistory
from tests.kubernetes.pod_node import PodmanNode
from tests.kubernetes.pod_objects import ApiError, Pod, admitted, now, partial, patched

PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json")
PARTIAL = "as=PartialObjectMetadataList"
VERBS = ["create", "delete", "get", "list", "patch", "watch"]
DISCOVERY: dict[str, Any] = {
    "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": VERBS},
            {"name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"]},
        ],
    },
}


@dataclass(frozen=True)
class Request:
    """What was asked: `namespace` is empty for all, `name` for none; `part` is a subresource."""

    method: str
    namespace: str
    name: str
    part: str
    options: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def matches(self) -> Matches:
        """Which pods the selectors and the namespace select."""
        try:
            labels = labels_match(self.options.get("labelSelector", ""))
            fields = fields_match(self.options.get("fieldSelector", ""))
        except ValueError as error:
            raise ApiError(400, str(error)) from None
        spaces = {self.namespace} if self.namespace else None
        return lambda pod: (
            (spaces is None or pod["metadata"]["namespace"] in spaces) and labels(pod) and fields(pod)
        )


Answer = dict[str, Any] | Iterable[bytes]


class PodApi:
    """Answers requests; `asked` counts them by method and kind, for tests."""

    def __init__(self, history: PodHistory, node: PodmanNode) -> None:
        self._history = history
        self._node = node
        self.asked: list[Request] = []
        self._methods: dict[tuple[str, bool, str], Callable[[Request], Answer]] = {
            ("GET", False, ""): self._list,
            ("POST", False, ""): self._create,
            ("GET", True, ""): lambda request: history.get(request.key),
            ("PATCH", True, ""): self._patch,
            ("DELETE", True, ""): self._delete,
            ("GET", True, "log"): self._log,
        }

    def answer(self, request: Request) -> Answer:
        """An object, or the parts of a stream; raises ApiError."""
        self.asked.append(request)
        method = self._methods.get((request.method, bool(request.name), request.part))
        if method is None:
            raise ApiError(405, f"{request.method} is not supported here")
        return method(request)

    def _list(self, request: Request) -> Answer:
        if request.options.get("watch") in {"true", "True", "1"}:
            return self._watch(request)
        pods, version = self._history.all(request.matches())
        start = int(request.options.get("continue") or 0)
        limit = int(request.options.get("limit") or 0) or len(pods)
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if (left := len(pods) - start - limit) > 0:
            metadata |= {"continue": str(start + limit), "remainingItemCount": left}
        pods = pods[start : start + limit]
        if PARTIAL in request.headers.get("Accept", ""):
            kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
            return kind | {"metadata": metadata, "items": [partial(pod) for pod in pods]}
        return {"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": pods}

    def _watch(self, request: Request) -> Iterable[bytes]:
        since = int(request.options.get("resourceVersion") or 0)
        seconds = float(request.options.get("timeoutSeconds") or 1800)
        bookmarks = request.options.get("allowWatchBookmarks") == "true"
        matches = request.matches()

        def events() -> Iterable[bytes]:
            try:
                for event in self._history.watch(since, seconds, matches):
                    if event:
                        yield _line(event)
                    elif bookmarks:
                        version = {"metadata": {"resourceVersion": str(self._history.version)}}
                        yield _line(
                            {"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1"} | version}
                        )
                    else:
                        yield b""  # whoever no longer listens is noticed
            except ApiError as error:  # once a watch has begun an error is one of its events
                yield _line({"type": "ERROR", "object": error.status()})

        return events()

    def _create(self, request: Request) -> Answer:
        pod = self._history.create(admitted(request.body, request.namespace))
        self._node.take(pod)
        return pod

    def _patch(self, request: Request) -> Answer:
        kind = request.headers.get("Content-Type", "").partition(";")[0]
        if kind not in PATCHES:
            raise ApiError(415, f"the body of the request was in an unknown format: {kind}")
        return self._history.change(request.key, lambda pod: patched(pod, request.body))

    def _delete(self, request: Request) -> Answer:
        options = request.body or {}
        for name, wanted in (options.get("preconditions") or {}).items():
            if (given := self._history.get(request.key)["metadata"][name]) != wanted:
                raise ApiError(409, f"the {name} in the precondition ({wanted}) does not match {given}")
        asked = request.options.get("gracePeriodSeconds", options.get("gracePeriodSeconds"))

        def deleted(pod: Pod) -> Pod:
            grace = pod["spec"]["terminationGracePeriodSeconds"] if asked is None else int(asked)
            pod["metadata"].setdefault("deletionTimestamp", now())
            pod["metadata"]["deletionGracePeriodSeconds"] = grace
            return pod

        pod = self._history.change(request.key, deleted)
        self._node.delete(pod, pod["metadata"]["deletionGracePeriodSeconds"])
        return pod

    def _log(self, request: Request) -> Answer:
        pod = self._history.get(request.key)
        names = [one["name"] for one in pod["spec"]["containers"]]
        container = request.options.get("container") or names[0]
        if container not in names:
            raise ApiError(400, f"container {container} is not valid for pod {request.name}")
        return self._node.log(pod, container, request.options)


def _line(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def parsed(path: str) -> tuple[str, str, str]:
    """The namespace, the pod's name and the subresource of a path; raises ApiError for other paths."""
    words = path.strip("/").split("/")
    if words == ["api", "v1", "pods"]:
        return "", "", ""
    if words[:3] == ["api", "v1", "namespaces"] and words[4:5] == ["pods"] and len(words) <= 7:
        return words[3], *(words[5:6] or [""]), *(words[6:7] or [""])
    raise ApiError(404, "the server could not find the requested resource")


def serve(api: PodApi, token: str) -> ThreadingHTTPServer:
    """A server on a port of loopback for clients that know the token; `serve_forever` runs it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            try:
                self._send(200 if self.command != "POST" else 201, self._answer(body))
            except ApiError as error:
                self._send(error.code, error.status())

        do_POST = do_PATCH = do_DELETE = do_PUT = do_GET

        def _answer(self, body: bytes) -> Answer:
            if self.headers.get("Authorization") != f"Bearer {token}":
                raise ApiError(401, "Unauthorized")
            url = urlsplit(self.path)
            if url.path.rstrip("/") in DISCOVERY:
                return dict(DISCOVERY[url.path.rstrip("/")])
            options = {key: values[-1] for key, values in parse_qs(url.query).items()}
            given = json.loads(body) if body else None
            where = parsed(url.path)
            return api.answer(Request(self.command, *where, options, dict(self.headers), given))

        def _send(self, code: int, answer: Answer) -> None:
            self.send_response(code)
            if isinstance(answer, dict):
                content = json.dumps(answer).encode()
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                return
            is_log = self.path.partition("?")[0].endswith("/log")
            self.send_header("Content-Type", "text/plain" if is_log else "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")  # else the client may ask for more on it as it ends
            self.end_headers()
            with contextlib.suppress(OSError):  # who listened has gone
                for part in answer:
                    self._chunk(part)
                self.wfile.write(b"0\r\n\r\n")
            self.close_connection = True

        def _chunk(self, part: bytes) -> None:
            if part:
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server
