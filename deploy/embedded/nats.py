"""NATS as a child: its configuration from the catalogue, TLS on loopback, every write synced."""

import json
import sysconfig
from pathlib import Path
from typing import Any

from deploy.embedded.credentials import nkey_public
from deploy.embedded.layout import Layout
from shared.bus.permissions import permissions
from shared.bus.server_check import SERVER_SUBJECT
from shared.events.catalogue import PROCESSES

VARZ = "$SYS.REQ.SERVER.PING.VARZ"


def configuration(layout: Layout, port: int) -> dict[str, Any]:
    """The server's configuration; NATS reads JSON as well as its own format."""
    keys = layout.keys
    return {
        "listen": f"127.0.0.1:{port}",
        "server_name": "moorage-embedded",
        "pid_file": str(layout.run / "nats-server.pid"),
        "max_payload": 1024 * 1024,
        "jetstream": {
            "store_dir": str(layout.nats),
            "sync_interval": "always",
            "max_file_store": 20 * 1024**3,
            "max_memory_store": 64 * 1024**2,
        },
        "tls": {
            "cert_file": str(keys / "server.pem"),
            "key_file": str(keys / "server-key.pem"),
            "timeout": 5,
        },
        "accounts": {
            "SYS": {"users": [], "exports": [{"service": VARZ}]},
            "MOORAGE": {
                "jetstream": "enabled",
                "users": [
                    {
                        "nkey": nkey_public(keys / f"nats-{process}.seed"),
                        "permissions": permissions(process),
                    }
                    for process in PROCESSES
                ],
                "imports": [{"service": {"account": "SYS", "subject": VARZ}, "to": SERVER_SUBJECT}],
            },
        },
        "system_account": "SYS",
    }


def write_configuration(layout: Layout, port: int) -> Path:
    path = layout.keys / "nats.conf"
    path.write_text(json.dumps(configuration(layout, port), indent=2))
    path.chmod(0o600)
    return path


def command(layout: Layout, port: int) -> list[str]:
    """The command line that starts the server with a configuration just written."""
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    return [str(binary), "--config", str(write_configuration(layout, port))]
