from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.next_path import local_path


@pytest.mark.parametrize(
    "path", ["/", "/sales/", "/sales/?a=1&b=/x#y", "/über/", "/a//b", "/.//x", "/%2F%2Fevil"]
)
def test_paths_of_this_host_are_kept(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "link",
    [
        None,
        "",
        "sales",
        "//evil",
        "///evil",
        "/\\evil",
        "\\\\evil",
        "/a\\..\\b",
        "/\t/evil",
        "/\n/evil",
        "\t//evil",
        " //evil",
        "https://evil",
        "https:evil",
        "javascript:alert(1)",
        "data:text/html,x",
        "/a\r\nSet-Cookie: x=1",
        "/\x00",
        "/\ud800",
        "/" + "x" * 5000,
    ],
)
def test_everything_else_leads_home(link: str | None) -> None:
    assert local_path(link) == "/"


@pytest.mark.parametrize("path", ["/-/auth/login", "/-/auth/login?next=/a", "/-/auth/logout"])
def test_signing_in_does_not_lead_to_signing_in_or_out(path: str) -> None:
    assert local_path(path) == "/"


@given(st.text(alphabet="/\\:.@?#\t\n\r evilhtps%2F5C\x00\x7f", max_size=20))
def test_no_link_leaves_the_host(link: str) -> None:
    target = local_path(link)
    # What browsers do to a URL before they read it.
    read = target.replace("\t", "").replace("\n", "").replace("\r", "").replace("\\", "/")
    assert urlsplit(urljoin("https://here.example/x", read)).netloc == "here.example"
