"""A service's own view of the database: its role, its schema, nothing else.

Queries take connections from a small pool. Notifications and leases live on one more connection,
the `Session`, whose loss is what tells a process that it no longer holds its leases.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from shared.database.migrations import migrate
from shared.database.session import Session
from shared.errors import Unavailable
from shared.logs import get_logger

logger = get_logger(__name__)

LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.TooManyConnectionsError,
)
"""What asyncpg raises when the server is away, going or coming."""

CONNECT_RETRY_SECONDS = 0.25


class Database:
    """Connections of one process to its service's schema."""

    def __init__(self, url: str, schema: str, password: str | None, pool_size: int = 4) -> None:
        self.schema = schema
        self._arguments: dict[str, Any] = {
            "dsn": url,
            "password": password,
            "server_settings": {
                "search_path": schema,
                "application_name": schema,
                "idle_in_transaction_session_timeout": "60s",
            },
        }
        self._pool_size = pool_size
        self._pool: asyncpg.Pool | None = None
        self._session = Session(self._connect)

    async def open(self, migrations: Path) -> None:
        """Connect, waiting for the server as long as it takes, and bring the schema up to date."""
        self._pool = await self._open_pool()
        await migrate(self._pool, self.schema, migrations)
        await self._session.open()

    async def close(self) -> None:
        await self._session.close()
        if self._pool:
            try:
                await asyncio.wait_for(self._pool.close(), timeout=5)
            except TimeoutError:
                self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Any]:
        """A connection outside a transaction. Raises `Unavailable` while the server is away."""
        if self._pool is None:
            raise Unavailable("The database is not connected yet; try again in a moment.")
        try:
            async with self._pool.acquire(timeout=10) as connection:
                yield connection
        except LOST as error:
            raise _unavailable(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Any]:
        """A connection inside a transaction, committed when the block ends without an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(sql, *arguments)

    async def fetchrow(self, sql: str, *arguments: Any) -> asyncpg.Record | None:
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> str:
        async with self.connection() as connection:
            return await connection.execute(sql, *arguments)

    async def listen(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call `callback(payload)` on every NOTIFY, and with "" when some may have been missed."""
        await self._session.listen(channel, callback)

    @asynccontextmanager
    async def lease(self, name: str) -> AsyncGenerator[asyncio.Event]:
        """Wait until this process alone holds the lease `name` of this service.

        Yields an event that is set when the lease was lost with its connection; the holder must
        stop what the lease guards at once. Leases are session-level advisory locks, so the server
        frees one the moment its holder's connection ends.
        """
        async with self._session.lease(f"{self.schema}:{name}") as lost:
            yield lost

    async def _open_pool(self) -> asyncpg.Pool:
        """Connect, waiting for a server (or our role in it) that is not there yet."""
        said = 0.0
        while True:
            try:
                return await asyncpg.create_pool(
                    **self._arguments,
                    min_size=1,
                    max_size=self._pool_size,
                    max_inactive_connection_lifetime=60,
                    command_timeout=60,
                    init=_prepare,
                )
            except (*LOST, asyncpg.PostgresError) as error:
                if time.monotonic() - said > 10:
                    said = time.monotonic()
                    logger.warning("waiting for PostgreSQL", extra={"cause": repr(error)})
                await asyncio.sleep(CONNECT_RETRY_SECONDS)

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(**self._arguments, command_timeout=30)
        await _prepare(connection)
        return connection


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
    )


def _unavailable(error: Exception) -> Unavailable:
    logger.warning("database unavailable", extra={"cause": repr(error)})
    return Unavailable("The platform's database does not answer at the moment; try again shortly.")
