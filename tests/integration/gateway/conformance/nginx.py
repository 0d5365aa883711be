"""nginx beside the gateway: the same app behind it, set up as its manual says for an app server."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from tests.bench.gateway import tools

PACKAGE = "nginx-light"

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log crit;
%(user)s
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream app { server 127.0.0.1:%(app)d max_fails=0; keepalive 8; }
    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
    server {
        listen 127.0.0.1:%(port)d;
        server_name app;
        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_ignore_client_abort on;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }
    }
}
"""


def install() -> None:
    """Install nginx from Debian if it is missing. Raises `tools.Missing`."""
    if tools.find("nginx") is None:
        tools._from_debian([PACKAGE])


def version() -> str:
    """Such as "1.22.1"."""
    told = subprocess.run([tools.path("nginx"), "-v"], capture_output=True, text=True, check=True)
    found = re.search(r"nginx/([0-9.]+)", told.stderr)
    assert found is not None
    return found[1]


class Nginx:
    """One that leads everything to the app on `app_port`."""

    def __init__(self, folder: Path, port: int, app_port: int) -> None:
        self.port = port
        user = "user root;" if os.geteuid() == 0 else ""
        file = folder / "nginx.conf"
        file.write_text(_CONFIGURATION % {"user": user, "app": app_port, "port": port})
        command = [tools.path("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(file)]
        self._process = subprocess.Popen(command)

    def wait(self) -> None:
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._process.poll() is None, "nginx has ended; it says why above"
            assert time.monotonic() < end, "nginx does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
