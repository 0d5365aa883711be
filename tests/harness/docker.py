"""A Docker engine of the tests' own, beside any that the machine has.

Tests kill it, freeze it and fill it, which nobody's own engine is to suffer. It has its own data,
networks and groups of processes, all found by one mark, and leaves nothing behind.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.harness import chains

TAKEN_FROM = IPv4Network("10.160.0.0/11")
"""Each engine takes a /16 of these: far from the usual networks, and from the platform's own."""
PROGRAMS = ("dockerd", "containerd", "runc", "ip", "iptables")
STORAGE = ("overlay2", "vfs")
"""The second is slow but works on every file system."""
START_SECONDS = 60.0
END_SECONDS = 30.0


class Missing(Exception):
    """Something that can be installed or granted; in CI this is a fault."""


class CannotStart(Exception):
    """dockerd is there and gives up on this kind of machine; with the last that it said."""


class DockerServer:
    """An engine that a test may stop, freeze, kill and start again; its containers stay."""

    def __init__(self) -> None:
        """Raises `Missing`."""
        _demand_the_machine()
        # Sockets below it must stay within 107 characters, whatever TMPDIR says.
        self.folder = Path(tempfile.mkdtemp(prefix="mrgd-", dir="/tmp"))
        mark = secrets.token_hex(3)
        self.url = f"unix://{self.folder}/docker.sock"
        self.bridge = f"mrgd{mark}"
        self.cgroup = f"mrgd-{mark}"
        self._subnet = _free_subnet()
        bridge, pool, *_ = self._subnet.subnets(new_prefix=18)
        self._address = f"{bridge[1]}/24"
        self._pool = pool
        self._policy = chains.forward_policy()
        self._process: psutil.Popen | None = None

    @property
    def networks(self) -> IPv4Network:
        """Addresses for a platform's own networks (`docker_networks`); no other engine has them."""
        return list(self._subnet.subnets(new_prefix=17))[1]

    @property
    def log(self) -> str:
        """The last lines that dockerd wrote."""
        path = self.folder / "dockerd.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line[:300] for line in lines[-12:])

    def start(self) -> None:
        """Start, and return when it answers. Raises `CannotStart`."""
        if not self._has_bridge():
            _run("ip", "link", "add", self.bridge, "type", "bridge")
            _run("ip", "address", "add", self._address, "dev", self.bridge)
            _run("ip", "link", "set", self.bridge, "up")
        drivers = [self.storage] if self._configured() else STORAGE
        for driver in drivers:
            self._configure(driver)
            with chains.kept(self._bridges()):
                started = self._launch()
            if started:
                return
        raise CannotStart(f"dockerd does not start on this machine; its last words:\n{self.log}")

    def stop(self) -> None:
        """End dockerd in order, as an upgrade of it does; containers run on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End dockerd at once; containers run on."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextmanager
    def lost(self) -> Iterator[None]:
        """Within, dockerd takes connections and answers nothing."""
        assert self._process
        self._process.suspend()
        try:
            yield
        finally:
            self._process.resume()

    def client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=self.url.removeprefix("unix://"))
        return httpx.Client(transport=transport, base_url="http://docker", timeout=120)

    def remove(self) -> None:
        """End it and everything that came of it."""
        with suppress(CannotStart, httpx.HTTPError):
            if not self._answers():
                self.kill()
                self.start()
            self._remove_objects()
        self.stop()
        self._end_shims()
        self._remove_network()
        self._remove_mounts()
        _remove_cgroups(self.cgroup)
        shutil.rmtree(self.folder)

    @property
    def storage(self) -> str:
        return json.loads(self._configuration.read_text())["storage-driver"]

    @property
    def _configuration(self) -> Path:
        return self.folder / "daemon.json"

    def _configured(self) -> bool:
        """It has run before, so what it stores is bound to its driver."""
        return (self.folder / "data" / "image").exists()

    def _configure(self, driver: str) -> None:
        settings = {
            "hosts": [self.url],
            "data-root": f"{self.folder}/data",
            "exec-root": f"{self.folder}/exec",
            "pidfile": f"{self.folder}/docker.pid",
            "storage-driver": driver,
            "live-restore": True,
            "bridge": self.bridge,
            "default-address-pools": [{"base": str(self._pool), "size": 24}],
            "cgroup-parent": f"/{self.cgroup}",
            # systemd's would want a slice for a parent.
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        }
        self._configuration.write_text(json.dumps(settings))

    def _launch(self) -> bool:
        # What an engine that was killed left; its number may be another process's by now.
        (self.folder / "docker.pid").unlink(missing_ok=True)
        with (self.folder / "dockerd.log").open("ab") as log:
            self._process = psutil.Popen(
                ["dockerd", "--config-file", str(self._configuration)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": _path()},
                start_new_session=True,  # the terminal's Ctrl-C is for the tests
            )
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.05)
        self.kill()
        return False

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError), self.client() as client:
            return client.get("/_ping", timeout=2).status_code == 200
        return False

    def _end(self, number: int) -> None:
        """Its containerd is its child and has to be gone too before another is started."""
        if not self._process or not self._process.is_running():
            return
        family = [self._process, *self._process.children()]
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        _, alive = psutil.wait_procs(family, timeout=END_SECONDS)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=END_SECONDS)
        self._process = None

    def _remove_objects(self) -> None:
        with self.client() as client:
            for container in client.get("/containers/json", params={"all": True}).json():
                path = f"/containers/{container['Id']}"
                client.delete(path, params={"force": True, "v": True})
            for network in client.get("/networks").json():
                if network["Name"] not in ("bridge", "host", "none"):
                    client.delete(f"/networks/{network['Id']}")

    def _end_shims(self) -> None:
        """A container's own parent, where the engine was not there to end it."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if f"{self.folder}/exec/containerd/containerd.sock" in process.cmdline():
                    for one in (*process.children(recursive=True), process):
                        one.kill()

    def _remove_network(self) -> None:
        bridges = self._bridges()
        for bridge in bridges:
            _run("ip", "link", "delete", bridge)
        chains.clear(bridges, self._policy)

    def _has_bridge(self) -> bool:
        return self.bridge in psutil.net_if_addrs()

    def _bridges(self) -> set[str]:
        """Every interface that has one of our addresses."""
        return {name for name, net in _interfaces() if net.overlaps(self._subnet)}

    def _remove_mounts(self) -> None:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        places = [line.split()[4] for line in lines]
        for place in reversed([place for place in places if place.startswith(f"{self.folder}/")]):
            _run("umount", "--lazy", place)


def _demand_the_machine() -> None:
    missing = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if missing:
        raise Missing(
            f"a Docker engine for the tests needs {', '.join(missing)}; "
            "install Debian's docker.io, containerd, runc, iptables and iproute2"
        )
    if os.geteuid() != 0:
        raise Missing("a Docker engine for the tests needs root")


def _free_subnet() -> IPv4Network:
    taken = [net for _, net in _interfaces()] + _routed()
    places = [
        place
        for place in TAKEN_FROM.subnets(new_prefix=16)
        if not any(place.overlaps(net) for net in taken)
    ]
    # Any of them: two engines may be looking at the same time.
    return secrets.choice(places)


def _interfaces() -> Iterator[tuple[str, IPv4Network]]:
    for name, addresses in psutil.net_if_addrs().items():
        for one in addresses:
            if one.family == socket.AF_INET:
                yield name, IPv4Network(f"{one.address}/{one.netmask}", strict=False)


def _routed() -> list[IPv4Network]:
    routes: list[dict[str, Any]] = json.loads(_run("ip", "-json", "-4", "route"))
    return [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


def _remove_cgroups(name: str) -> None:
    for top in (*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")):
        for folder, _, _ in os.walk(top, topdown=False):
            os.rmdir(folder)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": _path()})
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{chains.PATH}"
