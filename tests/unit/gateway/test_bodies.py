"""Bodies: where they end, however the reads split them."""

import pytest

from gateway.bodies import Body, ChunkedBody, LengthBody
from gateway.fields import BadHead

CHUNKED = b"5;a=b\r\nhello\r\n00C\r\n, big\r\nworld\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n"
PASSED = b"5\r\nhello\r\nc\r\n, big\r\nworld\r\n1\r\n!\r\n0\r\n\r\n"


def feed(body: Body, *parts: bytes) -> tuple[bytes, bytes | None]:
    out, rest = b"", None
    for part in parts:
        piece, rest = body.feed(part)
        out += piece
    return out, rest


def test_length() -> None:
    assert feed(LengthBody(5), b"he", b"llo") == (b"hello", b"")
    assert feed(LengthBody(5), b"hello, next") == (b"hello", b", next")
    assert feed(LengthBody(5), b"hell") == (b"hell", None)


@pytest.mark.parametrize("plain", [False, True])
def test_chunked_split_anywhere(plain: bool) -> None:
    expected = b"hello, big\r\nworld!" if plain else PASSED
    for first in range(len(CHUNKED)):
        body = ChunkedBody(plain)
        assert feed(body, CHUNKED[:first], CHUNKED[first:] + b"next") == (expected, b"next")
    single = [CHUNKED[place : place + 1] for place in range(len(CHUNKED))]
    assert feed(ChunkedBody(plain), *single) == (expected, b"")


def test_between_is_said_only_between_chunks() -> None:
    body = ChunkedBody()
    seen = []
    for byte in b"2\r\nab\r\n":
        body.feed(bytes((byte,)))
        seen.append(body.between)
    assert seen == [True, True, False, False, False, False, True]


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1\na\r\n",
        b"1 \r\na\r\n",
        b" 1\r\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\na\rX",
        b"1;\x00\r\na\r\n",
        b"1;\r\r\na\r\n",
        b"F" * 16 + b"\r\n",
        b"1;" + b"x" * 2000 + b"\r\n",
        b"1;" + b"x" * 2000,
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 4000 + b"\r\n",
    ],
)
def test_chunked_refused(data: bytes) -> None:
    with pytest.raises(BadHead):
        ChunkedBody().feed(data)
    with pytest.raises(BadHead):
        feed(ChunkedBody(), *(data[place : place + 1] for place in range(len(data))))
