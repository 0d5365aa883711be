"""Dead letters: messages that a service gave up, kept with the reason until somebody decides.

A letter's id is its sequence in the stream; its subject is `dead.<service>`; what failed is in its
headers and its payload is the event as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import nats.js.errors
import orjson

from shared.bus import topology
from shared.database.outbox import subject_of
from shared.errors import Invalid, NotFound, Unavailable
from shared.events import Event
from shared.names import new_id, printable

if TYPE_CHECKING:
    from shared.bus.connection import Bus

LISTED = 200
"""The most letters that one listing reads, newest first."""


class DeadLetters:
    """Reading, replaying and dropping what the services gave up."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def bury(self, service: str, payload: bytes, headers: dict[str, str]) -> None:
        """Keep a message that `service` cannot handle. Raises `Unavailable`."""
        from shared.bus.connection import NATS_AWAY

        try:
            await self._bus.js.publish(f"dead.{service}", payload, headers=headers)
        except NATS_AWAY as error:
            await self._bus.ensure_topology()
            raise Unavailable(
                "The bus does not take the dead letter; it is tried again."
            ) from error

    async def list(self) -> list[dict[str, Any]]:
        """The newest letters: id, service, type, app, reason, attempts and the event's id.

        Raises `Unavailable`.
        """
        info = await self._ask(self._bus.js.stream_info(topology.DEAD_LETTERS))
        first, last = info.state.first_seq, info.state.last_seq
        letters: list[dict[str, Any]] = []
        for sequence in range(last, max(first, 1) - 1, -1):
            if len(letters) == LISTED:
                break
            try:
                letters.append(await self._read(sequence))
            except NotFound:
                continue
        return letters

    async def replay(self, letter: int) -> None:
        """Publish the letter's event again, as it was, and drop the letter.

        The event keeps its id: the service that failed has not noted it in its inbox and handles
        it, the others have and do not.
        """
        raw = await self._raw(letter)
        event = Event.parse(raw.data or b"")
        await self._bus.publish_raw(subject_of(event), raw.data or b"", new_id())
        await self.delete(letter)

    async def delete(self, letter: int) -> None:
        """Drop the letter. Raises `NotFound` or `Unavailable`."""
        await self._raw(letter)
        await self._ask(self._bus.js.delete_msg(topology.DEAD_LETTERS, letter))

    async def _raw(self, sequence: int) -> Any:
        try:
            return await self._ask(self._bus.js.get_msg(topology.DEAD_LETTERS, sequence))
        except nats.js.errors.NotFoundError as error:
            raise NotFound(
                f"There is no dead letter {sequence}; list them with 'moorage dead-letters'."
            ) from error

    async def _ask(self, question: Awaitable[Any]) -> Any:
        from shared.bus.connection import NATS_AWAY

        try:
            return await question
        except nats.js.errors.NotFoundError:
            raise
        except NATS_AWAY as error:
            raise Unavailable("The platform's bus does not answer; try again shortly.") from error

    async def _read(self, sequence: int) -> dict[str, Any]:
        raw = await self._raw(sequence)
        headers = raw.headers or {}
        letter: dict[str, Any] = {
            "id": sequence,
            "service": raw.subject.removeprefix("dead."),
            "reason": headers.get("Moorage-Reason", ""),
            "attempts": int(headers.get("Moorage-Attempts", 0)),
            "time": headers.get("Moorage-Time", ""),
        }
        try:
            event = Event.parse(raw.data or b"")
            letter |= {"event": event.id, "type": event.type, "app": event.subject}
            letter["data"] = orjson.loads(raw.data)["data"]
        except Invalid:
            letter |= {"event": None, "type": None, "app": None}
            letter["data"] = printable((raw.data or b"").decode(errors="replace"), 500)
        return letter
