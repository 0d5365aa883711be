"""From where a request came, as far as that may be believed."""

import pytest

from gateway.arrival import Hints, Trusted, arrive

PROXY = "10.0.0.1"
TRUSTED = Trusted(["10.0.0.0/8", "fd00::/8"])


def hints(forwarded: str = "", address: str = "", proto: str = "", host: str = "") -> Hints:
    return Hints(*(text.encode() for text in (forwarded, address, proto, host)))


def test_what_a_stranger_says_of_himself_does_not_count() -> None:
    said = hints("for=1.1.1.1;host=evil", "2.2.2.2", "https", "evil")
    arrival = arrive("9.9.9.9", "http", b"H:80", said, TRUSTED)
    assert (arrival.address, arrival.scheme, arrival.host) == ("9.9.9.9", "http", b"h:80")
    assert arrival.lines == (
        b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: H:80\r\n"
        b'Forwarded: for=9.9.9.9;proto=http;host="H:80"\r\n'
    )


@pytest.mark.parametrize(
    ("said", "address", "scheme", "host"),
    [
        (hints(address="1.1.1.1", proto="https", host="apps"), "1.1.1.1", "https", b"apps"),
        (hints(address="6.6.6.6, 1.1.1.1", proto="https"), "1.1.1.1", "https", b"h"),
        (hints(address="6.6.6.6, 1.1.1.1, 10.0.0.2"), "1.1.1.1", "http", b"h"),
        (hints(address="junk, 10.0.0.2"), "10.0.0.2", "http", b"h"),
        (hints(address="1.1.1.1:4711", proto="gopher"), "1.1.1.1", "http", b"h"),
        (hints(address="1.1.1.1", host="a b"), "1.1.1.1", "http", b"h"),
        (hints('for="[2001:db8::1]:80";proto=https;host="a:1"'), "2001:db8::1", "https", b"a:1"),
        (hints("for=6.6.6.6;proto=ftp, For=1.1.1.1;Proto=https"), "1.1.1.1", "https", b"h"),
        (hints("for=_hidden"), PROXY, "http", b"h"),
        (hints("for=1.1.1.1", address="2.2.2.2"), "1.1.1.1", "http", b"h"),
    ],
)
def test_a_trusted_proxy_is_believed(said: Hints, address: str, scheme: str, host: bytes) -> None:
    arrival = arrive(PROXY, "http", b"h", said, TRUSTED)
    assert (arrival.address, arrival.scheme, arrival.host) == (address, scheme, host)


def test_addresses_of_the_new_kind_are_quoted() -> None:
    lines = arrive("2001:db8::1", "https", b"h", None, Trusted()).lines
    assert b'Forwarded: for="[2001:db8::1]";proto=https;host="h"\r\n' in lines


def test_nobody_is_trusted_without_being_named() -> None:
    assert "127.0.0.1" not in Trusted()
    assert "unknown" not in TRUSTED
    assert "fd00::1" in TRUSTED
    with pytest.raises(ValueError, match="not"):
        Trusted(["not a network"])
