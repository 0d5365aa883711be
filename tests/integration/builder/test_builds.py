"""The builder's own process against real servers and a real package index."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.builder.api import router
from shared.events import new_event
from shared.events.catalogue import PushCancelled
from shared.http import api
from shared.identity import (
    HEADER,
    AppRole,
    Caller,
    Callers,
    Signer,
    identity_claims,
    new_key,
    public_part,
)
from tests.integration.builder.pushes import Pusher, build_of, ended, eventually, published

pytestmark = pytest.mark.asyncio

FLASK = """\
from flask import Flask

app = Flask(__name__)

@app.get("/")
def home():
    return "{}"
"""


def flask_app(word: str = "hello", **more: str) -> dict[str, str]:
    return {"app.py": FLASK.format(word), "requirements.txt": "flask==3.1.3\n", **more}


@pytest.fixture
async def pusher(bus_for: Any, tmp_path: Path) -> Pusher:
    return Pusher(await bus_for("git_ingest"), tmp_path)


def nothing_left_behind(home: Path) -> bool:
    hidden = [*(home / "environments").glob(".*"), *(home / "images").glob(".*")]
    return not hidden and not list((home / "builds").iterdir())


async def test_push_to_image(
    pusher: Any, start_service: Any, database_for: Any, layout: Any
) -> None:
    await start_service("builder")
    database = await database_for("builder")
    deploy = await pusher.push("sales", flask_app())
    row = await ended(database, deploy)
    said = pusher.lines[deploy]
    assert row["state"] == "succeeded", (row["reason"], said)
    assert said[0] == "-----> Flask app found in app.py (app: app:app)"
    assert "       Adding gunicorn==27.0.1, which requirements.txt does not name" in said
    assert any(line.startswith("-----> Installing ") for line in said)

    image = layout.home / "images" / row["image"].removeprefix("sha256:")
    manifest = json.loads((image / "manifest.json").read_text())
    environment = layout.home / "environments" / manifest["environment"]
    assert (environment / "ready").exists()
    assert list(environment.glob("lib/*/site-packages/flask/__pycache__/app.*.pyc"))
    await _answers(environment, image, manifest)
    assert nothing_left_behind(layout.home)

    again = await pusher.push("sales", flask_app("again"))
    row = await ended(database, again)
    said = pusher.lines[again]
    assert "-----> Environment unchanged: reused" in said
    assert not any("Installing" in line for line in said)
    assert [event.type for event in await published(database, again)] == [
        "build.started",
        "build.succeeded",
    ]


async def _answers(environment: Path, image: Path, manifest: dict[str, Any]) -> None:
    """The command of the image starts the app as the manifest says."""
    port = "18473"
    names = {"app": "sales", "port": port, "host": "127.0.0.1"}
    prefix = {name: text.format(**names) for name, text in manifest["prefix_env"].items()}
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        manifest["process_types"]["web"],
        cwd=image / "app",
        env={"PATH": f"{environment}/bin:/usr/bin:/bin", "PORT": port, "HOME": "/tmp", **prefix},
    )
    path = manifest["health"]["path"].format(**names)
    async with httpx.AsyncClient() as client:

        async def read() -> str:
            try:
                return (await client.get(f"http://127.0.0.1:{port}{path}")).text
            except httpx.TransportError:
                return ""

        await eventually(read, lambda text: text == "hello")
    process.terminate()
    await process.wait()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"README.md": "x"}, "no Python file"),
        ({"app.py": "def f(:\n", "requirements.txt": "flask\n"}, "app.py line 1 ('def f(:')"),
        ({"app.py": FLASK}, "add a requirements.txt"),
        (
            flask_app(**{"requirements.txt": "flask==99.9\n"}),
            "asks for flask==99.9, a version that",
        ),
        (flask_app(**{"requirements.txt": "six\n"}), "add 'flask' to requirements.txt"),
        (flask_app(Procfile="wbe: gunicorn app:app\n"), "did you mean 'web'?"),
        (flask_app(**{"runtime.txt": "python-3.2\n"}), "which this server does not have"),
    ],
    ids=["no-app", "syntax", "no-requirements", "version", "lacking", "procfile", "python"],
)
async def test_bad_input(
    pusher: Any, start_service: Any, database_for: Any, layout: Any, files: Any, said: str
) -> None:
    await start_service("builder")
    database = await database_for("builder")
    deploy = await pusher.push("sales", files)
    row = await ended(database, deploy)
    assert row["state"] == "failed"
    assert said in row["reason"]
    assert "\n" not in row["reason"]
    assert (await published(database, deploy))[-1].data.reason == row["reason"]
    assert nothing_left_behind(layout.home)


async def test_cancelling_leaves_nothing(
    pusher: Any, start_service: Any, database_for: Any, layout: Any, silent_index: str
) -> None:
    """A push is cancelled while uv waits for an index that never answers."""
    await start_service("builder")
    database = await database_for("builder")
    files = flask_app(**{"requirements.txt": f"--index-url {silent_index}\nflask\n"})
    deploy = await pusher.push("sales", files)
    await eventually(lambda: _uv_of(layout.home), bool)
    cancelled = PushCancelled(app="sales", deploy_id=deploy, reason="disconnected")
    await pusher.bus.publish(new_event("git_ingest", cancelled))
    assert (await ended(database, deploy))["state"] == "cancelled"
    await eventually(lambda: _uv_of(layout.home), lambda found: not found)
    await eventually(lambda: _left(layout.home), lambda clean: clean)


async def test_a_killed_builder_is_replaced(
    pusher: Any, start_service: Any, database_for: Any, layout: Any, silent_index: str
) -> None:
    """Killed in the middle of a build; another one finishes it and nothing is left behind."""
    keeper = await start_service("builder", builder_tidy_seconds="1")
    database = await database_for("builder")
    files = flask_app(**{"requirements.txt": f"--index-url {silent_index}\nflask\n"})
    deploy = await pusher.push("sales", files)
    await eventually(lambda: _uv_of(layout.home), bool)
    keeper._signal(signal.SIGKILL)
    for pid in await _uv_of(layout.home):
        os.kill(pid, signal.SIGKILL)
    row = await eventually(
        lambda: build_of(database, deploy), lambda row: row["attempt"] == 2, seconds=40
    )
    assert row["rescues"] == 1
    await eventually(lambda: _only(layout.home, f"{row['id']}.2"), bool)


@pytest.fixture
async def silent_index() -> Any:
    """A package index that accepts connections and never answers."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/simple"
    server.close()


async def _uv_of(home: Path) -> list[int]:
    """Processes that install into this home."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"install" in line and str(home).encode() in line:
                found.append(int(entry.name))
    return found


async def _left(home: Path) -> bool:
    return nothing_left_behind(home)


async def _only(home: Path, name: str) -> bool:
    return [path.name for path in (home / "builds").iterdir()] == [name]


async def test_api(bus_for: Any, database_for: Any, pusher: Any, start_service: Any) -> None:
    await start_service("builder")
    database = await database_for("builder")
    deploy = await pusher.push("sales", {"README.md": "x"})
    row = await ended(database, deploy)
    key = new_key()
    auth = await bus_for("auth")
    bucket = auth.bucket("signing-keys")
    entry = {
        "kid": key["kid"],
        "use": "identity",
        "jwk": public_part(key),
        "not_after": time.time() + 60,
    }
    await bucket.put(key["kid"], entry)
    callers = Callers(bucket)
    watching = asyncio.create_task(callers.watch())
    application = api("builder")
    application.include_router(router(database, callers))
    transport = httpx.ASGITransport(app=application)

    def who(role: AppRole) -> dict[str, str]:
        caller = Caller("ada", app="sales", app_role=role)
        return {HEADER: Signer(key).sign(identity_claims(caller, "platform"))}

    async with httpx.AsyncClient(transport=transport, base_url="http://builder") as client:
        path = "/-/api/v1/apps/sales/builds"

        async def listed() -> httpx.Response:
            return await client.get(path, headers=who(AppRole.COLLABORATOR))

        (build,) = (await eventually(listed, lambda answer: answer.status_code == 200)).json()
        assert (build["state"], build["reason"]) == ("failed", row["reason"])
        log = await client.get(
            f"{path}/{build['id']}/log?follow=1", headers=who(AppRole.COLLABORATOR)
        )
        assert log.status_code == 200
        assert (await client.get(path, headers=who(AppRole.VIEWER))).status_code == 403
        assert (await client.get(path)).status_code == 401
        absent = await client.get(f"{path}/none/log", headers=who(AppRole.OWNER))
        assert absent.status_code == 404
        other = await client.get(
            f"/-/api/v1/apps/other/builds/{build['id']}/log", headers=who(AppRole.OWNER)
        )
        assert other.status_code == 404
    watching.cancel()
