"""The migration runner: numbered SQL files, each applied once, in order, in one transaction.

The ground's own tables (outbox, inbox) come first in every schema. Several processes may start at
once: an advisory lock lets one of them work while the others wait.
"""

import hashlib
from pathlib import Path
from typing import Any

from shared.logs import get_logger

logger = get_logger(__name__)

GROUND = Path(__file__).parent / "ground"


async def migrate(pool: Any, schema: str, folder: Path) -> None:
    """Apply what of `ground/` and `folder` the schema does not have yet.

    Raises `RuntimeError` when a file that was applied has been edited since.
    """
    files = [("ground", path) for path in sorted(GROUND.glob("*.sql"))]
    files += [("service", path) for path in sorted(folder.glob("*.sql"))]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "select pg_advisory_xact_lock(hashtextextended($1, 0))", f"migrate:{schema}"
        )
        await connection.execute(
            "create table if not exists migrations (name text primary key,"
            " digest text not null, applied_at timestamptz not null default now())"
        )
        applied = dict(await connection.fetch("select name, digest from migrations"))
        for owner, path in files:
            await _apply(connection, f"{owner}/{path.name}", path.read_text(), applied)


async def _apply(connection: Any, name: str, sql: str, applied: dict[str, str]) -> None:
    digest = hashlib.sha256(sql.encode()).hexdigest()
    if name not in applied:
        await connection.execute(sql)
        await connection.execute(
            "insert into migrations (name, digest) values ($1, $2)", name, digest
        )
        logger.info("migration applied", extra={"migration": name})
    elif applied[name] != digest:
        raise RuntimeError(f"Migration {name} was edited after it was applied; add a new file.")
