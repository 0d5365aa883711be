"""Request heads: what is taken, what is refused, what goes on."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fields import BadHead
from gateway.requests import Request, RequestReader

TOKEN = b"mrg_" + b"t" * 43


def read(head: bytes) -> Request:
    """The head given without its empty line; \n stands for CRLF."""
    return RequestReader().read(head.replace(b"\n", b"\r\n"))


def test_plain_get() -> None:
    request = read(b"GET /app/x?y=1 HTTP/1.1\nHost: example.org:8080\nAccept: text/html\n")
    assert (request.method, request.path, request.query) == (b"GET", b"/app/x", b"?y=1")
    assert request.fields.html
    assert request.keeps_alive
    assert not request.has_body
    assert request.fields.for_app == b"Host: example.org:8080\r\nAccept: text/html\r\n"


def test_no_query_and_an_empty_one_differ() -> None:
    assert read(b"GET /a HTTP/1.1\nHost: h\n").query == b""
    assert read(b"GET /a? HTTP/1.1\nHost: h\n").query == b"?"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\nHost: h\n",
        b"GET  / HTTP/1.1\nHost: h\n",
        b"GET / HTTP/1.1 \nHost: h\n",
        b"GET / HTTP/2.0\nHost: h\n",
        b"GET / http/1.1\nHost: h\n",
        b"GET /#x HTTP/1.1\nHost: h\n",
        b"GET /\xc3\xa4 HTTP/1.1\nHost: h\n",
        b"G{T / HTTP/1.1\nHost: h\n",
        b"GET * HTTP/1.1\nHost: h\n",
        b"GET app HTTP/1.1\nHost: h\n",
        b"GET http://other/ HTTP/1.1\nHost: h\n",
        b"GET http://h@other/ HTTP/1.1\nHost: h\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\nHost:\n",
        b"GET / HTTP/1.1\nHost: h\nHost: h\n",
        b"GET / HTTP/1.1\nHost: h/x\n",
        b"GET / HTTP/1.1\nHost: h h\n",
        b"GET / HTTP/1.1\nHost : h\n",
        b"GET / HTTP/1.1\n Host: h\n",
        b"GET / HTTP/1.1\nHost: h\n folded\n",
        b"GET / HTTP/1.1\nHost: h\nA: b\n\tfolded\n",
        b"GET / HTTP/1.1\nHost: h\n: no name\n",
        b"GET / HTTP/1.1\nHost: h\nno colon\n",
        b"GET / HTTP/1.1\nHost: h\nA\xe4: b\n",
        b"GET / HTTP/1.1\nHost: h\nA: b\x00c\n",
        b"GET / HTTP/1.1\nHost: h\nA: b\x7fc\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: 1\nTransfer-Encoding: chunked\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: 1\nContent-Length: 1\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: 1, 1\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: +1\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: -1\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: 0x1\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: 1_0\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: \xb2\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length:\n",
        b"POST / HTTP/1.1\nHost: h\nContent-Length: 9999999999999999999\n",
        b"POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
        b"POST / HTTP/1.0\nHost: h\nTransfer-Encoding: chunked\n",
        b"GET / HTTP/1.1\nHost: h\nConnection: close, Host\n",
        b"GET / HTTP/1.1\nHost: h\nConnection: Content-Length\n",
        b"GET /a/../b HTTP/1.1\nHost: h\n",
        b"GET /a/.. HTTP/1.1\nHost: h\n",
        b"GET /./a HTTP/1.1\nHost: h\n",
        b"GET /a/%2e%2E/b HTTP/1.1\nHost: h\n",
        b"GET /a%2fb/ HTTP/1.1\nHost: h\n",
        b"GET /a%5Cb/ HTTP/1.1\nHost: h\n",
        b"GET /a\\b/ HTTP/1.1\nHost: h\n",
    ],
)
def test_refused_with_400(head: bytes) -> None:
    with pytest.raises(BadHead) as refused:
        read(head)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"CONNECT / HTTP/1.1\nHost: h\n", 405),
        (b"TRACE / HTTP/1.1\nHost: h\n", 405),
        (b"POST / HTTP/1.1\nHost: h\nTransfer-Encoding: gzip, chunked\n", 501),
        (b"POST / HTTP/1.1\nHost: h\nExpect: 200-ok\n", 417),
        (b"GET / HTTP/1.1\nHost: h\n" + b"A: b\n" * 300, 431),
    ],
)
def test_refused_with_another_status(head: bytes, status: int) -> None:
    with pytest.raises(BadHead) as refused:
        read(head)
    assert refused.value.status == status


@pytest.mark.parametrize("block", [b"\r\nA: b\n", b"\r\nA: b\rc\r\n", b"\r\nA: b\nHost: h\r\n"])
def test_bare_line_ends_are_refused(block: bytes) -> None:
    with pytest.raises(BadHead):
        RequestReader().read(b"GET / HTTP/1.1" + block)


def test_absolute_form_of_the_same_host() -> None:
    assert read(b"GET http://H:80/a?b HTTP/1.1\nHost: h:80\n").path == b"/a"
    assert read(b"GET http://h HTTP/1.1\nHost: h\n").path == b"/"


@pytest.mark.parametrize("path", [b"/a/b%2fc", b"/a/...", b"/a/.x", b"/a/x..y", b"/a//b"])
def test_harmless_paths_are_left_alone(path: bytes) -> None:
    assert read(b"GET " + path + b" HTTP/1.1\nHost: h\n").path == path


def test_hop_by_hop_headers_stay_here() -> None:
    head = (
        b"GET /a/ HTTP/1.1\nHost: h\nConnection: close, X-Named\nX-Named: 1\nKeep-Alive: 5\n"
        b"TE: trailers\nTrailer: x\nProxy-Authorization: x\nProxy-Connection: x\n"
        b"Upgrade: h2c\nStays: 1\n"
    )
    request = read(head)
    assert request.fields.for_app == b"Host: h\r\nStays: 1\r\n"
    assert not request.keeps_alive
    assert not request.upgrades


def test_framing_is_sent_in_one_form() -> None:
    request = read(b"POST /a/ HTTP/1.1\nHost: h\ncontent-length:\t007 \n")
    assert request.length == 7
    assert b"ength" not in request.fields.for_app
    assert (
        b"Transfer-Encoding: chunked\r\n"
        in read(b"POST /a/ HTTP/1.1\nHost: h\nTRANSFER-ENCODING: Chunked\n").fields.for_app
    )


def test_forged_names_stay_here_however_written() -> None:
    head = (
        b"GET /a/ HTTP/1.1\nHost: h\nX-FORWARDED-FOR: 1\nx-moorage-identity: 1\n"
        b"X_Moorage_User: 1\nX-Forwarded_For: 1\nForwarded: 1\nScript-Name: 1\nX-Original-URL: 1\n"
    )
    assert read(head).fields.for_app == b"Host: h\r\n"


def test_upgrade() -> None:
    head = b"GET /a/ HTTP/1.1\nHost: h\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\n"
    assert read(head).upgrades
    assert not read(head.replace(b"GET", b"POST")).upgrades
    assert not read(head.replace(b"1.1", b"1.0")).upgrades
    assert not read(head + b"Content-Length: 1\n").upgrades


def test_platform_token_is_taken_and_an_apps_own_passed() -> None:
    basic = base64.b64encode(b"git:" + TOKEN)
    for value in (b"Bearer " + TOKEN, b"bearer  " + TOKEN, b"Basic " + basic):
        fields = read(b"GET /a/ HTTP/1.1\nHost: h\nAuthorization: " + value + b"\n").fields
        assert fields.token == TOKEN
        assert b"uthorization" not in fields.for_app
        assert b"uthorization" in fields.for_auth
    for value in (b"Bearer other", b"Basic " + base64.b64encode(b"u:p"), b"Basic !", b"Digest x"):
        fields = read(b"GET /a/ HTTP/1.1\nHost: h\nAuthorization: " + value + b"\n").fields
        assert fields.token is None
        assert b"Authorization: " + value in fields.for_app


def test_the_platforms_cookies_stay_here() -> None:
    fields = read(b"GET /a/ HTTP/1.1\nHost: h\nCookie: a=1\nCookie: moorage_session=s\n").fields
    assert fields.jar.value(b"moorage_session") == b"s"
    assert fields.for_app == b"Host: h\r\nCookie: a=1\r\n"
    assert b"moorage_session=s" in fields.for_auth


def test_what_a_browser_says_of_where_a_request_comes_from() -> None:
    head = b"GET /a/ HTTP/1.1\nHost: h\nSec-Fetch-Site: same-origin\n"
    fetch = read(head + b"Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: iframe\n").fields.fetch
    assert fetch is not None
    assert (fetch.from_here, fetch.navigates, fetch.framed, fetch.ahead) == (
        True,
        True,
        True,
        False,
    )
    ahead = read(head + b"Sec-Fetch-Mode: navigate\nSec-Purpose: prefetch\n").fields.fetch
    assert ahead is not None
    assert ahead.ahead
    assert read(b"GET /a/ HTTP/1.1\nHost: h\nSec-Fetch-Mode: navigate\n").fields.fetch is None


def test_remembered_block_is_read_the_same() -> None:
    reader = RequestReader()
    head = b"GET /%d HTTP/1.1\r\nHost: h\r\nCookie: a=%d\r\n"
    for number in (1, 2, 1, 2):
        request = reader.read(head % (number, number))
        assert request.path == b"/%d" % number
        assert request.fields.for_app.endswith(b"Cookie: a=%d\r\n" % number)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 8))
def test_any_bytes_are_read_or_refused(junk: bytes, place: int, drop: int) -> None:
    """What is forwarded reads back as the same request: method, path, framing, host."""
    head = b"POST /a/b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nA: b\r\n"
    head = head[:place] + junk + head[place + drop :]
    if b"\r\n\r\n" in head or not head.endswith(b"\r\n"):
        return
    try:
        first = RequestReader().read(head)
    except BadHead:
        return
    line = first.method + b" " + first.path + first.query + b" HTTP/1.1\r\n"
    length = b"" if first.length is None else b"Content-Length: %d\r\n" % first.length
    second = RequestReader().read(line + length + first.fields.for_app)
    assert (second.method, second.path, second.query) == (first.method, first.path, first.query)
    assert second.fields.for_app == first.fields.for_app
    assert second.length == first.length
    assert second.fields.host == first.fields.host


def test_what_changes_in_length_alone_is_read_once() -> None:
    reader = RequestReader()
    head = b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nA: b\r\n"
    first, second = reader.read(head % 5), reader.read(head % 6)
    assert first.fields is second.fields
    assert (first.length, second.length) == (5, 6)


@pytest.mark.parametrize("rest", [b"X: y", b"content-length: 5", b"Expect: 100-continue"])
@pytest.mark.parametrize("coding", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b" x"])
def test_no_second_framing_beside_a_length(rest: bytes, coding: bytes) -> None:
    for lines in (rest, coding), (coding, rest):
        head = b"POST /a/ HTTP/1.1\nHost: h\nContent-Length: 5\n%b\n%b\n" % lines
        with pytest.raises(BadHead):
            read(head)
