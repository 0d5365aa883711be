"""The platform's cookies and those of apps."""

import pytest

from gateway.cookies import CookieNames, Jar, is_own, of_host, of_path, set_cookie


def test_jar_keeps_what_is_the_platforms_apart() -> None:
    jar = Jar(b"a=1;moorage_session=tossed; moorage_session=real;moorage_instance=i;b=2=3; c")
    assert jar.value(b"moorage_session") == b"real"
    assert jar.value(b"moorage_instance") == b"i"
    assert jar.others == b"a=1; b=2=3; c"
    assert jar.has_own
    empty = Jar(b"")
    assert (empty.others, empty.has_own, empty.value(b"moorage_session")) == (b"", False, None)


def test_all_passes_are_kept_within_reason() -> None:
    jar = Jar(b"; ".join(b"moorage_app=%d" % number for number in range(20)))
    assert jar.values(b"moorage_app") == tuple(b"%d" % number for number in range(12, 20))


def test_names_over_https_carry_prefixes() -> None:
    names = CookieNames.of(secure=True)
    assert names.session == b"__Host-moorage_session"
    assert names.app == b"__Secure-moorage_app"
    jar = Jar(b"__Host-moorage_session=1; __HOST-MOORAGE_x=2; moorage_y=3; z=4")
    assert jar.others == b"z=4"
    assert jar.value(names.session) == b"1"
    assert jar.value(CookieNames.of(secure=False).session) is None


@pytest.mark.parametrize(
    "line",
    [
        b"Set-Cookie: moorage_session=x; Path=/b/",
        b"set-cookie:MOORAGE_app = x",
        b"Set-Cookie: __Host-moorage_door=x; Secure; Path=/",
        b"Set-Cookie: __secure-Moorage_app=x",
        b"Set-Cookie: =moorage_session=x",
        b"Set-Cookie: moorage_session",
    ],
)
def test_no_app_sets_a_cookie_of_the_platform(line: bytes) -> None:
    assert is_own(line)


@pytest.mark.parametrize(
    "line", [b"Set-Cookie: session=moorage_session", b"Set-Cookie: a_moorage_session=1"]
)
def test_an_apps_own_cookies_are_left(line: bytes) -> None:
    assert not is_own(line)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"Set-Cookie: a=1", b"/b/"),
        (b"Set-Cookie: a=1; Path=/", b"/b/"),
        (b"Set-Cookie: a=1; path=/b/x", b"/b/x"),
        (b"Set-Cookie: a=1; Path=/b", b"/b"),
        (b"Set-Cookie: a=1; Path=/bc/", b"/b/"),
        (b"Set-Cookie: a=1; Path=/b/; Path=/", b"/b/"),
        (b"Set-Cookie: a=1; Path=/other/", b"/b/"),
    ],
)
def test_cookies_of_an_app_stay_below_its_path(line: bytes, path: bytes) -> None:
    assert of_path(line, b"/b/") == b"Set-Cookie: a=1; Path=" + path


def test_cookies_of_an_app_stay_with_their_host() -> None:
    line = b"Set-Cookie: a=1; DOMAIN=example.org; Secure; Domain =.org"
    assert of_host(line) == b"Set-Cookie: a=1; Secure"
    assert of_path(line, b"/b/") == b"Set-Cookie: a=1; Secure; Path=/b/"


def test_set_cookie() -> None:
    assert (
        set_cookie(b"n", b"v", b"/", secure=True, seconds=5)
        == b"Set-Cookie: n=v; Path=/; Max-Age=5; HttpOnly; SameSite=Lax; Secure\r\n"
    )
