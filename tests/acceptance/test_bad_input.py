"""What is wrong is said in one sentence to the pusher, and the running version goes on."""

import os

import pytest

from tests.harness.apps import flask_app
from tests.harness.platform import WHO, commit, git, repository

CASES = {
    "no app": ({"notes.md": "hello"}, "app"),
    "a syntax error": ({**flask_app(), "app.py": "def broken(:\n    pass\n"}, "app.py"),
    "an unsatisfiable requirement": (
        {**flask_app(), "requirements.txt": "flask==99.99.99\n"},
        "flask",
    ),
    "an app that exits": (
        {
            **flask_app(),
            "app.py": "from flask import Flask\napp = Flask(__name__)\nraise SystemExit(7)\n",
        },
        "exit",
    ),
    "an app that raises": (
        {**flask_app(), "app.py": "from flask import Flask\napp = Flask(__name__)\n1 / 0\n"},
        "ZeroDivisionError",
    ),
    "the wrong port": (
        {**flask_app(), "Procfile": "web: python -m http.server 28999 --bind 127.0.0.1\n"},
        "28999",
    ),
    "a Procfile with a typo": ({**flask_app(), "Procfile": "wbe: gunicorn app:app\n"}, "Procfile"),
}


@pytest.fixture(scope="module")
def live(platform, tmp_path_factory):
    """An app whose running version every bad push must leave alone."""
    source = repository(tmp_path_factory.mktemp("sturdy") / "src", flask_app("good"))
    pushed = platform.push(source, "sturdy")
    assert pushed.returncode == 0, pushed.stdout
    return source


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_a_bad_push_is_refused_with_a_reason(platform, live, case):
    files, said = CASES[case]
    head = git(live, "ls-remote", platform.git_url("sturdy"), "refs/heads/main").stdout
    before = git(live, "rev-parse", "HEAD").stdout.strip()
    wholly = {name: None for name in os.listdir(live) if name != ".git"} | files
    commit(live, wholly, case)
    pushed = platform.push(live, "sturdy")
    git(live, "reset", "--quiet", "--hard", before)
    assert pushed.returncode != 0, pushed.stdout
    assert said in pushed.stdout
    assert "remote rejected" in pushed.stdout
    assert "Traceback" not in pushed.stdout or case in ("an app that raises", "an app that exits")
    with platform.client() as client:
        assert client.get("/sturdy/").json()["version"] == "good"
        instances = client.get("/-/api/v1/apps/sturdy/instances").json()
    assert len(instances) == 1
    assert git(live, "ls-remote", platform.git_url("sturdy"), "refs/heads/main").stdout == head


def test_an_app_that_never_answers_is_given_up(platform, live):
    silent = "from flask import Flask\nimport time\napp = Flask(__name__)\ntime.sleep(600)\n"
    before = git(live, "rev-parse", "HEAD").stdout.strip()
    commit(live, {"app.py": silent, "moorage.env": ""})
    pushed = platform.push(live, "sturdy")
    git(live, "reset", "--quiet", "--hard", before)
    assert pushed.returncode != 0, pushed.stdout
    assert "waiting for the app" in pushed.stdout
    with platform.client() as client:
        assert client.get("/sturdy/").json()["version"] == "good"


@pytest.mark.parametrize("name", ["Sales", "two_words", "-x", "a" * 64])
def test_a_name_that_is_no_dns_label_is_refused(platform, live, name):
    pushed = platform.push(live, name)
    assert pushed.returncode != 0
    assert "lower-case letters" in pushed.stdout


def test_a_wrong_token_is_refused_with_what_to_do(platform, live):
    pushed = platform.push(live, "sturdy", token="mrg_wrong")
    assert pushed.returncode != 0
    assert "token" in pushed.stdout


def test_somebody_elses_app_is_closed(platform, live):
    with platform.client() as client:
        made = client.post(
            "/-/api/v1/users",
            json={"user": "eve", "password": "long-enough-password", "role": "developer"},
        )
        assert made.status_code in (200, 201, 409), made.text
        token = client.post(
            "/-/api/v1/login",
            json={"username": "eve", "password": "long-enough-password", "name": "test"},
            headers={"Authorization": ""},
        ).json()["token"]
    pushed = platform.push(live, "sturdy", token=token)
    assert pushed.returncode != 0
    assert "sturdy" in pushed.stdout
    with platform.client(token) as client:
        assert client.get("/sturdy/", headers={"Accept": "application/json"}).status_code == 403


def test_a_symlink_that_points_outside_is_refused(platform, live):
    before = git(live, "rev-parse", "HEAD").stdout.strip()
    os.symlink("/etc/passwd", live / "data.csv")
    commit(live, {})
    pushed = platform.push(live, "sturdy")
    git(live, "reset", "--quiet", "--hard", before)
    assert pushed.returncode != 0
    assert "data.csv" in pushed.stdout


def test_a_submodule_is_refused(platform, live):
    before = git(live, "rev-parse", "HEAD").stdout.strip()
    git(live, "update-index", "--add", "--cacheinfo", f"160000,{before},vendored")
    git(live, *WHO, "commit", "--quiet", "-m", "a submodule")
    pushed = platform.push(live, "sturdy")
    git(live, "reset", "--quiet", "--hard", before)
    assert pushed.returncode != 0
    assert "vendored" in pushed.stdout


def test_a_path_of_5000_characters_is_refused(platform, live):
    before = git(live, "rev-parse", "HEAD").stdout.strip()
    blob = git(live, "hash-object", "-w", "app.py").stdout.strip()
    deep = "/".join(["x" * 99] * 50)
    git(live, "update-index", "--add", "--cacheinfo", f"100644,{blob},{deep}")
    git(live, *WHO, "commit", "--quiet", "-m", "a long path")
    pushed = platform.push(live, "sturdy")
    git(live, "reset", "--quiet", "--hard", before)
    assert pushed.returncode != 0
    assert "characters" in pushed.stdout


def test_nothing_of_the_bad_pushes_is_left_behind(platform, live):
    home = platform.layout.home
    assert not list((home / "builds").glob("*")), "work folders of builds were left"
