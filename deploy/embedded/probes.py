"""Is it up? Questions to the servers and services, asked until a deadline."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg

from deploy.embedded import credentials, postgres
from deploy.embedded.layout import Layout

POLL_SECONDS = 0.05


async def wait_for(what: str, probe: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Poll until `probe` is true. Raises `TimeoutError` naming `what`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await probe():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{what} did not come up within {seconds:.0f} seconds")
        await asyncio.sleep(POLL_SECONDS)


async def wait_postgres(layout: Layout, seconds: float = 120) -> None:
    password = (layout.keys / "postgres-postgres").read_text()

    async def probe() -> bool:
        try:
            connection = await asyncpg.connect(
                postgres.url(layout, "postgres", "postgres"), password=password, timeout=5
            )
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    await wait_for("PostgreSQL", probe, seconds)


async def wait_openbao(layout: Layout, seconds: float = 120) -> None:
    """Wait until the store is initialised, unsealed and active (its health endpoint says 200)."""
    port = credentials.ports(layout)["openbao"]
    context = ssl.create_default_context(cafile=str(layout.keys / "ca.pem"))

    async def probe() -> bool:
        try:
            opening = asyncio.open_connection("localhost", port, ssl=context)
            status, _ = await _get(opening, "/v1/sys/health")
        except (OSError, ValueError):
            return False
        return status == 200

    await wait_for("OpenBao", probe, seconds)


async def is_ready(socket: Path) -> bool:
    """Does the service behind a unix socket say that it is ready?"""
    try:
        status, _ = await _get(asyncio.open_unix_connection(str(socket)), "/readyz")
    except (OSError, ValueError):
        return False
    return status == 200


async def gateway_ready(port: int) -> bool:
    try:
        status, body = await _get(asyncio.open_connection("127.0.0.1", port), "/-/readyz")
    except (OSError, ValueError):
        return False
    return status == 200 and bool(json.loads(body).get("ready", True))


async def _get(
    opening: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]], path: str
) -> tuple[int, bytes]:
    """Status and body of one GET. Raises `OSError` or `ValueError` when there is no answer."""
    reader, writer = await asyncio.wait_for(opening, 5)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await asyncio.wait_for(reader.read(65536), 5)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ")
    if len(words) < 2:
        raise ValueError("no HTTP answer")
    return int(words[1]), body
