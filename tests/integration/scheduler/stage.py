"""The other rooms as far as the scheduler knows them, and apps of the standard library alone."""

import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from shared.events import Event, EventData, new_event
from shared.events.catalogue import BuildSucceeded

SERVER = """\
import os, sys, time, http.server
time.sleep({delay})
{extra}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            os._exit(3)
        body = {{"version": "{version}", "pid": os.getpid(), "environment": dict(os.environ)}}
        import json
        body = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
print("serving {version}", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Stage:
    """Plays builder, secrets, gateway and pusher before a real scheduler."""

    def __init__(self, home: Path, database: Any, buses: dict[str, Any]) -> None:
        self.home = home
        self.database = database
        self.buses = buses
        self.routing = True
        self.draining = True
        self.config: dict[str, Any] = {"version": 0, "wrapped_token": None}
        self.said: list[str] = []

    async def open(self) -> None:
        await self.buses["secrets"].answer("secrets.issue", self._issue)
        environment = self.home / "environments" / "plain" / "bin"
        environment.mkdir(parents=True)
        os.symlink(os.path.realpath(sys.executable), environment / "python")
        (environment.parent / "ready").touch()
        os.chmod(self.home, 0o755)

    def image(self, version: str, delay: float = 0.0, extra: str = "", command: str = "") -> str:
        manifest = {
            "kind": "custom",
            "environment": "plain",
            "source": version,
            "process_types": {"web": command or "exec python app.py"},
            "health": {"path": "/{app}/", "expect": {"status": 200, "json": True}},
            "prefix_mode": "keep",
            "prefix_env": {"SCRIPT_NAME": "/{app}"},
            "sticky": False,
            "python": "3.11",
        }
        raw = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(raw + extra.encode()).hexdigest()
        folder = self.home / "images" / digest
        (folder / "app").mkdir(parents=True, exist_ok=True)
        text = SERVER.format(version=version, delay=delay, extra=extra)
        (folder / "app" / "app.py").write_text(text)
        (folder / "manifest.json").write_bytes(raw)
        return f"sha256:{digest}"

    async def publish(self, source: str, data: EventData) -> None:
        await self.buses[source].publish(new_event(source, data))

    async def push(self, image: str, deploy_id: str, app: str = "sales") -> None:
        await self.buses["git_ingest"].on_progress(deploy_id, self.said.append)
        built = BuildSucceeded(
            app=app, deploy_id=deploy_id, build_id=f"b-{deploy_id}", image=image, kind="custom",
            process_types={"web": "x"}, commit="c" * 40, author="Ada", message="m", pusher="ada",
        )  # fmt: skip
        await self.publish("builder", built)

    async def outcome(self, deploy_id: str, seconds: float = 40.0) -> EventData:
        async def decided() -> EventData | None:
            for data in await self.events("deploy.succeeded", "deploy.failed"):
                if data.deploy_id == deploy_id:
                    return data
            return None

        return await until(decided, seconds, lambda: self.said)

    async def events(self, *types: str) -> list[Any]:
        rows = await self.database.fetch("select envelope from outbox order by position")
        found = [Event.parse(row["envelope"]) for row in rows]
        return [event.data for event in found if event.type in types]

    async def instances(self, app: str = "sales") -> dict[str, str]:
        rows = await self.database.fetch("select * from instances where app = $1", app)
        return {row["instance"]: row["state"] for row in rows}

    async def route(self, app: str = "sales") -> Any:
        return [data for data in await self.events("targets.changed") if data.app == app][-1]

    async def get(self, path: str = "/sales/", app: str = "sales") -> dict[str, Any]:
        host, _, port = (await self.route(app)).targets[0].address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return json.loads(answer.partition(b"\r\n\r\n")[2] or b"{}")

    async def be_gateway(self) -> None:
        """Says that it is there, and follows what the scheduler tells the router."""
        targets = self.buses["gateway"].bucket("targets")
        told: set[tuple[str, Any]] = set()
        beat = 0.0
        while True:
            if time.monotonic() - beat > 3:
                beat = time.monotonic()
                await targets.put("gateway.gateway-1", {"instance": "gateway-1"}, ttl=15)
            await self._follow(told)
            await asyncio.sleep(0.005)

    async def _follow(self, told: set[tuple[str, Any]]) -> None:
        from shared.events.catalogue import InstanceDrained, RouteApplied

        for data in await self.events("targets.changed"):
            facts: list[EventData] = []
            if self.routing and (data.app, data.revision) not in told:
                told.add((data.app, data.revision))
                facts.append(
                    RouteApplied(app=data.app, revision=data.revision, gateway="gateway-1")
                )
            for instance in data.retiring:
                if self.draining and (instance, "drained") not in told:
                    told.add((instance, "drained"))
                    facts.append(
                        InstanceDrained(
                            app=data.app,
                            instance=instance,
                            revision=data.revision,
                            gateway="gateway-1",
                        )
                    )
            for fact in facts:
                await self.publish("gateway", fact)

    async def _issue(self, _: dict[str, Any]) -> dict[str, Any]:
        return self.config | {"address": "", "ca_file": None, "path": ""}


async def until(condition: Any, seconds: float = 15.0, explain: Any = lambda: "") -> Any:
    """Poll an async condition until it gives something true and return that."""
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"not in time; {explain()}"
        await asyncio.sleep(0.01)
    return found
