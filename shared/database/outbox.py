"""The outbox: an event is written in the transaction that makes it true, and published after it."""

from typing import Any

from shared.events import Event

KEEP = "7 days"
"""How long published events stay, to be published again if the stream is lost."""


def subject_of(event: Event) -> str:
    """The NATS subject of an event: evt.<type>.<app>."""
    return f"evt.{event.type}.{event.subject}"


async def record(tx: Any, event: Event) -> None:
    """Write `event` within the transaction `tx`; the relay publishes it once that is committed."""
    await tx.execute(
        "insert into outbox (event_id, subject, envelope) values ($1, $2, $3)",
        event.id,
        subject_of(event),
        event.to_bytes(),
    )


async def waiting(database: Any, limit: int = 100) -> list[Any]:
    """The oldest events not published yet, in order of their positions."""
    return await database.fetch(
        "select position, event_id, subject, envelope from outbox"
        " where published_at is null order by position limit $1",
        limit,
    )


async def mark_published(database: Any, positions: list[int]) -> None:
    await database.execute(
        "update outbox set published_at = now() where position = any($1::bigint[])", positions
    )


async def follow_stream(database: Any, stream: str, created_at: str) -> bool:
    """Note which incarnation of `stream` we publish to.

    True when it is another one than before: the old one was lost with what it held, and all that
    the outbox still keeps waits to be published again.
    """
    async with database.transaction() as tx:
        known = await tx.fetchval(
            "select created_at from carrier where stream = $1 for update", stream
        )
        if known == created_at:
            return False
        await tx.execute(
            "insert into carrier (stream, created_at) values ($1, $2)"
            " on conflict (stream) do update set created_at = excluded.created_at",
            stream,
            created_at,
        )
        if known is not None:
            await tx.execute(
                "update outbox set published_at = null"
                f" where recorded_at > now() - interval '{KEEP}'"
            )
        return known is not None


async def prune(database: Any) -> None:
    """Forget what was published (and handled) so long ago that no stream holds it any more."""
    await database.execute(f"delete from outbox where published_at < now() - interval '{KEEP}'")
    await database.execute("delete from inbox where handled_at < now() - interval '8 days'")
