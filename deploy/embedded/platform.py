"""Which processes the embedded platform is made of, in the order in which they start."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded import credentials, nats, openbao, postgres
from deploy.embedded.layout import CHECKOUT, Layout
from shared.events.catalogue import ALL_SERVICES

DEFAULT_PORT = 8080

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
"""What a child gets of our own environment besides `MOORAGE_*`, `UV_*` and `PIP_*`."""


@dataclass(frozen=True)
class Child:
    """One process to keep running."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    privileges: Mapping[str, object] = field(default_factory=dict[str, object])
    stop_signal: str = "SIGTERM"
    ready_socket: Path | None = None
    """Where `/readyz` answers; None for the servers, which are probed in ways of their own."""


def public_port() -> int:
    return int(os.environ.get("MOORAGE_PORT") or DEFAULT_PORT)


def tls_port() -> int:
    """Where the gateway speaks TLS; 0 where it does not."""
    return int(os.environ.get("MOORAGE_TLS_PORT") or 0)


def public_url() -> str:
    """The URL that people type; `MOORAGE_PUBLIC_URL` where a proxy or a name stands before us."""
    return os.environ.get("MOORAGE_PUBLIC_URL") or _url_of("localhost")


def local_url() -> str:
    """The gateway as this machine reaches it, whatever certificate it has."""
    return _url_of("127.0.0.1")


def _url_of(host: str) -> str:
    port = tls_port()
    return f"https://{host}:{port}" if port else f"http://{host}:{public_port()}"


def servers(layout: Layout) -> list[Child]:
    """NATS, PostgreSQL and OpenBao."""
    port = credentials.ports(layout)
    plain = _inherited()
    return [
        Child("nats", nats.command(layout, port["nats"]), plain),
        Child(
            "postgres",
            postgres.command(layout),
            {**plain, "LC_ALL": "C"},
            postgres.dropped_privileges(layout),
            stop_signal="SIGINT",
        ),
        Child(
            "openbao",
            openbao.command(layout, port["openbao"], port["openbao-cluster"]),
            {**plain, "GOMEMLIMIT": "96MiB", "BAO_LOG_LEVEL": "warn"},
        ),
    ]


def services(layout: Layout) -> list[Child]:
    """Every service and the gateway, the gateway last."""
    return [_service(layout, name) for name in (*ALL_SERVICES, "gateway")]


def service_environment(layout: Layout, name: str, instance: str) -> dict[str, str]:
    """The settings of one process of a service."""
    port = credentials.ports(layout)
    environment = {
        **_inherited(),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        # One arena instead of one per thread: memory that is freed is given back.
        "MALLOC_ARENA_MAX": "2",
        "MOORAGE_HOME": str(layout.home),
        "MOORAGE_INSTANCE": instance,
        "MOORAGE_LISTEN": f"unix:{layout.socket(instance)}",
        "MOORAGE_PUBLIC_URL": public_url(),
        "MOORAGE_NATS_URL": f"tls://127.0.0.1:{port['nats']}",
        "MOORAGE_NATS_SEED_FILE": str(layout.keys / f"nats-{name}.seed"),
        "MOORAGE_NATS_CA_FILE": str(layout.keys / "ca.pem"),
        **_own_settings(layout, name, port["openbao"]),
    }
    if name != "gateway":
        environment["MOORAGE_DATABASE_URL"] = postgres.url(layout, name)
        environment["MOORAGE_DATABASE_PASSWORD_FILE"] = str(layout.keys / f"postgres-{name}")
    return environment


def _own_settings(layout: Layout, name: str, openbao_port: int) -> dict[str, str]:
    match name:
        case "gateway":
            # Without TLS before it only this machine may come in; an operator sets another.
            bind = os.environ.get("MOORAGE_BIND") or "127.0.0.1"
            return {"MOORAGE_PORT": str(public_port()), "MOORAGE_BIND": bind}
        case "auth":
            return {
                "MOORAGE_AUTH_KEY_FILE": str(layout.keys / "auth-key"),
                "MOORAGE_ADMIN_PASSWORD_FILE": str(layout.admin_password),
                "MOORAGE_ADMIN_TOKEN_FILE": str(layout.admin_token),
            }
        case "secrets":
            return {
                "MOORAGE_VAULT_ADDRESS": f"https://127.0.0.1:{openbao_port}",
                "MOORAGE_VAULT_CA_FILE": str(layout.keys / "ca.pem"),
                "MOORAGE_VAULT_ROLE_FILE": str(layout.keys / "openbao-secrets.json"),
            }
        case _:
            return {}


def _service(layout: Layout, name: str) -> Child:
    module = "gateway" if name == "gateway" else f"services.{name}"
    instance = f"{name}-1"
    return Child(
        instance,
        [sys.executable, "-m", module],
        service_environment(layout, name, instance),
        ready_socket=None if name == "gateway" else layout.socket(instance),
    )


def _inherited() -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    ours = ("MOORAGE_", "UV_", "PIP_")
    return kept | {name: value for name, value in os.environ.items() if name.startswith(ours)}
