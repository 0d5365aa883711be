"""The tests' own engine: what it promises to tests, and that it leaves nothing behind."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.harness import app_image
from tests.harness.docker import DockerServer
from tests.harness.platform import until

SLEEP = {"Image": app_image.NAME, "Cmd": ["sleep", "600"], "StopSignal": "SIGKILL"}


@contextmanager
def server_of_its_own() -> Iterator[DockerServer]:
    server = DockerServer()
    try:
        server.start()
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


def traces(*names: str) -> list[str]:
    """Whatever on this machine bears one of the names: files, groups, mounts, interfaces, rules."""
    listed = [*map(str, Path("/tmp").iterdir()), *map(str, Path("/sys/fs/cgroup").glob("*/*"))]
    listed += Path("/proc/self/mountinfo").read_text().splitlines()
    listed += psutil.net_if_addrs()
    listed += subprocess.run(["iptables-save"], capture_output=True, text=True).stdout.splitlines()
    listed += [
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    ]
    return [line for line in listed if any(name in line for name in names)]


@pytest.mark.parametrize("dead", [False, True], ids=["alive", "killed"])
def test_nothing_is_left(docker_server: DockerServer, dead: bool) -> None:
    with server_of_its_own() as server:
        with server.client() as client:
            options = {"com.docker.network.bridge.name": f"{server.bridge}-1"}
            network = {"Name": "one", "Options": options}
            client.post("/networks/create", json=network).raise_for_status()
        process = pid(server, run(server, HostConfig={"NetworkMode": "one"}))
        names = (str(server.folder), server.bridge, server.cgroup)
        assert len(traces(*names)) > 10
        if dead:
            server.kill()
    assert traces(*names) == []
    assert not psutil.pid_exists(process)
    assert docker_server.bridge in "".join(traces(docker_server.bridge)), "others lose nothing"


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

    def rules() -> list[str]:
        return [line for line in traces(docker_server.bridge) if line.startswith("-A")]

    before = rules()
    assert any("ISOLATION" in rule for rule in before)
    with server_of_its_own() as other:
        assert not other.networks.overlaps(docker_server.networks)
        assert sorted(rules()) == sorted(before)
    assert sorted(rules()) == sorted(before)
