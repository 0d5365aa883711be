"""Response heads."""

import pytest

from gateway.fields import BadHead
from gateway.responses import Response, ResponseReader


def read(head: bytes) -> Response:
    return ResponseReader().read(head.replace(b"\n", b"\r\n"))


def test_plain() -> None:
    response = read(b"HTTP/1.1 200 OK\nContent-Length: 3\nContent-Type: text/plain\n")
    assert (response.status, response.reason, response.fields.length) == (200, b"OK", 3)
    assert response.keeps_alive
    assert response.fields.from_app == b"Content-Type: text/plain\r\n"


def test_reason_may_be_missing() -> None:
    assert read(b"HTTP/1.1 200 \n").reason == b""
    assert read(b"HTTP/1.1 200\n").status == 200


def test_old_versions_and_close_are_not_kept_alive() -> None:
    assert not read(b"HTTP/1.0 200 OK\n").keeps_alive
    assert not read(b"HTTP/1.1 200 OK\nConnection: Close\n").keeps_alive


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 20 OK\n",
        b"HTTP/1.1 600 OK\n",
        b"HTTP/2 200\n",
        b"ICY 200 OK\n",
        b"HTTP/1.1 200 O\x00K\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 1\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\nTransfer-Encoding: chunked\n",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n",
        b"HTTP/1.1 200 OK\nContent-Length: x\n",
        b"HTTP/1.1 200 OK\nA: b\n c\n",
        b"HTTP/1.1 200 OK\nA : b\n",
    ],
)
def test_refused(head: bytes) -> None:
    with pytest.raises(BadHead):
        read(head)


def test_what_an_app_may_not_say_is_withheld() -> None:
    fields = read(
        b"HTTP/1.1 200 OK\nSet-Cookie: moorage_session=1\nset-cookie:__Host-moorage_door =1\n"
        b"Set-Cookie: =moorage_app=1\nSet-Cookie: b=1\nSet-Cookie: a=moorage_session=2\n"
        b"Service-Worker-Allowed: /\nClear-Site-Data: x\nConnection: X-Hop\nX-Hop: 1\n"
        b"Cross-Origin-Opener-Policy: same-origin\nAlt-Svc: h3\nA: b\n"
    ).fields
    assert fields.cookies == (b"Set-Cookie: b=1", b"Set-Cookie: a=moorage_session=2")
    assert fields.from_path == b"A: b\r\n"
    assert fields.from_app == (
        b"Service-Worker-Allowed: /\r\nCross-Origin-Opener-Policy: same-origin\r\nA: b\r\n"
    )
    assert b"moorage_session=1" in fields.from_platform
    assert b"X-Hop" not in fields.from_platform
