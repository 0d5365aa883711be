"""The way of a push where apps run in containers, on an engine that is restarted meanwhile."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.harness.apps import dash_app, flask_app
from tests.harness.docker import DockerServer
from tests.harness.platform import Platform, commit, repository, until

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def contained(docker_server: DockerServer) -> Iterator[Platform]:
    """A platform whose apps run in containers of the tests' own engine."""
    running = Platform(
        {
            "MOORAGE_ENGINE": "docker",
            "MOORAGE_DOCKER_URL": docker_server.url,
            "MOORAGE_DOCKER_NETWORKS": str(docker_server.networks),
            "MOORAGE_DRAIN_SECONDS": "5",
        }
    )
    try:
        running.up()
        yield running
    finally:
        running.remove()


@pytest.fixture(scope="module")
def app(contained, tmp_path_factory):
    source = repository(tmp_path_factory.mktemp("contained") / "src", flask_app("1"))
    pushed = contained.push(source, "hello")
    assert pushed.returncode == 0, pushed.stdout + contained.logs()
    return source


def containers(server: DockerServer, app: str) -> list[str]:
    with server.client() as client:
        found = client.get("/containers/json", params={"all": True}).json()
    return [
        one["Names"][0]
        for one in found
        if one["Labels"].get("moorage.app") == app and "moorage.instance" in one["Labels"]
    ]


def version(platform: Platform) -> str | None:
    """What the app says; None while it does not answer."""
    with platform.client() as client:
        return client.get("/hello/").json().get("version")


def test_a_push_ends_with_an_app_in_a_container(contained, app, docker_server):
    with contained.client() as client:
        answer = client.get("/hello/").json()
        environment = client.get("/hello/environment").json()
    assert (answer["version"], answer["user"], answer["root"]) == ("1", "admin", "/hello")
    assert environment["HOST"] == "0.0.0.0"
    assert len(containers(docker_server, "hello")) == 1


def test_a_change_of_code_reuses_the_environment(contained, app):
    commit(app, flask_app("2"))
    pushed = contained.push(app, "hello")
    assert pushed.returncode == 0, pushed.stdout
    assert "Environment unchanged: reused" in pushed.stdout
    assert version(contained) == "2"


def test_what_operators_and_owners_do_all_day(contained, app, docker_server):
    """Scale, logs, one-off runs, config, figures, rollback."""
    assert contained.moorage("scale", "web=3", "--app", "hello").returncode == 0
    until(lambda: contained.moorage("ps", "--app", "hello").stdout.count("healthy") == 3)
    assert contained.moorage("scale", "web=1", "--app", "hello").returncode == 0
    until(lambda: len(containers(docker_server, "hello")) == 1, 90)
    assert "Listening at" in contained.moorage("logs", "--app", "hello").stdout
    ran = contained.moorage("run", "--app", "hello", "--", "python", "-c", "print(6 * 7)")
    assert (ran.returncode, ran.stdout.strip()) == (0, "42")
    ran = contained.moorage("run", "--app", "hello", "--", "sh", "-c", "exit 3")
    assert ran.returncode == 3
    assert contained.moorage("secrets", "set", "API_KEY=s3cret", "--app", "hello").returncode == 0
    with contained.client() as client:
        until(lambda: client.get("/hello/").json()["secret"] == "s3cret")
        found = client.get("/-/api/v1/apps/hello/instances").json()
    assert any(one["memory_bytes"] for one in found)
    assert contained.moorage("rollback", "--app", "hello").returncode == 0
    until(lambda: version(contained) == "1")


def test_an_app_that_cannot_start_refuses_the_push_with_its_words(contained, app, docker_server):
    before = version(contained)
    commit(app, {**flask_app("broken"), "app.py": "raise RuntimeError('no database today')\n"})
    pushed = contained.push(app, "hello")
    assert pushed.returncode != 0
    assert "no database today" in pushed.stdout or "Flask" in pushed.stdout, pushed.stdout
    assert version(contained) == before
    until(lambda: len(containers(docker_server, "hello")) == 1)


def test_a_dash_app_with_nothing_to_configure(contained, tmp_path):
    source = repository(tmp_path / "src", dash_app("1"))
    pushed = contained.push(source, "dashing")
    assert pushed.returncode == 0, pushed.stdout
    with contained.client() as client:
        assert "_dash-config" in client.get("/dashing/").text
        assert "Version 1" in client.get("/dashing/_dash-layout").text


def test_deploys_go_on_and_no_request_fails_while_the_engine_is_restarted(
    contained, app, docker_server
):
    failures: list[str] = []
    count = 0
    stopping = threading.Event()

    def ask() -> None:
        nonlocal count
        with contained.client() as client:
            while not stopping.is_set():
                try:
                    answer = client.get("/hello/")
                    if answer.status_code != 200:
                        failures.append(f"{answer.status_code} {answer.text[:100]}")
                except httpx.HTTPError as error:
                    failures.append(repr(error))
                count += 1

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in range(3):
            commit(app, flask_app(f"under-load-{number}"))
            pushing = contained.start_push(app, "hello")
            docker_server.restart()
            output, _ = pushing.communicate(timeout=240)
            assert pushing.returncode == 0, output + contained.logs()
            until(lambda wanted=f"under-load-{number}": version(contained) == wanted)
    finally:
        stopping.set()
        asking.join()
    assert not failures, failures[:5]
    assert count > 100


def test_a_container_that_is_killed_is_back_at_once(contained, app, docker_server):
    until(lambda: len(containers(docker_server, "hello")) == 1)
    (name,) = containers(docker_server, "hello")
    with docker_server.client() as client:
        client.post(f"/containers{name}/kill").raise_for_status()
    killed = time.monotonic()

    def answers() -> bool:
        with contained.client() as client:
            return client.get("/hello/").status_code == 200

    until(lambda: not answers() or time.monotonic() - killed > 5)
    until(answers, 30)


def test_down_and_up_bring_back_the_apps(contained, app, docker_server):
    before = version(contained)
    assert "2 instance(s)" in contained.down()
    contained.up()
    until(lambda: version(contained) == before)


def test_destroy_leaves_nothing_behind(contained, app, docker_server):
    for name in ("hello", "dashing"):
        assert contained.moorage("destroy", "--app", name, "--confirm", name).returncode == 0
        until(lambda name=name: not containers(docker_server, name))

    def networks() -> list[str]:
        with docker_server.client() as client:
            found = client.get("/networks").json()
        return [one["Name"] for one in found if one["Labels"].get("moorage.app")]

    until(lambda: not networks(), 60)
