"""The file of saved logins, and which platform a call is for."""

from pathlib import Path

import pytest
from moorage.credentials import answer
from moorage.errors import Trouble
from moorage.logins import Login, Logins
from moorage.platform import find_platform

HERE, THERE = "http://localhost:8080", "https://apps.example.com"


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    saved = Logins(tmp_path / "moorage" / "config.json")
    saved.save(Login(THERE, "ada", "mrg_there"))
    saved.save(Login(HERE, "ada", "mrg_here"))
    return saved


def test_the_file_is_for_its_owner_alone(logins: Logins) -> None:
    assert logins.path.stat().st_mode & 0o777 == 0o600
    assert logins.path.parent.stat().st_mode & 0o777 == 0o700


def test_the_last_login_is_the_current_one(logins: Logins) -> None:
    assert find_platform({}, logins).token == "mrg_here"
    assert logins.forget(HERE)
    assert find_platform({}, logins).url == THERE
    assert not logins.forget(HERE)


def test_the_environment_wins(logins: Logins) -> None:
    assert find_platform({"MOORAGE_URL": THERE + "/"}, logins).token == "mrg_there"
    found = find_platform({"MOORAGE_URL": THERE, "MOORAGE_TOKEN": "mrg_other"}, logins)
    assert (found.url, found.token) == (THERE, "mrg_other")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MOORAGE_TOKEN": "t"},
        {"MOORAGE_URL": HERE},
        {"MOORAGE_URL": HERE, "MOORAGE_TOKEN": "ä"},
    ],
)
def test_without_a_login_it_says_what_to_do(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(Trouble):
        find_platform(environ, Logins(tmp_path / "none.json"))


def test_a_broken_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Trouble, match="remove it"):
        Logins(tmp_path / "config.json").current()


def test_a_token_is_not_shown_by_accident(logins: Logins) -> None:
    assert "mrg_" not in repr(logins.current()) + repr(find_platform({}, logins))


def question(protocol: str, host: str) -> list[str]:
    return [f"protocol={protocol}\n", f"host={host}\n", "\n"]


def test_git_gets_the_token_of_the_platform_it_asks_for(logins: Logins) -> None:
    told = answer(question("https", "apps.example.com"), {}, logins)
    assert told == "username=ada\npassword=mrg_there\n"


def test_git_gets_nothing_for_anybody_else(logins: Logins) -> None:
    environ = {"MOORAGE_URL": "http://localhost:9", "MOORAGE_TOKEN": "mrg_mine"}
    assert answer(question("https", "github.com"), environ, logins) == ""
    assert answer(question("http", "apps.example.com"), environ, logins) == ""
    assert "mrg_mine" in answer(question("http", "localhost:9"), environ, logins)
    assert "mrg_here" in answer(question("http", "localhost:8080"), environ, logins)
