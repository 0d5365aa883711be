"""Each part absent in turn: what needs it waits and says so, everything else goes on."""

import contextlib
import time

import httpx
import pytest

from shared.events.catalogue import ALL_SERVICES
from tests.harness.apps import flask_app
from tests.harness.platform import Platform, commit, repository, until


@pytest.fixture(scope="module")
def app(platform, tmp_path_factory):
    source = repository(tmp_path_factory.mktemp("lasting") / "src", flask_app("0"))
    pushed = platform.push(source, "lasting")
    assert pushed.returncode == 0, pushed.stdout
    return source


def answers(platform) -> bool:
    with platform.client() as client:
        return client.get("/lasting/").status_code == 200


def version(platform) -> str:
    with platform.client() as client:
        return client.get("/lasting/").json()["version"]


NEEDED = {"git_ingest", "builder", "scheduler", "router", "secrets", "nats", "postgres"}
"""Without these a push cannot be finished; without the others it need not wait."""


@pytest.mark.parametrize("service", [*ALL_SERVICES, "nats", "postgres", "openbao"])
def test_the_app_answers_while_a_part_is_away_and_a_push_waits_for_it(platform, app, service):
    name = service if service in ("nats", "postgres", "openbao") else f"{service}-1"
    new = f"without-{service}"
    commit(app, flask_app(new))
    platform.suspend(name)
    try:
        pushing = platform.start_push(app, "lasting")
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            assert answers(platform)
        assert service not in NEEDED or pushing.poll() is None, "it did not wait"
    finally:
        platform.resume(name)
    output, _ = pushing.communicate(timeout=120)
    assert pushing.returncode == 0, output
    until(lambda: version(platform) == new, 30)


STAGES = {
    "auth-1": "received",
    "builder-1": "received",
    "git_ingest-1": "received",
    "portal-1": "received",
    "scheduler-1": "Starting",
    "router-1": "Starting",
    "secrets-1": "Built",
    "gateway-1": "Starting",
    "nats": "Built",
    "postgres": "received",
    "openbao": "Built",
}
"""What the pusher's terminal says when the process is killed: the moment at which it is busy."""


@pytest.mark.parametrize("process", STAGES)
def test_kill_9_of_each_process_during_a_deploy(platform, app, process):
    new = f"killed-{process}"
    commit(app, flask_app(new))
    pushing = platform.start_push(app, "lasting")
    assert pushing.stdout
    seen = next((line for line in pushing.stdout if STAGES[process] in line), None)
    assert seen, "the push ended before the process could be killed"
    platform.kill(process)
    pushing.communicate(timeout=150)

    def converged() -> bool:
        with contextlib.suppress(httpx.HTTPError, AssertionError, ValueError):
            return answers(platform)
        return False

    until(converged, 60)
    if pushing.returncode == 0:
        until(lambda: version(platform) == new, 30)
    else:

        def pushed_again() -> bool:
            return platform.push(app, "lasting").returncode == 0

        until(pushed_again, 90, every=1)
        assert version(platform) == new
    with platform.client() as client:

        def settled() -> bool:
            found = client.get("/-/api/v1/apps/lasting/instances").json()
            return [one["state"] for one in found] == ["healthy"]

        until(settled, 90)


def test_only_the_gateway_alive(platform, app):
    """With every service and server gone, the app answers to people already signed in."""
    names = [f"{service}-1" for service in ALL_SERVICES] + ["nats", "postgres", "openbao"]
    platform.suspend("supervisor")
    try:
        for name in names:
            platform.kill(name)
        for _ in range(20):
            assert answers(platform)
        platform.kill("gateway-1")
    finally:
        platform.resume("supervisor")
    until(lambda: _answers_quietly(platform), 60)
    platform.up()


def test_everything_is_killed_at_once_and_comes_up_again(platform, app):
    """As in a power failure: nothing has a chance to say anything."""
    before = version(platform)
    platform.kill("supervisor")
    for name in [f"{service}-1" for service in ALL_SERVICES] + [
        *("gateway-1", "nats", "postgres", "openbao")
    ]:
        platform.kill(name)
    platform.up()
    until(lambda: _answers_quietly(platform), 60)
    assert version(platform) == before
    commit(app, flask_app("after-the-cut"))
    pushed = platform.push(app, "lasting")
    assert pushed.returncode == 0, pushed.stdout
    assert version(platform) == "after-the-cut"


def test_the_supervisor_is_killed_and_another_takes_over(platform, app):
    before = {name: platform.pid(name) for name in ("nats", "postgres", "gateway-1", "router-1")}
    platform.kill("supervisor")
    assert answers(platform)
    platform.up()
    assert {name: platform.pid(name) for name in before} == before


def test_down_and_up_lose_nothing(platform, app):
    assert "stopped" in platform.down()
    platform.up()
    until(lambda: _answers_quietly(platform), 60)
    assert "running already" in platform.up()


def _answers_quietly(platform) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return answers(platform)
    return False


def test_a_port_that_is_taken_is_said_at_once(platform):
    """A second platform on the same port says what to do and starts nothing."""
    other = Platform({"MOORAGE_PORT": str(platform.port)})
    try:
        done = other.try_up()
        assert done.returncode == 1
        assert f"Port {platform.port} is taken" in done.stderr
        assert not list(other.layout.run.glob("*.pid"))
    finally:
        other.remove()


def test_an_engine_that_there_is_not_is_said_at_once():
    other = Platform({"MOORAGE_ENGINE": "steam"})
    try:
        done = other.try_up()
        assert done.returncode == 1
        assert "MOORAGE_ENGINE is 'steam'" in done.stderr
    finally:
        other.remove()
