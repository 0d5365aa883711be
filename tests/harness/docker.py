"""A Docker engine of the tests' own, beside any that the machine has.

Tests kill it, freeze it and fill it, which nobody's own engine is to suffer. It has its own data,
networks and groups of processes, and leaves nothing behind.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from tests.harness import chains, remains, subnets

PLACE = Path("/tmp")
"""Whatever TMPDIR says: the names of sockets are limited to 107 characters."""
PROGRAMS = ("dockerd", "containerd", "runc", "ip", "iptables")
STORAGE = ("overlay2", "vfs")
"""The second is slow but works on every file system."""
START_SECONDS = 60.0


class Missing(Exception):
    """Something that can be installed or granted; in CI this is a fault."""


class CannotStart(Exception):
    """dockerd is there and gives up on this kind of machine; with the last that it said."""


class DockerServer:
    """An engine that a test may stop, freeze, kill and start again; its containers stay.

    One name stands for its folder, its bridge, its group of processes and its subnet. The lock says
    that its tests still run.
    """

    def __init__(self, name: str, lock: IO[bytes]) -> None:
        self.name = name
        self.folder = PLACE / name
        self.url = f"unix://{self.folder}/docker.sock"
        self._lock = lock
        self._subnet = IPv4Network(f"10.{name.rpartition('-')[2]}.0.0/{subnets.PREFIX_LENGTH}")
        self._policy = chains.forward_policy()

    @staticmethod
    def make() -> "DockerServer":
        """A new one, not started yet. Raises `Missing`."""
        _demand_the_machine()
        _remove_forsaken()
        names = (f"mrgd-{subnet.network_address.packed[1]}" for subnet in subnets.free())
        server = next(DockerServer(name, lock) for name in names if (lock := _lock(name)))
        server.folder.mkdir(mode=0o711)
        return server

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
        if self.name not in psutil.net_if_addrs():
            self._make_bridge()
        for driver in self._storage():
            self._configure(driver)
            with chains.kept(subnets.interfaces_in(self._subnet)):
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
        process = self._process()
        assert process
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def client(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=self.url.removeprefix("unix://"))
        return httpx.Client(transport=transport, base_url="http://docker", timeout=120)

    def remove(self) -> None:
        """End it and everything that came of it."""
        if self._has_run():
            with suppress(CannotStart, httpx.HTTPError):
                self._remove_objects()
        self.stop()
        remains.end_containers(self.folder)
        remains.remove_bridges(subnets.interfaces_in(self._subnet), self._policy)
        remains.remove_mounts(self.folder)
        remains.remove_cgroups(self.name)
        shutil.rmtree(self.folder)
        _unlock(self._lock)

    def _make_bridge(self) -> None:
        for words in (
            ("link", "add", self.name, "type", "bridge"),
            ("address", "add", f"{self._subnet[1]}/24", "dev", self.name),
            ("link", "set", self.name, "up"),
        ):
            subprocess.run(["ip", *words], env={"PATH": chains.PATH}, check=True)

    def _has_run(self) -> bool:
        return (self.folder / "data" / "image").exists()

    def _storage(self) -> tuple[str, ...]:
        """The drivers to try; what is stored is bound to the driver that it began with."""
        if not self._has_run():
            return STORAGE
        settings = json.loads((self.folder / "daemon.json").read_text())
        return (settings["storage-driver"],)

    def _configure(self, driver: str) -> None:
        _, pool, *_ = self._subnet.subnets(new_prefix=18)
        settings: dict[str, Any] = {
            "hosts": [self.url],
            "data-root": f"{self.folder}/data",
            "exec-root": f"{self.folder}/exec",
            "pidfile": f"{self.folder}/docker.pid",
            "storage-driver": driver,
            "live-restore": True,
            "bridge": self.name,
            "default-address-pools": [{"base": str(pool), "size": 24}],
            "cgroup-parent": f"/{self.name}",
            # systemd's would want a slice for a parent.
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        }
        (self.folder / "daemon.json").write_text(json.dumps(settings))

    def _launch(self) -> bool:
        # What an engine that was killed left; the numbers may be other processes' by now.
        for name in ("docker.pid", "exec/containerd/containerd.pid"):
            (self.folder / name).unlink(missing_ok=True)
        with (self.folder / "dockerd.log").open("ab") as log:
            process = subprocess.Popen(
                ["dockerd", "--config-file", f"{self.folder}/daemon.json"],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": _path()},
                start_new_session=True,  # the terminal's Ctrl-C is for the tests
            )
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return True
            time.sleep(0.05)
        remains.end([psutil.Process(process.pid)] if process.poll() is None else [])
        return False

    def _answers(self) -> bool:
        with suppress(httpx.HTTPError), self.client() as client:
            return client.get("/_ping", timeout=2).status_code == 200
        return False

    def _process(self) -> psutil.Process | None:
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int((self.folder / "docker.pid").read_text()))
            if f"{self.folder}/daemon.json" in process.cmdline():
                return process
        return None

    def _end(self, number: int) -> None:
        """Its containerd is its child and has to be gone too before another is started."""
        process = self._process()
        if process:
            family = [process, *process.children()]
            process.resume()
            process.send_signal(number)
            remains.end(remains.still_alive(family))

    def _remove_objects(self) -> None:
        if not self._answers():
            self.kill()
            self.start()
        with self.client() as client:
            for container in client.get("/containers/json", params={"all": True}).json():
                path = f"/containers/{container['Id']}"
                client.delete(path, params={"force": True, "v": True})
            for network in client.get("/networks").json():
                if network["Name"] not in ("bridge", "host", "none"):
                    client.delete(f"/networks/{network['Id']}")


def _demand_the_machine() -> None:
    missing = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if missing:
        raise Missing(
            f"a Docker engine for the tests needs {', '.join(missing)}; "
            "install Debian's docker.io, containerd, runc, iptables and iproute2"
        )
    if os.geteuid() != 0:
        raise Missing("a Docker engine for the tests needs root")


def _remove_forsaken() -> None:
    """Remove engines whose tests were killed before they could do it."""
    for folder in PLACE.glob("mrgd-*/"):
        lock = _lock(folder.name)
        if lock and folder.exists():
            DockerServer(folder.name, lock).remove()
        elif lock:  # others were faster
            _unlock(lock)


def _lock(name: str) -> IO[bytes] | None:
    """The open lock file, or None where another process holds it; it is free when that ends."""
    path = PLACE / f"{name}.lock"
    file = path.open("ab")
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it may have removed it just now, then what we hold locks nobody out.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    file.close()
    return None


def _unlock(lock: IO[bytes]) -> None:
    Path(lock.name).unlink()
    lock.close()


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:{chains.PATH}"
