"""What operators and scripts do: the CLI, several processes of one service, one trace."""

import asyncio
import json
import subprocess
import sys

import asyncpg
import pytest

from deploy.embedded import postgres, probes
from deploy.embedded.layout import CHECKOUT
from deploy.embedded.platform import service_environment
from shared.events.catalogue import ALL_SERVICES
from tests.harness.apps import flask_app
from tests.harness.platform import commit, git, repository, until


@pytest.fixture(scope="module")
def app(platform, tmp_path_factory):
    source = repository(tmp_path_factory.mktemp("ops") / "src", flask_app("1"))
    pushed = platform.push(source, "operated")
    assert pushed.returncode == 0, pushed.stdout
    return source


def test_the_verbs_of_the_cli(platform, app):
    def ran(*arguments):
        done = platform.moorage(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "admin" in ran("whoami")
    assert "operated" in ran("apps")
    assert json.loads(ran("info", "--app", "operated", "--json"))["name"] == "operated"
    assert "web" in ran("ps", "--app", "operated")
    ran("config", "set", "--app", "operated", "GREETING=hello there")
    with platform.client() as client:
        until(lambda: client.get("/operated/").json()["greeting"] == "hello there")
    assert "hello there" in ran("config", "--app", "operated")
    ran("secrets", "set", "--app", "operated", "API_KEY=canary-value")
    assert "canary-value" not in ran("secrets", "--app", "operated")
    assert "v1" in ran("releases", "--app", "operated")
    assert "gunicorn" in ran("logs", "--app", "operated")
    assert "Python 3" in ran("run", "--app", "operated", "--", "python", "-V")
    done = platform.moorage("run", "--app", "operated", "--", "sh", "-c", "exit 3")
    assert done.returncode == 3
    ran("access", "set", "signed-in", "--app", "operated")
    ran("restart", "--app", "operated")
    assert "auth" in ran("status")
    ran("events")
    assert json.loads(ran("dead-letters", "--json")) == []


def test_mistakes_are_one_line_that_says_what_to_do(platform, app):
    for arguments, status in (
        (("info", "--app", "no-such-app"), 1),
        (("config", "set", "--app", "operated", "not a pair"), 2),
        (("no-such-verb",), 2),
        (("rollback", "v99", "--app", "operated"), 1),
    ):
        done = platform.moorage(*arguments)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_repository_is_deployed(platform, tmp_path):
    folder = tmp_path / "plain-folder"
    folder.mkdir()
    for name, text in flask_app("folder").items():
        (folder / name).write_text(text)
    done = platform.moorage("deploy", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["app.py", "requirements.txt"]
    (folder / "app.py").write_text(flask_app("folder-2")["app.py"])
    done = platform.moorage("deploy", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    with platform.client() as client:
        assert client.get("/plain-folder/").json()["version"] == "folder-2"


def test_destroy_leaves_nothing_behind(platform, tmp_path):
    source = repository(tmp_path / "src", flask_app("1"))
    assert platform.push(source, "doomed").returncode == 0
    done = platform.moorage("destroy", "--app", "doomed", "--confirm", "doomed")
    assert done.returncode == 0, done.stdout + done.stderr
    with platform.client() as client:
        until(lambda: client.get("/doomed/", headers={"Accept": "text/html"}).status_code == 404)
        until(lambda: client.get("/-/api/v1/apps/doomed/instances").status_code == 404)
    until(lambda: not list((platform.layout.home / "run" / "instances").glob("doomed.*")))
    assert "not found" in git(source, "ls-remote", platform.git_url("doomed")).stdout.lower()
    # The name is free again, and what comes under it is a new app.
    assert platform.push(source, "doomed").returncode == 0


@pytest.mark.parametrize("service", ALL_SERVICES)
def test_two_of_one_service_side_by_side(platform, app, service):
    """The second takes over at once when the first is killed and kept from coming back."""
    second = f"{service}-2"
    log = (platform.layout.logs / f"{second}.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", f"services.{service}"],
        cwd=CHECKOUT,
        env={
            **service_environment(platform.layout, service, second),
            "MOORAGE_HOME": str(platform.layout.home),
            "MOORAGE_PUBLIC_URL": platform.url,
        },
        stdout=log,
        stderr=log,
    )
    try:
        socket = platform.layout.socket(second)
        asyncio.run(probes.wait_for(second, lambda: probes.is_ready(socket), 30))
        commit(app, flask_app(f"both-{service}"))
        pushed = platform.push(app, "operated")
        assert pushed.returncode == 0, pushed.stdout
        platform.suspend("supervisor")
        try:
            platform.kill(f"{service}-1")
            commit(app, flask_app(f"second-{service}"))

            def goes_through():
                return platform.push(app, "operated").returncode == 0

            until(goes_through, 60, every=1)
        finally:
            platform.resume("supervisor")
        with platform.client() as client:
            assert client.get("/operated/").json()["version"] == f"second-{service}"
        until(lambda: asyncio.run(probes.is_ready(platform.layout.socket(f"{service}-1"))), 60)
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def test_one_trace_covers_the_whole_way_of_a_push(platform, app):
    commit(app, flask_app("traced"))
    assert platform.push(app, "operated").returncode == 0
    traces = asyncio.run(_traces_of_the_last_push(platform))
    wanted = {"app.pushed", "build.succeeded", "release.created", "targets.changed"}
    assert wanted | {"deploy.succeeded"} <= traces.keys()
    assert len(set(traces.values())) == 1, traces


async def _traces_of_the_last_push(platform) -> dict[str, str]:
    """Trace id by event type, of the newest event of each type of the app "operated"."""
    password = (platform.layout.keys / "postgres-postgres").read_text()
    connection = await asyncpg.connect(postgres.url(platform.layout, "postgres"), password=password)
    found: dict[str, str] = {}
    types = ("app.pushed", "build.succeeded", "release.created", "deploy.succeeded")
    for service in ("git_ingest", "builder", "scheduler"):
        rows = await connection.fetch(f'select envelope from "{service}".outbox order by position')
        events = [json.loads(row["envelope"]) for row in rows]
        for event in events:
            if event["subject"] != "operated":
                continue
            if event["type"] in types or (
                event["type"] == "targets.changed" and len(event["data"]["retiring"]) == 1
            ):
                found[event["type"]] = (event.get("traceparent") or "--").split("-")[1]
    await connection.close()
    return found


def test_the_platform_says_that_it_does_not_limp(platform):
    with platform.client() as client:
        states = {row["service"]: row["state"] for row in client.get("/-/api/v1/status").json()}
    assert states.keys() >= {*ALL_SERVICES, "gateway"}
    assert set(states.values()) == {"running"}
