"""The proxies, each as its own manual would set it up for many kept connections on one core."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from deploy.embedded.credentials import free_ports
from deploy.embedded.layout import CHECKOUT
from tests.bench.gateway import cores, tools
from tests.bench.gateway.people import HOST

START_SECONDS = 60.0


class Server:
    """A child process, pinned, with its output in a file."""

    name: ClassVar[str] = "server"

    def __init__(self, folder: Path, port: int, on: Sequence[int]) -> None:
        self.folder = folder
        self.port = port
        self._on = on
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pin(self, on: Sequence[int]) -> None:
        """Run everything of it on these cores from now on."""
        for process in cores.descendants(self.pid):
            cores.pin(process.pid, on)

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                preexec_fn=lambda: os.sched_setaffinity(0, self._on),
            )
        self._wait_for_port()

    def prepare(self) -> None:
        """Write what the process reads before it starts."""

    def stop(self) -> None:
        if self._process is None:
            return
        family = cores.descendants(self.pid) if self._process.poll() is None else []
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in family[1:]:
            with contextlib.suppress(Exception):
                process.kill()
        self._process = None

    def _wait_for_port(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self._last_words()}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.02)

    def _last_words(self) -> str:
        return (self.folder / "output").read_text(errors="replace")[-3000:]


class Backend(Server):
    name = "backend"

    def __init__(self, folder: Path, ports: Sequence[int], on: Sequence[int]) -> None:
        super().__init__(folder, ports[0], on)
        self._ports = ports
        self.second_port = ports[-1]

    @property
    def command(self) -> list[str]:
        ports = [str(port) for port in self._ports]
        return [sys.executable, "-m", "tests.bench.gateway.backend", *ports]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(CHECKOUT)}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


class QuickBackend(Server):
    """Answers every path with 1 KB, in C: where even a cheap Python backend takes too much of the
    core that it shares with the load."""

    name = "quick-backend"

    def __init__(self, folder: Path, on: Sequence[int]) -> None:
        super().__init__(folder, free_ports(1)[0], on)

    @property
    def command(self) -> list[str]:
        file = str(self.folder / "nginx.conf")
        return [tools.path("nginx"), "-e", "stderr", "-p", str(self.folder), "-c", file]

    def prepare(self) -> None:
        values = {"port": self.port, "body": "k" * 1024}
        (self.folder / "nginx.conf").write_text(_QUICK % values)


_QUICK = """
daemon off;
pid nginx.pid;
worker_processes 1;
error_log stderr error;
events { worker_connections 2000; }
http {
    access_log off;
    default_type text/html;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
    uwsgi_temp_path t4; scgi_temp_path t5;
    keepalive_requests 1000000000;
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        location / { return 200 "%(body)s"; }
    }
}
"""


class Gateway(Server):
    """Ours. `checkout` may be another one than this, to compare two states of it, and `python`
    another interpreter of the same version; modules in `python_path` come before all others."""

    name = "ours"

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        on: Sequence[int] = cores.PROXY,
        checkout: Path = CHECKOUT,
        python: str = sys.executable,
        python_path: str = "",
    ) -> None:
        super().__init__(folder, free_ports(1)[0], on)
        self._settings = settings
        self._checkout = checkout
        self._python = python
        self._python_path = python_path

    @property
    def command(self) -> list[str]:
        return [self._python, "-m", "gateway"]

    @property
    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MOORAGE_")}
        return {
            **inherited,
            "PYTHONPATH": f"{self._python_path}:{self._checkout}",
            "MALLOC_ARENA_MAX": "2",  # as the platform starts it
            "MOORAGE_HOME": str(self.folder),
            "MOORAGE_INSTANCE": f"gateway-{self.port}",
            "MOORAGE_LISTEN": "unused",
            "MOORAGE_BIND": "127.0.0.1",
            "MOORAGE_PORT": str(self.port),
            "MOORAGE_PUBLIC_URL": f"http://{HOST}",
            **self._settings,
        }

    def wait_until_ready(self) -> None:
        """Until it knows where to send requests."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/-/readyz", headers={"Host": HOST})
                status = connection.getresponse().status
                connection.close()
                if status == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the gateway is not ready:\n{self._last_words()}")


class Rival(Server):
    """A proxy of others', leading the apps to one backend."""

    def __init__(self, folder: Path, apps: Sequence[str], backend: int) -> None:
        super().__init__(folder, free_ports(1)[0], cores.PROXY)
        self.apps = apps
        self.backend = backend


class Nginx(Rival):
    name = "nginx"

    @property
    def command(self) -> list[str]:
        file = str(self.folder / "nginx.conf")
        return [tools.path("nginx"), "-e", "stderr", "-p", str(self.folder), "-c", file]

    def prepare(self) -> None:
        body = "{ proxy_pass http://apps; }"
        places = "\n".join(f"        location /{app}/ {body}" for app in self.apps)
        values = {"port": self.port, "backend": self.backend, "places": places}
        (self.folder / "nginx.conf").write_text(_NGINX % values)


_NGINX = """
daemon off;
pid nginx.pid;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log stderr error;
events { worker_connections 9000; }
http {
    access_log access.log combined buffer=64k flush=1s;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
    uwsgi_temp_path t4; scgi_temp_path t5;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_body_buffer_size 128k;
    proxy_buffers 16 16k;
    proxy_max_temp_file_size 0;
    proxy_http_version 1.1;
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    upstream apps {
        server 127.0.0.1:%(backend)d;
        keepalive 256;
        keepalive_requests 1000000000;
    }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
%(places)s
    }
}
"""


class HAProxy(Rival):
    name = "haproxy"

    @property
    def command(self) -> list[str]:
        return [tools.path("haproxy"), "-db", "-f", str(self.folder / "haproxy.cfg")]

    def prepare(self) -> None:
        (self.folder / "apps.map").write_text("".join(f"{app} apps\n" for app in self.apps))
        values = {"port": self.port, "backend": self.backend}
        (self.folder / "haproxy.cfg").write_text(_HAPROXY % values)


_HAPROXY = """
global
    nbthread 1
    maxconn 5000
    log stdout format raw local0 info
defaults
    mode http
    log global
    option httplog
    option forwardfor
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
frontend people
    bind 127.0.0.1:%(port)d
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %%[req.hdr(Host)]
    use_backend %%[path,field(2,/),map_str(apps.map)]
backend apps
    server app 127.0.0.1:%(backend)d
"""


class Caddy(Rival):
    name = "caddy"

    @property
    def command(self) -> list[str]:
        return [tools.path("caddy"), "run", "--adapter", "caddyfile", "--config", "Caddyfile"]

    @property
    def environment(self) -> dict[str, str]:
        own = str(self.folder)
        return {**os.environ, "HOME": own, "XDG_DATA_HOME": own, "XDG_CONFIG_HOME": own}

    def prepare(self) -> None:
        body = f"{{\n        reverse_proxy 127.0.0.1:{self.backend}\n    }}"
        places = "\n".join(f"    handle /{app}/* {body}" for app in self.apps)
        (self.folder / "Caddyfile").write_text(_CADDY % {"port": self.port, "places": places})


_CADDY = """
{
    admin off
    auto_https off
}
http://:%(port)d {
    bind 127.0.0.1
    log {
        output file access.log
    }
%(places)s
}
"""


class ConfigurableHttpProxy(Rival):
    name = "chp"

    def __init__(self, folder: Path, apps: Sequence[str], backend: int) -> None:
        super().__init__(folder, apps, backend)
        self._api = free_ports(1)[0]

    @property
    def command(self) -> list[str]:
        places = ["--ip=127.0.0.1", f"--port={self.port}"]
        api = ["--api-ip=127.0.0.1", f"--api-port={self._api}"]
        return ["node", str(tools.CHP), *places, *api, "--log-level=warn"]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "CONFIGPROXY_AUTH_TOKEN": "bench", "NODE_ENV": "production"}

    def start(self) -> None:
        super().start()
        connection = http.client.HTTPConnection("127.0.0.1", self._api, timeout=30)
        target = json.dumps({"target": f"http://127.0.0.1:{self.backend}"})
        for app in self.apps:
            headers = {"Authorization": "token bench"}
            connection.request("POST", f"/api/routes/{app}", target, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201, f"configurable-http-proxy said {answer.status}"
        connection.close()


RIVALS: tuple[type[Rival], ...] = (Nginx, HAProxy, Caddy, ConfigurableHttpProxy)


@contextlib.contextmanager
def running(servers: Sequence[Server]) -> Iterator[None]:
    """Start servers in order, and stop all that were started."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in reversed(servers):
            server.stop()
