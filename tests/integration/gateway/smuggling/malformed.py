"""Requests that parsers disagree about, or that one of them might read in another way than ours.

`~` stands for a path that is different for each of them, `/APP/NUMBER`. Sound requests are among
them: those that look odd and must come through as what they are.
"""

from collections.abc import Iterator

Corpus = dict[str, bytes]
"""Family and number -> the bytes; a canary follows each of them."""

HIDDEN = b"GET ~/hidden HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def corpus() -> Corpus:
    families = {
        "two framings": _two_framings,
        "lengths": _lengths,
        "codings": _codings,
        "chunks": _chunks,
        "trailers": _trailers,
        "lines": _lines,
        "names": _names,
        "values": _values,
        "request line": _request_lines,
        "paths": _paths,
        "hosts": _hosts,
        "options": _options,
        "versions": _versions,
        "upgrades": _upgrades,
        "in a row": _in_a_row,
    }
    return {
        f"{family} {number}": text
        for family, texts in families.items()
        for number, text in enumerate(texts())
    }


def head(
    *lines: bytes,
    line: bytes = b"POST ~/x HTTP/1.1",
    host: bytes = b"Host: h\r\n",
    body: bytes = b"",
) -> bytes:
    return line + b"\r\n" + host + b"".join(text + b"\r\n" for text in lines) + b"\r\n" + body


def _two_framings() -> Iterator[bytes]:
    lengths = (b"Content-Length: 5", b"content-length: 15", b"Content-Length: 0")
    codings = (
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: Chunked",
        b"Transfer-Encoding:chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
    )
    for length in lengths:
        for coding in codings:
            yield head(length, coding, body=CHUNKS + HIDDEN)
            yield head(coding, b"A: b", length, body=CHUNKS + HIDDEN)
    yield head(b"Content-Length: 5\r\nTransfer_Encoding: chunked", body=b"hello" + HIDDEN)


def _lengths() -> Iterator[bytes]:
    values = (
        b"", b" ", b"-1", b"+5", b"5,5", b"5, 5", b"5;5", b"5 5", b"0x5", b"5.0", b"5e0", b"1_0",
        b"05", b"0005", b"\t5", b"5\t", b"  5  ", b"\x0b5", b"five", b"\xb2", b"5\x00", b'"5"',
        b"18446744073709551621", b"9223372036854775813", b"99999999999999999999999", b"00", b"-0",
    )  # fmt: skip
    for value in values:
        yield head(b"Content-Length:" + value, body=b"hello" + HIDDEN)
        yield head(b"Content-Length: " + value, line=b"DELETE ~/x HTTP/1.1", body=b"hello")
    for first, second in ((b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"0")):
        yield head(
            b"Content-Length: " + first, b"Content-Length: " + second, body=b"hello" + HIDDEN
        )
        yield head(b"Content-Length: " + first, b"content-length:" + second, body=b"hello" + HIDDEN)
    for line in (b"GET ~/x HTTP/1.1", b"HEAD ~/x HTTP/1.1", b"OPTIONS ~/x HTTP/1.1"):
        yield head(b"Content-Length: 5", line=line, body=b"hello")
    yield head(b"Content_Length: 5", body=HIDDEN)
    yield head(b"X-Content-Length: 5", body=HIDDEN)


def _codings() -> Iterator[bytes]:
    values = (
        b"", b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, identity",
        b"chunked,chunked", b"chunked, chunked", b"identity, chunked", b"\tchunked", b"chunked\t",
        b" chunked ", b"\x0bchunked", b"chunked\x0b", b"'chunked'", b'"chunked"', b"chunked;q=1",
        b"chunked ;x", b"chunke", b"chunkedd", b"CHUNKED", b"cHuNkEd", b"c hunked", b",chunked",
        b"chunked,", b"\x00chunked", b"chunked\x00", b"x\r\n chunked", b"\r\n chunked",
        b"ch\xc3\xbcnked",
    )  # fmt: skip
    for value in values:
        yield head(b"Transfer-Encoding: " + value, body=CHUNKS + HIDDEN)
    for first, second in ((b"chunked", b"chunked"), (b"chunked", b"identity"), (b"x", b"chunked")):
        lines = (b"Transfer-Encoding: " + first, b"Transfer-Encoding: " + second)
        yield head(*lines, body=CHUNKS + HIDDEN)
    for line in (b"GET ~/x HTTP/1.1", b"POST ~/x HTTP/1.0"):
        yield head(b"Transfer-Encoding: chunked", line=line, body=CHUNKS + HIDDEN)


def _chunked(body: bytes) -> bytes:
    return head(b"Transfer-Encoding: chunked", body=body + HIDDEN)


def _chunks() -> Iterator[bytes]:
    sizes = (
        b"0x5", b"+5", b"-5", b" 5", b"5 ", b"\t5", b"5\t", b"05", b"000000005", b"5_0", b"5h", b"",
        b"5;", b"5;x", b"5;x=y", b'5;x="y;z"', b"5 ;x", b"5;x=\xff", b"5;x=\x00", b"5,", b"5.",
        b"f" * 16, b"8000000000000005", b"0" * 2000 + b"5", b"5;" + b"x" * 5000, b"\xb25", b"5\r",
        b"5\x0b", b"g",
    )  # fmt: skip
    for size in sizes:
        yield _chunked(size + b"\r\nhello\r\n0\r\n\r\n")
    for body in (
        b"5\nhello\n0\n\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"5\r\nhelloo\r\n0\r\n\r\n",
        b"5\rhello\r0\r\r",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n00\r\n\r\n",
        b"5\r\nhello\r\n0;x\r\n\r\n",
        b"5\r\nhello\r\n-0\r\n\r\n",
        b"5\r\nhello\r\n\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n",
        b"5\r\nhello\r\n0\n\n",
        b"0\r\n\r\n",
        b"\r\n0\r\n\r\n",
    ):
        yield _chunked(body)


def _trailers() -> Iterator[bytes]:
    for trailer in (
        b"A: b\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: other\r\n",
        b"X-Moorage-User: root\r\n",
        b"GET ~/hidden HTTP/1.1\r\n",
        b"A : b\r\n",
        b" A: b\r\n",
        b"A: b\r\n c\r\n",
        b"A: b\n",
        b"\n",
        b"\r",
        b"A\x00: b\r\n",
        b"A: " + b"b" * 20_000 + b"\r\n",
    ):
        yield _chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n")


def _lines() -> Iterator[bytes]:
    """What ends a line, and what does not."""
    whole = head(b"A: b", b"Content-Length: 5", body=b"hello")
    yield whole.replace(b"\r\n", b"\n")
    yield whole.replace(b"\r\n", b"\r")
    for place in (b"HTTP/1.1\r\n", b"Host: h\r\n", b"A: b\r\n", b"5\r\n"):
        for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r \n", b"\x0b", b"\x85"):
            yield whole.replace(place, place[:-2] + end, 1)
    for fold in (b" folded", b"\tfolded", b" ", b"\t", b" Content-Length: 0", b"\tHost: x"):
        yield head(b"A: b\r\n" + fold, b"Content-Length: 5", body=b"hello" + HIDDEN)
        yield head(b"Content-Length: 5\r\n" + fold, body=b"hello" + HIDDEN)
    for start in (b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\t", b"\r", b"\x00"):
        yield start + head(b"Content-Length: 5", body=b"hello")


def _names() -> Iterator[bytes]:
    for name in (
        b"A ", b"A\t", b" A", b"\tA", b"", b" ", b"A B", b"A\x00B", b"A\x0bB", b"\xc3\xa4", b"A(B",
        b"A/B", b"A@B", b"A[B", b'A"B', b"A;B", b"A,B", b"A=B", b"{A}", b"A\x7f", b"A\r", b"A_B",
        b"!#$%&'*+.^`|~A".replace(b"~", b""),
    ):  # fmt: skip
        yield head(name + b": b", b"Content-Length: 5", body=b"hello" + HIDDEN)
    yield head(b"no colon", b"Content-Length: 5", body=b"hello" + HIDDEN)
    for name in (
        b"Content-Length ",
        b"Content-Length\t",
        b"Content-Length\x0b",
        b"Content-Length\x00",
    ):
        yield head(name + b": 5", body=b"hello" + HIDDEN)
        yield head(name + b": 5", b"Transfer-Encoding: chunked", body=CHUNKS + HIDDEN)


def _values() -> Iterator[bytes]:
    for value in (
        b"\x00", b"\x01", b"\x0b", b"\x0c", b"\x1f", b"\x7f", b"\x80", b"\xff", b"\tb", b"b\t", b"",
        b"b\x00c", b"b\rc", b"b\nc", b"b\n\nGET ~/hidden HTTP/1.1\nHost: h", b"b" * 9000,
        b"\xe2\x80\xa8", b"b\x85Content-Length: 0",
    ):  # fmt: skip
        yield head(b"A: " + value, b"Content-Length: 5", body=b"hello" + HIDDEN)


def _request_lines() -> Iterator[bytes]:
    for line in (
        b"GET  ~/x HTTP/1.1", b"GET ~/x  HTTP/1.1", b"GET\t~/x HTTP/1.1", b"GET ~/x\tHTTP/1.1",
        b" GET ~/x HTTP/1.1", b"GET ~/x HTTP/1.1 ", b"GET ~/x HTTP/1.1\t", b"get ~/x HTTP/1.1",
        b"GeT ~/x HTTP/1.1", b"GET ~/x", b"GET", b"~/x HTTP/1.1", b"GET ~/x y HTTP/1.1", b"",
        b"G\xc3\x8bT ~/x HTTP/1.1", b"G{T ~/x HTTP/1.1", b"GET\x00 ~/x HTTP/1.1",
        b"GET\x0b~/x HTTP/1.1", b"A" * 40 + b" ~/x HTTP/1.1", b"GET ~/x\x00 HTTP/1.1",
        b"GET ~/x\x0b HTTP/1.1", b"GET ~/x\x7f HTTP/1.1", b"GET ~/\xc3\xa4 HTTP/1.1",
        b"GET ~/\xff HTTP/1.1", b"GET ~/x#fragment HTTP/1.1", b"GET ~/x?a#b HTTP/1.1",
        b"GET ~/" + b"x" * 9000 + b" HTTP/1.1", b"CONNECT ~/x HTTP/1.1", b"TRACE ~/x HTTP/1.1",
        b"CONNECT h:80 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET * HTTP/1.1", b"PRI * HTTP/2.0",
        b"GET ~/x?a=\x00 HTTP/1.1", b"GET ~/x?a=<> HTTP/1.1", b'GET ~/x?a=" HTTP/1.1',
        b"GET ~/x?a=%00 HTTP/1.1", b"GET ~/x?a=%zz HTTP/1.1", b"GET ~/x?? HTTP/1.1",
        b"GET ~/x? HTTP/1.1", b"PROPFIND ~/x HTTP/1.1", b"M-SEARCH ~/x HTTP/1.1",
    ):  # fmt: skip
        yield head(line=line)


def _paths() -> Iterator[bytes]:
    for path in (
        b"~/../x", b"~/./x", b"~/..", b"~/.", b"~/%2e%2e/x", b"~/%2E./x", b"~/.%2e/x", b"~/...",
        b"~/..;/x",
        b"~/%252e%252e/x", b"~%2fx", b"~%2Fx", b"~\\x", b"~%5cx", b"~/x\\..\\y", b"~/x%5c..%5cy",
        b"~//x", b"/~/x", b"//~/x", b"///~", b"~/x//y", b"~;a=b/x", b"~/x;a=b", b"~/%00",
        b"~/x%00y",
        b"~%00/x", b"~/%0d%0aA:%20b", b"~/%20", b"~/%7e", b"~/x%2fy", b"~/%c0%ae%c0%ae/x",
        b"~/a%2e%2e/b",
        b"~/x%", b"~/x%2", b"~/%zz", b"~/!$&'()*+,;=:@", b"~/[]", b"~/{}", b"~/|", b"~/^`",
        b"~/<x>",
        b"~", b"~/", b"x~/y", b"~/%2f%2e%2e%2fx", b"/%2e%2e~/x", b"/.~/x", b"?~/x",
    ):  # fmt: skip
        yield head(line=b"GET " + path + b" HTTP/1.1")


def _hosts() -> Iterator[bytes]:
    for host in (
        b"", b"Host:\r\n", b"Host: \r\n", b"Host: h\r\nHost: h\r\n", b"Host: h\r\nHost: x\r\n",
        b"Host: h/x\r\n", b"Host: h x\r\n", b"Host: h,x\r\n", b"Host: u@h\r\n", b"Host: h:x\r\n",
        b"Host: h:\r\n", b"Host: h:999999\r\n", b"Host: [::1\r\n", b"Host: [::1]\r\n",
        b"Host: h\x00\r\n",
        b"Host: http://h/\r\n", b"Host : h\r\n", b" Host: h\r\n", b"Host: h\r\n Host: x\r\n",
        b"Host: h?x\r\n", b"Host: h#x\r\n", b"Host: \xc3\xa4\r\n", b"Host: h.\r\n", b"Host: H\r\n",
    ):  # fmt: skip
        yield head(line=b"GET ~/x HTTP/1.1", host=host)
    for target in (
        b"http://h~/x", b"http://x~/x", b"HTTP://H~/x", b"https://h~/x", b"ftp://h~/x", b"http:~/x",
        b"http://h:80~/x", b"http://u@h~/x", b"http://h\\@x~/x", b"http://h?~/x",
        b"http://h#~/x", b"http://h",
    ):  # fmt: skip
        yield head(line=b"GET " + target + b" HTTP/1.1")
        yield head(line=b"GET " + target + b" HTTP/1.1", host=b"Host: x\r\n")


def _options() -> Iterator[bytes]:
    for option in (
        b"content-length", b"Content-Length, close", b"transfer-encoding", b"host", b"cookie",
        b"expect",
        b"close, keep-alive", b"keep-alive, close", b"keep-alive", b"close", b"", b",", b"a b",
        b"upgrade", b"x-moorage-identity", b"te", b"trailers",
    ):  # fmt: skip
        yield head(b"Connection: " + option, b"Content-Length: 5", body=b"hello" + HIDDEN)
    for value in (
        b"100-continue",
        b"100-Continue",
        b"100-continue, x",
        b"x",
        b"",
        b" 100-continue ",
    ):
        yield head(b"Expect: " + value, b"Content-Length: 5", body=b"hello" + HIDDEN)
        yield head(b"Expect: " + value, line=b"GET ~/x HTTP/1.1")


def _versions() -> Iterator[bytes]:
    for version in (
        b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/1",
        b"HTTP/1.",
        b"HTTP/.1", b"HTTP/11", b"HTTP/1.1.1", b"HTTP/01.1", b"HTTP/1.01", b"http/1.1",
        b"HTTPS/1.1",
        b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1 .1", b"HTTP/1,1", b"HTTP/-1.1", b"HTTP/1.1\x00",
    ):  # fmt: skip
        yield head(b"Content-Length: 5", line=b"POST ~/x " + version, body=b"hello" + HIDDEN)
    yield head(b"Connection: keep-alive", line=b"GET ~/x HTTP/1.0", body=HIDDEN)


def _upgrades() -> Iterator[bytes]:
    websocket = (
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + b"A" * 24,
    )
    yield head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    yield head(b"Connection: Upgrade", b"Upgrade: TLS/1.0", line=b"GET ~/x HTTP/1.1")
    yield head(b"Connection: Upgrade", *websocket, b"Content-Length: 5", body=b"hello" + HIDDEN)
    yield head(b"Connection: close", *websocket, line=b"GET ~/x HTTP/1.1")
    yield head(*websocket, line=b"GET ~/x HTTP/1.1")


def _in_a_row() -> Iterator[bytes]:
    """Sound ones behind each other, with bodies and without."""
    get, post = head(line=b"GET ~/1 HTTP/1.1"), head(b"Content-Length: 5", body=b"hello")
    chunked = head(b"Transfer-Encoding: chunked", body=CHUNKS)
    empty = head(b"Content-Length: 0")
    for first in (get, post, chunked, empty):
        for second in (get, post, chunked, empty):
            yield first + second
    yield get * 50
    yield post + b"\r\n" + get
    yield post + b"hello" + get
