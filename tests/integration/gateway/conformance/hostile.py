"""Cases of answers that no sound app would send: an app is no more trusted than a client."""

from tests.integration.gateway.conformance.case import (
    CHUNKED,
    END_OF_HEAD,
    SWITCHED,
    Case,
    Other,
    get,
    ok,
    sized,
)
from tests.integration.gateway.conformance.conversation import Await, Close, Hear, Left, Reset, Tell


def _broken(name: str, answer: bytes, nginx: Other | None = None) -> Case:
    """502 to the client, whose connection goes on, and the app's connection is never used again."""
    return Case(
        name,
        client=(get(),),
        app_says=(END_OF_HEAD, answer),
        says="502",
        connections=2,
        nginx=nginx,
    )


ANSWERS = (
    Case(
        "bytes after Content-Length are no answer to anybody",
        client=(get(), Await(b"ok"), get(path="/a/2")),
        app_says=(END_OF_HEAD, sized(b"ok") + sized(b"poison")),
        says="200 200",
        app=("GET /a/", "GET /a/2"),
        spares=(b"poison",),
        connections=2,
    ),
    Case(
        "bytes after the last chunk are no answer to anybody",
        client=(get(), Await(b"0\r\n\r\n"), get(path="/a/2")),
        app_says=(END_OF_HEAD, ok(CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n") + sized(b"poison")),
        says="200 200",
        app=("GET /a/", "GET /a/2"),
        spares=(b"poison",),
        connections=2,
    ),
    Case(
        "an answer that nobody asked for, on an idle connection",
        client=(get(), Await(b"ok"), Hear("left"), get(path="/a/2")),
        app_says=(END_OF_HEAD, sized(b"ok"), sized(b"poison"), Left(), Tell("left")),
        says="200 200",
        app=("GET /a/", "GET /a/2"),
        spares=(b"poison",),
    ),
    Case(
        "a body behind HEAD is no answer to anybody",
        client=(get(method="HEAD"), Await(b"\r\n\r\n"), get(path="/a/2")),
        app_says=(END_OF_HEAD, sized(b"poison")),
        says="200 200",
        app=("HEAD /a/", "GET /a/2"),
        methods=("HEAD", "GET"),
        spares=(b"poison",),
        connections=2,
        nginx=Other("It drops the bytes and uses the connection again.", holds=False),
    ),
    Case(
        "a body behind 204 is no answer to anybody",
        client=(get(), Await(b"\r\n\r\n"), get(path="/a/2")),
        app_says=(END_OF_HEAD, ok(body=b"poison", status="204 No Content")),
        says="204 200",
        app=("GET /a/", "GET /a/2"),
        spares=(b"poison",),
        connections=2,
    ),
    _broken(
        "two lengths that differ",
        ok("Content-Length: 2", "Content-Length: 6", body=b"ok"),
        nginx=Other("The last one counts.", says="200 cut desynced", holds=False),
    ),
    _broken(
        "two lengths that agree",
        ok("Content-Length: 2", "Content-Length: 2", body=b"ok"),
        nginx=Other("They agree.", says="200", holds=False),
    ),
    _broken(
        "a list of lengths",
        ok("Content-Length: 2, 2", body=b"ok"),
        nginx=Other("It hands the list on.", says="200 cut desynced", holds=False),
    ),
    _broken(
        "a length with a sign",
        ok("Content-Length: +2", body=b"ok"),
        nginx=Other("It hands the sign on.", says="200 cut desynced", holds=False),
    ),
    _broken(
        "a length together with chunks",
        ok("Content-Length: 2", CHUNKED, body=b"2\r\nok\r\n0\r\n\r\n"),
        nginx=Other("The chunks count, as RFC 9112 has it.", says="200", holds=False),
    ),
    _broken(
        "a coding that is not chunked",
        ok("Transfer-Encoding: gzip, chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
        nginx=Other("It looks for the word chunked.", says="200", holds=False),
    ),
    _broken("a folded line", ok("Content-Length: 2", "X-A: b\r\n c", body=b"ok")),
    _broken("a space before the colon", ok("Content-Length : 2", body=b"ok")),
    _broken(
        "bare LFs for line ends",
        ok("Content-Length: 2", "X-A: b\nX-C: d", body=b"ok"),
        nginx=Other("It takes LF for CRLF.", says="200", holds=False),
    ),
    _broken("a bare CR", ok("Content-Length: 2", "X-A: b\rX-C: d", body=b"ok")),
    _broken("a NUL", ok("Content-Length: 2", "X-A: b\0", body=b"ok")),
    _broken(
        "a line without a colon",
        ok("Content-Length: 2", "nonsense", body=b"ok"),
        nginx=Other("It hands on a header without a value.", says="200", holds=False),
    ),
    _broken(
        "no HTTP at all",
        b"220 smtp.example.org ESMTP\r\n\r\n",
        nginx=Other("It takes that for HTTP/0.9.", says="garbled", holds=False),
    ),
    _broken(
        "a status that is no number",
        ok("Content-Length: 2", body=b"ok", status="abc OK"),
        nginx=Other("It takes that for HTTP/0.9.", says="garbled", holds=False),
    ),
    _broken(
        "a status of two digits",
        ok("Content-Length: 2", body=b"ok", status="20 OK"),
        nginx=Other("It takes that for HTTP/0.9.", says="garbled", holds=False),
    ),
    _broken(
        "a 101 that nobody asked for",
        SWITCHED,
        nginx=Other("It asks for the status alone.", says="101", holds=False),
    ),
    _broken("a head without an end", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000),
    Case(
        "a 101 to a WebSocket handshake that names another protocol",
        client=(get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),),
        app_says=(
            END_OF_HEAD,
            ok("Connection: Upgrade", "Upgrade: h2c", status="101 Switching Protocols"),
        ),
        says="502",
        nginx=Other("It asks for the status alone.", says="101"),
    ),
    Case(
        "closed without an answer",
        client=(get(),),
        app_says=(END_OF_HEAD, Close()),
        says="502",
    ),
    Case(
        "reset without an answer",
        client=(get(),),
        app_says=(END_OF_HEAD, Reset()),
        says="502",
    ),
    Case(
        "closed in the middle of a head",
        client=(get(),),
        app_says=(END_OF_HEAD, b"HTTP/1.1 200 OK\r\nContent-", Close()),
        says="502",
    ),
    Case(
        "a body shorter than its length aborts the client",
        client=(get(),),
        app_says=(END_OF_HEAD, ok("Content-Length: 10", body=b"short"), Close()),
        says="200 cut closed",
    ),
    Case(
        "chunks without their end abort the client",
        client=(get(),),
        app_says=(END_OF_HEAD, ok(CHUNKED, body=b"5\r\nshort\r\n"), Close()),
        says="200 cut closed",
        spares=(b"0\r\n\r\n",),
    ),
    Case(
        "an answer without a length that is reset aborts the client with a reset",
        client=(get(), Await(b"part")),
        app_says=(END_OF_HEAD, ok(body=b"part"), Reset()),
        says="200 cut reset",
        nginx=Other("It has made chunks of it and leaves out the last.", says="200 cut closed"),
    ),
    Case(
        "a chunk size that is no number, later than the head",
        client=(get(), Await(b"ok")),
        app_says=(END_OF_HEAD, ok(CHUNKED, body=b"2\r\nok\r\n"), b"zz\r\n"),
        says="200 cut closed",
    ),
    _broken(
        "a chunk size that is no number, with the head",
        ok(CHUNKED, body=b"zz\r\nok\r\n"),
        nginx=Other("It breaks off without a word.", says="closed", holds=False),
    ),
)
