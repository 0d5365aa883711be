"""`moorage deploy` with a real git client and git's own server program."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run
from tests.integration.cli.stand import TOKEN, Stand


@pytest.fixture
def git(folder: Path, environment: dict[str, str]):
    """The folder as a git repository of its owner's."""

    def run(*arguments: str) -> str:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        done = subprocess.run(
            ["git", *who, *arguments], cwd=folder, env=environment, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    return run


def test_a_plain_folder_is_deployed_and_left_as_it_is(
    moorage: Run, stand: Stand, folder: Path
) -> None:
    for name, text in {
        "app.py": "1",
        ".env": "KEY=v",
        ".gitignore": "data/\n",
        "data/big": "x",
        ".venv/lib": "x",
        "envs/pyvenv.cfg": "x",
        "__pycache__/a.pyc": "x",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    before = sorted(folder.rglob("*"))
    done = moorage("deploy")
    assert done.returncode == 0, done.stderr
    assert stand.files("my-sales") == {".gitignore": "data/", "app.py": "1"}
    assert "left out .env" in done.stderr
    assert "remote: Building ..." in done.stderr
    assert done.stdout.startswith("my-sales is live at http://127.0.0.1:")
    assert sorted(folder.rglob("*")) == before


def test_the_next_deploy_of_a_folder_follows_the_first(
    moorage: Run, stand: Stand, folder: Path
) -> None:
    (folder / "app.py").write_text("1")
    assert moorage("deploy", "-m", "One").returncode == 0
    (folder / "app.py").write_text("2")
    assert moorage("deploy", "-m", "Two").returncode == 0
    assert stand.history("my-sales") == ["Two", "One"]
    again = moorage("deploy", "--json")
    assert '"changed": false' in again.stdout
    assert stand.history("my-sales") == ["Two", "One"]


def test_a_repository_is_pushed_as_committed(moorage: Run, stand: Stand, folder: Path, git) -> None:
    git("init", "-q", "-b", "trunk")
    (folder / "app.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "First")
    (folder / "app.py").write_text("2")
    done = moorage("deploy", "--app", "other")
    assert done.returncode == 0, done.stderr
    assert stand.files("other") == {"app.py": "1"}
    assert "changes that are not committed" in done.stderr
    assert TOKEN not in (folder / ".git" / "config").read_text() + done.stdout + done.stderr


def test_the_app_comes_from_the_git_remote(
    moorage: Run, stand: Stand, git, environment: dict[str, str], folder: Path
) -> None:
    git("init", "-q")
    git("remote", "add", "origin", "https://example.com/elsewhere.git")
    stand.answers["POST", "/apps"] = {"name": "named"}
    assert moorage("create", "named").returncode == 0
    assert git("remote", "get-url", "moorage").endswith("/-/git/named.git")
    (folder / "app.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "First")
    assert moorage("deploy").returncode == 0
    assert stand.files("named") == {"app.py": "1"}


def test_a_folder_within_a_repository_is_deployed_alone(
    moorage: Run, stand: Stand, folder: Path, environment: dict[str, str]
) -> None:
    subprocess.run(["git", "init", "-q", str(folder.parent)], check=True, env=environment)
    (folder / "app.py").write_text("1")
    (folder.parent / "outside.py").write_text("1")
    assert moorage("deploy").returncode == 0
    assert stand.files("my-sales") == {"app.py": "1"}


def test_a_refused_push_is_an_error_and_moves_nothing(
    moorage: Run, stand: Stand, folder: Path
) -> None:
    (folder / "app.py").write_text("1")
    assert moorage("deploy").returncode == 0
    (stand.home / "my-sales.git" / "refuse").touch()
    (folder / "app.py").write_text("2")
    done = moorage("deploy")
    assert done.returncode == 1
    assert "remote: No app was found." in done.stderr
    assert done.stderr.splitlines()[-1].startswith("moorage: my-sales was not deployed")
    assert stand.files("my-sales") == {"app.py": "1"}


def test_another_history_is_not_overwritten(moorage: Run, stand: Stand, folder: Path, git) -> None:
    (folder / "app.py").write_text("1")
    assert moorage("deploy", "-m", "Theirs").returncode == 0
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "Mine")
    done = moorage("deploy")
    assert done.returncode == 1
    assert "git pull" in done.stderr.splitlines()[-1]
    assert stand.history("my-sales") == ["Theirs"]
    assert moorage("deploy", "--force").returncode == 0
    assert stand.history("my-sales") == ["Mine"]


def test_what_cannot_be_deployed_is_said(moorage: Run, folder: Path, git) -> None:
    assert "nothing to deploy" in moorage("deploy").stderr
    git("init", "-q", "nested")
    (folder / "nested" / "a").write_text("1")
    git("-C", "nested", "add", ".")
    git("-C", "nested", "commit", "-qm", "x")
    assert "repository of its own" in moorage("deploy").stderr
    git("init", "-q")
    done = moorage("deploy")
    assert done.returncode == 1
    assert "no commit yet" in done.stderr


def test_a_wrong_token_is_said_without_asking(moorage: Run, folder: Path) -> None:
    (folder / "app.py").write_text("1")
    done = moorage("deploy", MOORAGE_TOKEN="mrg_wrong")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_after_login_plain_git_pushes(
    moorage: Run, stand: Stand, folder: Path, git, environment: dict[str, str]
) -> None:
    url = environment["MOORAGE_URL"]
    done = moorage("login", url, "--token", typed=TOKEN + "\n", MOORAGE_URL="", MOORAGE_TOKEN="")
    assert done.returncode == 1  # the stand has no whoami yet
    stand.answers["GET", "/whoami"] = {"user": "ada", "role": "developer"}
    done = moorage("login", url, "--token", typed=TOKEN + "\n", MOORAGE_URL="", MOORAGE_TOKEN="")
    assert done.returncode == 0, done.stderr
    environment.pop("MOORAGE_TOKEN")
    environment.pop("MOORAGE_URL")
    git("init", "-q", "-b", "main")
    (folder / "app.py").write_text("1")
    git("add", ".")
    git("commit", "-qm", "First")
    git("push", "-q", f"{url}/-/git/plain.git", "main")
    assert stand.files("plain") == {"app.py": "1"}
    assert moorage("logout").returncode == 0
    assert "credential" not in git("config", "--global", "--list")
