"""Requests that hide others: the odd ones that are known already, and disguises of our own.

`~` stands for a path that is different for each of them, `/APP/NUMBER`. A request inside a body has
the path `/hidden`, which no app has: whoever reads it as a request has miscounted.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.integration.gateway.smuggling import malformed as known
from tests.integration.gateway.smuggling.malformed import CHUNKS, head

INSIDE = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
BEHIND = known.HIDDEN
CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


class Entry(NamedTuple):
    """`means` is what it must be for everybody: the size of each request's body. None if it only
    matters that all agree."""

    text: bytes
    means: tuple[int, ...] | None = None


def corpus() -> dict[str, Entry]:
    families = {
        "requests in bodies": _in_bodies,
        "bodies where few expect them": _unexpected_bodies,
        "classic pairs": _classic_pairs,
        "disguised codings": _disguised_codings,
        "bodies that break in the middle": _breaking_bodies,
        "headers that are switched off": _switched_off,
        "underscores": _underscores,
        "rows": _rows,
    }
    entries = {title: Entry(text) for title, text in known.corpus().items()}
    for family, made in families.items():
        entries |= {f"{family} {number}": entry for number, entry in enumerate(made())}
    return entries


def post(*lines: bytes, body: bytes = b"", method: bytes = b"POST") -> bytes:
    return head(*lines, line=method + b" ~/x HTTP/1.1", body=body)


def sized(body: bytes, *lines: bytes, method: bytes = b"POST") -> bytes:
    return post(*lines, b"Content-Length: %d" % len(body), body=body, method=method)


def in_chunks(body: bytes, size: int) -> bytes:
    parts = (body[place : place + size] for place in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def _in_bodies() -> Iterator[Entry]:
    bodies = (
        INSIDE, b"\r\n" + INSIDE, b"\n\n" + INSIDE, LAST + INSIDE, CHUNKS + INSIDE, b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + INSIDE, INSIDE * 3000,
    )  # fmt: skip
    for body in bodies:
        for method in (b"POST", b"PUT", b"DELETE"):
            yield Entry(sized(body, method=method), (len(body),))
        for size in (1, 7, 1 << 20) if len(body) < 1000 else (5000, 1 << 20):
            yield Entry(post(CHUNKED, body=in_chunks(body, size) + LAST), (len(body),))
    for trailer in (b"A: b", b"Content-Length: 500", b"Transfer-Encoding: chunked", b"Host: x"):
        body = in_chunks(INSIDE, 9) + b"0\r\n" + trailer + b"\r\n\r\n"
        yield Entry(post(CHUNKED, body=body), (len(INSIDE),))
    yield Entry(sized(INSIDE, b"Expect: 100-continue"), (len(INSIDE),))
    yield Entry(
        post(b"Expect: 100-continue", CHUNKED, body=in_chunks(INSIDE, 9) + LAST), (len(INSIDE),)
    )


def _unexpected_bodies() -> Iterator[Entry]:
    for method in (b"GET", b"HEAD", b"OPTIONS", b"DELETE"):
        yield Entry(sized(INSIDE, method=method))
        yield Entry(post(CHUNKED, body=in_chunks(INSIDE, 9) + LAST, method=method))
        yield Entry(post(CHUNKED, b"Content-Length: 0", body=LAST + BEHIND, method=method))
        yield Entry(post(body=BEHIND, method=method))
    for line in (b"POST ~/x HTTP/1.0", b"GET ~/x HTTP/1.0"):
        length = b"Content-Length: %d" % len(INSIDE)
        yield Entry(head(length, line=line, body=INSIDE))
        yield Entry(head(length, b"Connection: keep-alive", line=line, body=INSIDE))
        yield Entry(head(CHUNKED, b"Connection: keep-alive", line=line, body=CHUNKS + BEHIND))
    upgrades = (b"h2c", b"websocket", b"HTTP/2.0, websocket", b"TLS/1.2")
    for protocol in upgrades:
        lines = (b"Connection: upgrade", b"Upgrade: " + protocol)
        yield Entry(sized(INSIDE, *lines))
        yield Entry(post(*lines, CHUNKED, body=in_chunks(INSIDE, 9) + LAST))
        yield Entry(post(*lines, b"HTTP2-Settings: AAMAAABk", body=BEHIND, method=b"GET"))


def _classic_pairs() -> Iterator[Entry]:
    """Content-Length for one reader, Transfer-Encoding for the other."""
    shorter = b"Content-Length: 4", b"1e\r\n" + b"x" * 30 + b"\r\n" + LAST + BEHIND
    longer = b"Content-Length: %d" % len(LAST + INSIDE), LAST + INSIDE
    codings = (
        CHUNKED, b"transfer-encoding:chunked", b"TRANSFER-ENCODING: CHUNKED",
        b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    )  # fmt: skip
    for length, body in (shorter, longer):
        for coding in codings:
            for method in (b"POST", b"GET"):
                yield Entry(post(length, coding, body=body, method=method))
                yield Entry(post(coding, length, body=body, method=method))


def _disguised_codings() -> Iterator[Entry]:
    codings = (
        b"Transfer-Encoding:\tchunked", b"Transfer-Encoding\t: chunked",
        b" Transfer-Encoding: chunked", b"\tTransfer-Encoding: chunked",
        b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding\x0b: chunked",
        b"Transfer-Encoding:\x00chunked", b"\x00Transfer-Encoding: chunked",
        b"A: b\nTransfer-Encoding: chunked", b"A: b\rTransfer-Encoding: chunked",
        b"A: b\r\r\nTransfer-Encoding: chunked", b"Transfer-Encoding\r\n: chunked",
        b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chunked\n",
        b"Transfer-Encoding: chunked\r", b"Transfer-Encoding; chunked",
        b"Transfer-Encoding = chunked", b"Transfer-Encoding: chunked\xa0",
        b"Transfer-Encoding:\xa0chunked", b"Transfer-Encoding: chun\tked",
        b"Transfer-Encoding: chunked;", b"Transfer-Encoding: {chunked}", b"X: y\x85" + CHUNKED,
    )  # fmt: skip
    for coding in codings:
        yield Entry(post(coding, body=CHUNKS + BEHIND))
        yield Entry(post(b"Content-Length: 15", coding, body=CHUNKS + BEHIND))


def _breaking_bodies() -> Iterator[Entry]:
    """So much is sound that it goes on before the fault is read."""
    good = in_chunks(b"x" * 80_000, 16_000)
    for fault in (
        b"zz\r\n", b"\r\n", b"-1\r\n", b"5\nhello\n", b"5\r\nhelloo\r\n", b"5\r\nhell\r\n",
        b"0x5\r\nhello\r\n", b"0\r\nA : b\r\n\r\n", b"0\r\n folded\r\n\r\n", b"0\n\n", b"0\r\n\n",
        b"f" * 16 + b"\r\n", b"5;\n\r\nhello\r\n", b"5", b"5\r\nhe", b"0\r\n",
    ):  # fmt: skip
        yield Entry(post(CHUNKED, body=good + fault + BEHIND))
    yield Entry(post(b"Content-Length: 100000", body=b"x" * 80_000 + INSIDE))
    yield Entry(post(b"Content-Length: 500", body=INSIDE))


def _switched_off() -> Iterator[Entry]:
    for name in (
        b"Cookie", b"Authorization", b"Content-Type", b"X-Forwarded-For", b"X-Forwarded-Prefix",
        b"Traceparent", b"Expect", b"Upgrade", b"Connection", b"Content-Length", b"Host",
        b"Transfer-Encoding", b"X-Moorage-User",
    ):  # fmt: skip
        yield Entry(sized(INSIDE, b"Connection: " + name, b"Cookie: a=b", b"Content-Type: a/b"))
        yield Entry(sized(INSIDE, b"Connection: keep-alive", b"Connection: x,\t" + name.lower()))
        yield Entry(post(b"Connection: close, " + name, CHUNKED, body=CHUNKS + BEHIND))


def _underscores() -> Iterator[Entry]:
    for name in (b"Transfer_Encoding", b"transfer-encoding_", b"_Transfer-Encoding"):
        yield Entry(sized(LAST + INSIDE, name + b": chunked"), (len(LAST + INSIDE),))
        yield Entry(post(name + b": chunked", body=BEHIND), (0, 0))
    for name in (b"Content_Length", b"CONTENT_LENGTH", b"Content-Length_"):
        yield Entry(post(name + b": 100", CHUNKED, body=CHUNKS), (5,))
        yield Entry(post(name + b": 100", body=BEHIND, method=b"GET"), (0, 0))
        yield Entry(sized(b"hello", name + b": 100"), (5,))
    for name in (b"HTTP_HOST", b"Path_Info", b"Request_Method", b"wsgi.input", b"X_Moorage_User"):
        yield Entry(sized(b"hello", name + b": /hidden"), (5,))


def _rows() -> Iterator[Entry]:
    """Sound ones, each with something left over that belongs to the next."""
    get, sound = post(method=b"GET"), sized(INSIDE)
    chunked = post(CHUNKED, body=in_chunks(INSIDE, 9) + LAST)
    size = len(INSIDE)
    yield Entry(get + sound + chunked + get, (0, size, size, 0))
    yield Entry(chunked + chunked + sound + sound, (size,) * 4)
    yield Entry(sized(b"") + get + sized(b"") + chunked, (0, 0, 0, size))
    yield Entry((sound + get) * 20, (size, 0) * 20)
    for fault in (b"GET\r\n\r\n", b"\r\n", b"x", b"GET ~/x\r\n\r\n", b"0\r\n\r\n", b"\x00"):
        for before in (get, sound, chunked):
            yield Entry(before + fault + BEHIND)
