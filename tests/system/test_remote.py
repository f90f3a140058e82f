"""A file at a URL: fetched as a stream, with an account for its own host alone."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from envman.system.remote import fetch_file

CONTENT = b"x" * 3_000_000


class Answer(http.server.BaseHTTPRequestHandler):
    """Says who has asked, and sends some on to another server."""

    def do_GET(self) -> None:
        self.server.asked.append(self.headers["Authorization"])  # type: ignore[attr-defined]
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", self.server.other)  # type: ignore[attr-defined]
            self.end_headers()
            return
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(CONTENT) + (self.path == "/short")))
        self.end_headers()
        with suppress(OSError):  # who has enough hangs up
            self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


def served() -> tuple[http.server.ThreadingHTTPServer, str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.asked = []  # type: ignore[attr-defined]
    server.daemon_threads = False  # so that closing it waits for whom it still answers
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list[tuple[http.server.ThreadingHTTPServer, str]]]:
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    started = [served(), served()]
    started[0][0].other = f"{started[1][1]}/x".replace("127.0.0.1", "localhost")  # type: ignore[attr-defined]
    yield started
    for server, _ in started:
        server.shutdown()
        server.server_close()


def test_it_is_streamed_with_its_digest(servers: list[tuple[http.server.ThreadingHTTPServer, str]]) -> None:
    (server, url), _ = servers
    target = io.BytesIO()
    assert (
        fetch_file(f"{url}/x", target, len(CONTENT), ("me", "pass word"))
        == hashlib.sha256(CONTENT).hexdigest()
    )
    assert target.getvalue() == CONTENT
    assert server.asked == ["Basic " + b64encode(b"me:pass word").decode()]  # type: ignore[attr-defined]


def test_an_account_is_told_to_no_other_server(
    servers: list[tuple[http.server.ThreadingHTTPServer, str]],
) -> None:
    (_, url), (other, _) = servers
    fetch_file(f"{url}/elsewhere", io.BytesIO(), len(CONTENT), ("me", "secret"))
    assert other.asked == [None]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/x", "/elsewhere"])
def test_more_than_may_be_is_an_error(
    servers: list[tuple[http.server.ThreadingHTTPServer, str]], path: str
) -> None:
    with pytest.raises(OSError, match="larger than 2000000 bytes"):
        fetch_file(servers[0][1] + path, io.BytesIO(), 2_000_000)


@pytest.mark.parametrize("path", ["/none", "/short"])
def test_an_answer_that_is_none_is_an_error(
    servers: list[tuple[http.server.ThreadingHTTPServer, str]], path: str
) -> None:
    with pytest.raises(OSError, match=r"404|breaks off"):
        fetch_file(servers[0][1] + path, io.BytesIO(), 2 * len(CONTENT))


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "/etc/passwd", "data:,x", "unix:/x"])
def test_other_ways_to_a_file_are_none(url: str) -> None:
    with pytest.raises(OSError, match="no way to fetch"):
        fetch_file(url, io.BytesIO(), 9)


def test_a_file_of_this_machine_is_read(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"it")
    target = io.BytesIO()
    fetch_file(f"file://{tmp_path}/a%20b", target, 9)
    assert target.getvalue() == b"it"
