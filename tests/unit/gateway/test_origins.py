"""Which host serves what."""

import pytest

from gateway.origins import Origins


def test_one_host_serves_everything_unless_told_otherwise() -> None:
    origins = Origins("http://localhost:8080")
    for host in (b"localhost:8080", b"10.0.0.1", b"anything"):
        assert origins.place(host).kind == "all"
    assert origins.of_app("a", isolated=False) == "http://localhost:8080"
    assert origins.of_app("a", isolated=True) is None
    assert origins.serves_apps("http://localhost:8080/a/") is None


TWO = Origins("https://moorage.example.com:8443", "moorage.example.com", "apps.example.com")
DOMAIN = Origins(
    "https://moorage.example.com", "moorage.example.com", apps_domain="apps.example.com"
)
ALL = Origins(
    "https://moorage.example.com", "moorage.example.com", "apps.example.com", "apps.example.com"
)


@pytest.mark.parametrize(
    ("origins", "host", "kind", "app"),
    [
        (TWO, b"moorage.example.com:8443", "platform", b""),
        (TWO, b"moorage.example.com.", "platform", b""),
        (TWO, b"apps.example.com", "apps", b""),
        (TWO, b"sales.apps.example.com", "unknown", b""),
        (TWO, b"localhost:8080", "platform", b""),
        (TWO, b"", "unknown", b""),
        (DOMAIN, b"sales.apps.example.com:443", "app", b"sales"),
        (DOMAIN, b"apps.example.com", "unknown", b""),
        (DOMAIN, b"a.b.apps.example.com", "unknown", b""),
        (DOMAIN, b"-.apps.example.com", "unknown", b""),
        (ALL, b"apps.example.com", "apps", b""),
        (ALL, b"sales.apps.example.com", "app", b"sales"),
    ],
)
def test_places(origins: Origins, host: bytes, kind: str, app: bytes) -> None:
    for _ in range(2):
        assert origins.place(host) == (kind, app)


def test_where_an_app_is_found() -> None:
    assert TWO.of_app("sales", isolated=False) == "https://apps.example.com:8443"
    assert TWO.of_app("sales", isolated=True) is None
    assert DOMAIN.of_app("sales", isolated=False) == "https://sales.apps.example.com"
    assert ALL.of_app("sales", isolated=False) == "https://apps.example.com"
    assert ALL.of_app("sales", isolated=True) == "https://sales.apps.example.com"


def test_only_our_own_apps_hosts_are_led_to() -> None:
    assert ALL.serves_apps("https://sales.apps.example.com/sales/") == "sales.apps.example.com"
    assert TWO.serves_apps("https://apps.example.com:8443/sales/?x") == "apps.example.com:8443"
    for url in (
        "http://sales.apps.example.com/",
        "https://sales.apps.example.com:444/",
        "https://moorage.example.com/",
        "https://evil.example/",
        "https://a@sales.apps.example.com/",
        "https://sales.apps.example.com@evil.example/",
        "//evil.example/",
        "",
    ):
        assert ALL.serves_apps(url) is None, url
