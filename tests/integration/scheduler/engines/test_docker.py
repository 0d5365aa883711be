"""What only the Docker engine has to stand: an engine that goes away, and secrets that it keeps."""

import asyncio
import json
import socket
import subprocess

import pytest
from berth import DockerBerth, until

from deploy.embedded.credentials import free_ports
from services.scheduler.engines.protocol import Limits
from shared.errors import Unavailable

IDLE = "import os, time; os.write(1, b'up\\n'); time.sleep(600)"


NOSY = """
import socket, struct, sys
port = int(sys.argv[1])
route = [line.split() for line in open("/proc/net/route")][1:]
(gateway,) = [row[2] for row in route if row[1] == "00000000"]
gateway = socket.inet_ntoa(struct.pack("<L", int(gateway, 16)))
tries = {"gateway": gateway, "host": sys.argv[2], "metadata": "169.254.169.254"}
for name, host in tries.items():
    address = host, 80 if name == "metadata" else port
    try:
        with socket.create_connection(address, timeout=3) as one:
            print(f"{name}=reached {one.recv(100)}")
    except OSError as error:
        print(f"{name}=refused {error}")
server = socket.create_server(("0.0.0.0", 8000))
print("ready", flush=True)
one, _ = server.accept()
one.sendall(b"an app")
"""


def own_address() -> str:
    """Another address of this machine than that of a bridge: where its default route leaves."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


async def test_instances_outlive_a_restart_of_the_engine(docker_berth: DockerBerth) -> None:
    reference = await docker_berth.start(IDLE)
    await docker_berth.said("up")
    (process,) = [p for p in docker_berth.processes() if p.cmdline()[-1:] == ["app.py"]]
    await asyncio.to_thread(docker_berth.server.restart)
    assert await docker_berth.again().adopt() == {"sales.web.1-1": reference}
    assert (await docker_berth.engine.poll(reference)).state == "running"
    assert process.is_running()
    await docker_berth.engine.stop(reference, 5)
    assert (await docker_berth.engine.poll(reference)).state == "exited"


async def test_an_engine_that_is_away_is_said_and_comes_back(docker_berth: DockerBerth) -> None:
    reference = await docker_berth.start(IDLE)
    await docker_berth.said("up")
    await asyncio.to_thread(docker_berth.server.stop)
    try:
        with pytest.raises(Unavailable, match="Docker's engine does not answer"):
            await docker_berth.engine.poll(reference)
        with pytest.raises(Unavailable):
            await docker_berth.start(IDLE)
    finally:
        await asyncio.to_thread(docker_berth.server.start)
    assert (await docker_berth.engine.poll(reference)).state == "running"
    assert await docker_berth.start(IDLE) == reference


async def test_what_happens_is_told_at_once(docker_berth: DockerBerth) -> None:
    told: list[str] = []

    async def listen() -> None:
        async for instance in docker_berth.engine.changes():
            told.append(instance)

    async def count(least: int) -> None:
        async def enough() -> bool:
            return len(told) >= least

        await until(enough)

    listening = asyncio.create_task(listen())
    try:
        reference = await docker_berth.start(IDLE)
        await count(1)
        await docker_berth.engine.stop(reference, 5)
        await count(2)
        await asyncio.to_thread(docker_berth.server.restart)
        await docker_berth.start(IDLE)
        await count(3)
    finally:
        listening.cancel()
    assert set(told) == {"sales.web.1-1"}


async def test_an_app_reaches_neither_the_host_nor_metadata(docker_berth: DockerBerth) -> None:
    """The host's own services listen on all addresses, as most do; the gateway comes in."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"the host")
        writer.close()

    port = free_ports(1)[0]
    async with await asyncio.start_server(answer, "0.0.0.0", port):
        reference = await docker_berth.start(
            NOSY, command=f"exec python app.py {port} {own_address()}"
        )
        await docker_berth.said("ready")
        reader, _ = await asyncio.open_connection(reference["host"], 8000)
        assert await reader.read() == b"an app"
    found = dict(line.split("=", 1) for line in await docker_berth.lines() if "=" in line)
    assert found.keys() == {"gateway", "host", "metadata"}
    assert all(said.startswith("refused") for said in found.values()), found


async def test_an_app_with_all_its_processes_is_stopped(docker_berth: DockerBerth) -> None:
    """Nothing more can be begun in its container, not even what would ask it to end."""
    full = """
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(600)
    except OSError:
        print("full", flush=True)
        break
time.sleep(600)
"""
    reference = await docker_berth.start(full, limits=Limits(processes=20))
    await docker_berth.said("full")
    await docker_berth.engine.stop(reference, 3)
    assert (await docker_berth.engine.poll(reference)).state == "exited"
    assert docker_berth.processes() == []


async def test_files_in_a_volume_are_the_apps_own_and_stay(docker_berth: DockerBerth) -> None:
    docker_berth.engine._settings.docker_data = "volume"
    code = "open('/data/kept', 'a').write('x'); print(open('/data/kept').read(), flush=True)"
    for written in ("x", "xx"):
        reference = await docker_berth.start(code)
        await docker_berth.ended(reference)
        assert (await docker_berth.lines())[-1] == written
        await docker_berth.engine.remove("sales.web.1-1")
    with docker_berth.server.client() as client:
        volumes = client.get("/volumes").json()["Volumes"] or []
        mine = [one["Name"] for one in volumes if one["Name"].endswith("sales-data")]
        assert len(mine) == 1
        client.delete(f"/volumes/{mine[0]}").raise_for_status()


async def test_the_engine_knows_no_secret(docker_berth: DockerBerth) -> None:
    await docker_berth.start(IDLE, environment={"PASSWORD": "canary-5a1d"})
    await docker_berth.said("up")
    with docker_berth.server.client() as client:
        shown = client.get("/containers/json").json()
        (container,) = [one for one in shown if "sales.web.1-1" in one["Names"][0]]
        inspected = client.get(f"/containers/{container['Id']}/json").json()
    assert "canary-5a1d" not in json.dumps(inspected)
    found = subprocess.run(
        ["grep", "-rl", "canary-5a1d", f"{docker_berth.server.folder}/data/containers"],
        capture_output=True,
        text=True,
    )
    assert found.stdout == ""
