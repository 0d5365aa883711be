"""The tests' own engine: what it promises to tests, and that it leaves nothing behind."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.embedded.layout import CHECKOUT
from tests.harness import app_image, chains
from tests.harness.docker import PLACE, DockerServer
from tests.harness.platform import until
from tests.harness.remains import CGROUPS

SLEEP = {"Image": app_image.NAME, "Cmd": ["sleep", "600"], "StopSignal": "SIGKILL"}


FORSAKEN = """
import os, signal
from tests.integration.docker.test_server import DockerServer, app_image, run
server = DockerServer.make()
server.start()
app_image.ensure(server)
run(server)
print(server.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@contextmanager
def server_of_its_own(image: bool = False) -> Iterator[DockerServer]:
    server = DockerServer.make()
    try:
        server.start()
        if image:
            app_image.ensure(server)
        yield server
    finally:
        server.remove()


def run(server: DockerServer, **more: object) -> str:
    with server.client() as client:
        created = client.post("/containers/create", json={**SLEEP, **more})
        assert created.status_code == 201, created.text
        name = created.json()["Id"]
        started = client.post(f"/containers/{name}/start")
        assert started.status_code == 204, started.text
    return name


def pid(server: DockerServer, container: str) -> int:
    with server.client() as client:
        return client.get(f"/containers/{container}/json").json()["State"]["Pid"]


def traces(name: str) -> list[str]:
    """All that bears the name: files, groups, mounts, interfaces, processes, rules."""
    folders = [*PLACE.iterdir(), *CGROUPS.iterdir(), *CGROUPS.glob("*/*")]
    listed = [str(folder) for folder in folders]
    listed += Path("/proc/self/mountinfo").read_text().splitlines()
    listed += psutil.net_if_addrs()
    listed += [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    return [line for line in listed if name in line] + rules(name)


def rules(bridge: str) -> list[str]:
    """Those of the packet filter about a bridge."""
    with chains.alone():
        saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True)
    return sorted(line for line in saved.stdout.splitlines() if bridge in line)


@pytest.mark.parametrize("dead", [False, True], ids=["alive", "killed"])
def test_nothing_is_left(dead: bool) -> None:
    with server_of_its_own(image=True) as server:
        with server.client() as client:
            options = {"com.docker.network.bridge.name": f"{server.name}-1"}
            network = {"Name": "one", "Options": options}
            client.post("/networks/create", json=network).raise_for_status()
        process = pid(server, run(server, HostConfig={"NetworkMode": "one"}))
        assert len(traces(server.name)) > 20
        if dead:
            server.kill()
    assert traces(server.name) == []
    assert not psutil.pid_exists(process)


def test_what_killed_tests_left_is_removed_by_the_next() -> None:
    command = [sys.executable, "-c", FORSAKEN]
    killed = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    name = killed.stdout.strip()
    assert len(traces(name)) > 20
    with server_of_its_own() as server:
        assert server.name == name or traces(name) == []


def test_containers_run_on_while_the_engine_is_restarted(docker_server: DockerServer) -> None:
    container = run(docker_server)
    before = pid(docker_server, container)
    docker_server.restart()
    assert pid(docker_server, container) == before
    docker_server.kill()
    assert psutil.pid_exists(before)
    docker_server.start()
    assert pid(docker_server, container) == before
    with docker_server.client() as client:
        client.delete(f"/containers/{container}", params={"force": True})


def test_a_lost_engine_answers_nothing_until_it_is_back(docker_server: DockerServer) -> None:
    with docker_server.lost(), docker_server.client() as client, pytest.raises(httpx.ReadTimeout):
        client.get("/_ping", timeout=0.5)
    with docker_server.client() as client:
        assert until(lambda: client.get("/_ping").status_code == 200)


def test_two_engines_share_a_machine(docker_server: DockerServer) -> None:
    """The one that starts does not take the other's rules of the packet filter."""
    before = rules(docker_server.name)
    assert any("ISOLATION" in rule for rule in before)
    with server_of_its_own() as other:
        assert not other.networks.overlaps(docker_server.networks)
        assert rules(docker_server.name) == before
    assert rules(docker_server.name) == before
