"""The skeleton of a process: what it refuses, what it reports, how it stops."""

import asyncio
import gzip
import json
import os
import subprocess
import sys

import asyncpg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from deploy.embedded import nats, probes
from deploy.embedded.credentials import free_ports
from deploy.embedded.layout import CHECKOUT
from deploy.embedded.platform import service_environment
from shared.events import new_event
from shared.events.catalogue import AppCreated


async def until(condition, seconds: float = 30.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition was never met"
        await asyncio.sleep(0.05)


async def test_a_bus_that_does_not_sync_every_write_is_refused(layout, test_database, monkeypatch):
    port = free_ports(1)[0]
    careless = nats.configuration(layout, port)
    del careless["jetstream"]["sync_interval"]
    monkeypatch.setattr(nats, "configuration", lambda *_: careless)
    server = subprocess.Popen(nats.command(layout, port), stderr=subprocess.DEVNULL)
    environment = service_environment(layout, "router", "router-1") | {
        "MOORAGE_NATS_URL": f"tls://127.0.0.1:{port}",
        "MOORAGE_DATABASE_URL": test_database.url("router"),
        "MOORAGE_DATABASE_PASSWORD_FILE": str(test_database.password_file("router")),
    }
    try:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "services.router"],
            env=environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=40,
        )
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("router cannot run here")
    assert "sync_interval: always" in said


def test_missing_settings_are_named_in_one_sentence():
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-m", "services.router"],
        env=environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "MOORAGE_NATS_URL" in done.stderr
    assert "Traceback" not in done.stderr


async def test_spans_leave_the_process_with_the_trace_of_the_event(start_service, bus_for):
    received: list[ExportTraceServiceRequest] = []

    async def collect(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        if "content-encoding: gzip" in head:
            body = gzip.decompress(body)
        received.append(ExportTraceServiceRequest.FromString(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    port = free_ports(1)[0]
    async with await asyncio.start_server(collect, "127.0.0.1", port):
        await start_service("router", otlp_endpoint=f"http://127.0.0.1:{port}")
        event = new_event("portal", AppCreated(app="sales", owner="ada"))
        trace = "0af7651916cd43dd8448eb211c80319c"
        object.__setattr__(event, "traceparent", f"00-{trace}-b7ad6b7169203331-01")
        await (await bus_for("portal")).publish(event)

        def arrived():
            return any(
                span.name == "handle app.created" and span.trace_id.hex() == trace
                for request in received
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            )

        await until(arrived)


async def test_a_process_is_alive_before_it_is_ready_and_stops_in_order(
    layout, nats_server, test_database, start_service
):
    keeper = await start_service("router")
    log = layout.logs / f"{keeper.child.name}.log"
    assert await probes.is_ready(layout.socket("router-1"))
    nats_server.kill()

    async def not_ready():
        return not await probes.is_ready(layout.socket("router-1"))

    await probes.wait_for("unready router", not_ready, 10)
    nats_server.start()
    await probes.wait_for("router", lambda: probes.is_ready(layout.socket("router-1")), 20)
    await keeper.stop()
    said = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert said.index("ready") < said.index("stopped")


@pytest.mark.parametrize("name", ["builder", "auth"])
async def test_another_service_s_tables_are_closed(database_for, name):
    await database_for("portal")
    database = await database_for(name)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.fetch("select * from portal.outbox")


async def test_a_lease_passes_on_when_its_holder_dies(database_for):
    first, second = await database_for("router"), await database_for("router")
    held: list[str] = []

    async def hold(database, who):
        async with database.lease("duty") as lost:
            held.append(who)
            await lost.wait()
            held.append(f"{who} lost it")

    one = asyncio.create_task(hold(first, "first"))
    await until(lambda: held == ["first"])
    other = asyncio.create_task(hold(second, "second"))
    await second.execute(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
    )
    await until(lambda: "second" in held and "first lost it" in held)
    one.cancel()
    other.cancel()
