import asyncio

import pytest

from services.git_ingest.backend import (
    Backend,
    GitCall,
    PushTooLarge,
    parse_cgi_header,
    size_refusal,
)
from services.git_ingest.front import GitRequest
from shared.errors import Invalid, NotFound


def test_cgi_header():
    status, headers = parse_cgi_header(
        b"Status: 403 Forbidden\r\nContent-Type: text/plain\r\nExpires: Fri, 01: x\r\n\r\n"
    )
    assert status == 403
    assert headers == [(b"content-type", b"text/plain"), (b"expires", b"Fri, 01: x")]
    assert parse_cgi_header(b"Content-Type: a\r\n\r\n")[0] == 200


def test_size_refusal_is_one_error_packet_and_a_flush():
    raw = size_refusal(512 << 20)
    length = int(raw[:4], 16)
    assert raw[4:5] == b"\x03"
    assert b"larger than the 512 MiB" in raw[5:length]
    assert raw[length:] == b"0000"


def scope(path: str, query: str = "", method: str = "GET") -> dict:
    headers = [(b"Git-Protocol", b"version=2")]
    return {
        "type": "http",
        "path": path,
        "query_string": query.encode(),
        "method": method,
        "headers": headers,
    }


def test_requests():
    asked = GitRequest.of(scope("/-/git/sales.git/info/refs", "service=git-receive-pack"))
    assert (asked.app, asked.service, asked.pushes) == ("sales", "git-receive-pack", True)
    assert asked.cgi["PATH_INFO"] == "/sales.git/info/refs"
    assert asked.cgi["GIT_PROTOCOL"] == "version=2"
    assert "CONTENT_LENGTH" not in asked.cgi
    asked = GitRequest.of(scope("/-/git/sales.git/git-upload-pack", method="POST"))
    assert not asked.pushes


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (scope("/-/git/sales.git/HEAD"), NotFound),
        (scope("/-/git/../x.git/info/refs"), NotFound),
        (scope("/-/git/a/b.git/info/refs", "service=git-upload-pack"), NotFound),
        (scope("/-/git/sales.git/info/refs"), Invalid),
        (scope("/-/git/sales.git/info/refs", "service=git-evil"), Invalid),
        (scope("/-/git/sales.git/git-receive-pack"), Invalid),
    ],
)
def test_requests_that_are_refused(wrong, kind):
    with pytest.raises(kind):
        GitRequest.of(wrong)


class SlowInput:
    """A child's stdin that takes its time; remembers how much was ever waiting in it."""

    def __init__(self) -> None:
        self.waiting = self.most = self.total = 0

    def write(self, data: bytes) -> None:
        self.waiting += len(data)
        self.total += len(data)
        self.most = max(self.most, self.waiting)

    async def drain(self) -> None:
        await asyncio.sleep(0)
        self.waiting = 0

    def close(self) -> None:
        pass


async def test_feeding_never_runs_ahead_and_stops_at_the_limit():
    async def receive():
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def send(_):
        raise AssertionError

    slow = SlowInput()
    backend = Backend(GitCall({}, max_body=50_000), receive, send)
    with pytest.raises(PushTooLarge):
        await backend._feed(slow)
    assert (slow.most, slow.total) == (1000, 50_000)
