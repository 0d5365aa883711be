"""Names of apps: from folders, from git remotes."""

from pathlib import Path

import pytest
from moorage.errors import Trouble
from moorage.platform import clean_url
from moorage.remotes import app_of, check_label, folder_label


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("sales", "sales"),
        ("My Sales App", "my-sales-app"),
        ("Überblick_2026", "uberblick-2026"),
        ("2026-report", "report"),
        ("-x-", "x"),
        ("a" * 80, "a" * 63),
        ("a" * 62 + "-b", "a" * 62),
    ],
)
def test_a_folder_gives_its_name(folder: str, label: str) -> None:
    assert folder_label(Path("/somewhere") / folder) == label


@pytest.mark.parametrize("folder", ["2026", "---", "販売", ""])
def test_a_folder_that_gives_none_is_refused(folder: str) -> None:
    with pytest.raises(Trouble, match="--app NAME"):
        folder_label(Path("/") / folder)


@pytest.mark.parametrize("name", ["", "A", "a_b", "1a", "a-", "-a", "a" * 64, "a\n", "a/b"])
def test_what_is_no_label_is_refused(name: str) -> None:
    with pytest.raises(Trouble):
        check_label(name)


@pytest.mark.parametrize(
    ("remote", "app"),
    [
        ("http://localhost:8080/-/git/sales.git", "sales"),
        ("http://admin:secret@localhost:8080/-/git/sales.git", "sales"),
        ("http://admin@LOCALHOST:8080/-/git/sales", "sales"),
        ("http://localhost:8081/-/git/sales.git", None),
        ("https://localhost:8080/-/git/sales.git", None),
        ("http://localhost:8080/other/sales.git", None),
        ("git@example.com:me/sales.git", None),
        ("/srv/sales.git", None),
        ("http://[broken/-/git/sales.git", None),
    ],
)
def test_a_remote_names_an_app_of_this_platform_alone(remote: str, app: str | None) -> None:
    assert app_of(remote, "http://localhost:8080") == app


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://Localhost:8080/", "http://localhost:8080"),
        ("apps.example.com", "https://apps.example.com"),
        ("https://apps.example.com:443", "https://apps.example.com"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_has_one_form(given: str, url: str) -> None:
    assert clean_url(given) == url


@pytest.mark.parametrize(
    "given", ["", "ftp://x", "http://", "http://u:p@x", "http://x/app", "http://x:port"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(Trouble):
        clean_url(given)
