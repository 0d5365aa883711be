"""The way of a push, as its users go it: git, a URL, an answer."""

import httpx
import pytest

from tests.harness.apps import dash_app, flask_app
from tests.harness.platform import commit, git, repository, until


@pytest.fixture(scope="module")
def app(platform, tmp_path_factory):
    """A Flask app that is live."""
    source = repository(tmp_path_factory.mktemp("flask") / "src", flask_app("1"))
    pushed = platform.push(source, "hello")
    assert pushed.returncode == 0, pushed.stdout
    return source


def test_the_first_push_creates_the_app_and_ends_with_its_url(platform, app):
    pushed = git(app, "push", platform.git_url("hello"), "main")
    assert "up-to-date" in pushed.stdout
    with platform.client() as client:
        answer = client.get("/hello/").json()
    assert answer["version"] == "1"
    assert answer["user"] == "admin"
    assert answer["root"] == "/hello"


def test_a_push_says_what_happens_and_where_the_app_lives(platform, tmp_path):
    source = repository(tmp_path / "src", flask_app("1"))
    pushed = platform.push(source, "talkative")
    assert pushed.returncode == 0, pushed.stdout
    said = [line.strip() for line in pushed.stdout.splitlines() if line.startswith("remote:")]
    assert any("Flask" in line for line in said)
    assert any("/talkative/" in line for line in said)


def test_a_code_only_push_reuses_the_environment(platform, app):
    commit(app, flask_app("2"))
    pushed = platform.push(app, "hello")
    assert pushed.returncode == 0, pushed.stdout
    assert "reused" in pushed.stdout
    with platform.client() as client:
        assert client.get("/hello/").json()["version"] == "2"


def test_the_apps_own_path_gets_its_slash(platform, app):
    with platform.client() as client:
        answer = client.get("/hello?x=1")
    assert answer.status_code in (301, 302, 307, 308)
    assert answer.headers["location"].endswith("/hello/?x=1")


def test_the_platforms_token_and_cookie_never_reach_an_app(platform, app):
    with platform.client() as client:
        client.cookies.set("moorage_session", "forged")
        client.cookies.set("own", "kept")
        answer = client.get("/hello/", headers={"X-Moorage-User": "mallory"}).json()
    assert answer["user"] == "admin"
    assert answer["authorization"] is None
    assert "moorage_session" not in (answer["cookie"] or "")
    assert "own=kept" in answer["cookie"]


def test_a_new_app_is_open_to_its_owner_only(platform, app):
    anonymous = httpx.get(f"{platform.url}/hello/", headers={"Accept": "application/json"})
    assert anonymous.status_code == 401
    browser = httpx.get(f"{platform.url}/hello/", headers={"Accept": "text/html"})
    assert browser.status_code in (302, 303)
    assert "/-/auth/login" in browser.headers["location"]


def test_access_is_granted_and_taken_back(platform, app):
    with platform.client() as client:
        put = client.put("/-/api/v1/apps/hello/access", json={"mode": "public"})
        assert put.status_code == 200, put.text
        until(lambda: httpx.get(f"{platform.url}/hello/").status_code == 200, 10)
        client.put("/-/api/v1/apps/hello/access", json={"mode": "restricted"})
        until(lambda: httpx.get(f"{platform.url}/hello/").status_code != 200, 10)


def test_config_and_secrets_reach_the_app_and_roll_it(platform, app):
    with platform.client() as client:
        changed = client.patch("/-/api/v1/apps/hello/config", json={"GREETING": "ahoy"})
        assert changed.status_code == 200, changed.text
        until(lambda: client.get("/hello/").json()["greeting"] == "ahoy")
        changed = client.patch("/-/api/v1/apps/hello/secrets", json={"API_KEY": "s3cret-canary"})
        assert changed.status_code == 200, changed.text
        assert "s3cret-canary" not in changed.text
        until(lambda: client.get("/hello/").json()["secret"] == "s3cret-canary")
        assert "s3cret-canary" not in client.get("/-/api/v1/apps/hello/secrets").text
        assert "s3cret-canary" not in client.get("/-/api/v1/events").text
    assert "s3cret-canary" not in platform.logs()


def test_a_branch_that_is_not_deployed_is_stored(platform, app):
    git(app, "branch", "experiment")
    pushed = platform.push(app, "hello", "experiment")
    assert pushed.returncode == 0, pushed.stdout
    assert "not deployed" in pushed.stdout
    refs = git(app, "ls-remote", platform.git_url("hello"))
    assert "refs/heads/experiment" in refs.stdout


def test_a_clone_gives_back_what_was_pushed(platform, app, tmp_path):
    cloned = git(tmp_path, "clone", "--quiet", platform.git_url("hello"), "copy")
    assert cloned.returncode == 0, cloned.stdout
    assert (tmp_path / "copy" / "app.py").read_text() == (app / "app.py").read_text()


def test_rollback_brings_back_an_earlier_release_without_a_build(platform, app):
    with platform.client() as client:
        commit(app, flask_app("3"))
        assert platform.push(app, "hello").returncode == 0
        assert client.get("/hello/").json()["version"] == "3"
        builds = len(client.get("/-/api/v1/apps/hello/builds").json())
        releases = client.get("/-/api/v1/apps/hello/releases").json()
        assert releases[0]["release"] > releases[-1]["release"]
        back = client.post(
            "/-/api/v1/apps/hello/rollback", json={"release": releases[-1]["release"]}
        )
        assert back.status_code in (200, 202), back.text
        until(lambda: client.get("/hello/").json()["version"] == "1")
        assert len(client.get("/-/api/v1/apps/hello/builds").json()) == builds


def test_scaling_and_logs(platform, app):
    with platform.client() as client:
        assert client.post("/-/api/v1/apps/hello/scale", json={"web": 2}).status_code in (200, 202)

        def healthy():
            found = client.get("/-/api/v1/apps/hello/instances").json()
            return len([one for one in found if one["state"] == "healthy"]) == 2

        until(healthy)
        client.post("/-/api/v1/apps/hello/scale", json={"web": 1})
        until(lambda: len(client.get("/-/api/v1/apps/hello/instances").json()) == 1, 90)
        assert client.get("/hello/").status_code == 200
        assert client.get("/-/api/v1/apps/hello/logs?lines=50").text


def test_a_dash_app_with_nothing_to_configure(platform, tmp_path):
    source = repository(tmp_path / "src", dash_app("1"))
    pushed = platform.push(source, "dashing")
    assert pushed.returncode == 0, pushed.stdout
    with platform.client() as client:
        assert "_dash-config" in client.get("/dashing/").text
        layout = client.get("/dashing/_dash-layout")
        assert "Version 1" in layout.text
        called = client.post(
            "/dashing/_dash-update-component",
            json={
                "output": "greeting.children",
                "outputs": {"id": "greeting", "property": "children"},
                "inputs": [{"id": "name", "property": "value", "value": "Ada"}],
                "changedPropIds": ["name.value"],
            },
        )
        assert called.json()["response"]["greeting"]["children"] == "Hello, Ada, from 1"
