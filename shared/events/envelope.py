"""The envelope of an event: CloudEvents 1.0 in structured JSON mode, with W3C trace context.

Source of the attribute names: the CloudEvents specification 1.0.2 and its distributed tracing
extension (`traceparent`).
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from shared.errors import Invalid
from shared.events.catalogue import CATALOGUE, EventData
from shared.names import new_id, printable
from shared.telemetry import current_traceparent

CONTENT_TYPE = "application/cloudevents+json"
MODELS: dict[str, type[EventData]] = {entry.model.TYPE: entry.model for entry in CATALOGUE}


@dataclass(frozen=True)
class Event:
    """One fact about one app. `data` is the model that the catalogue names for `type`."""

    source: str
    data: Any
    id: str = field(default_factory=new_id)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    traceparent: str | None = None

    @property
    def type(self) -> str:
        return self.data.TYPE

    @property
    def subject(self) -> str:
        """The app that the event concerns."""
        return self.data.app

    def to_bytes(self) -> bytes:
        document: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time.isoformat(),
            "datacontenttype": "application/json",
            "data": self.data.model_dump(mode="json"),
        }
        if self.traceparent:
            document["traceparent"] = self.traceparent
        return orjson.dumps(document)

    @staticmethod
    def parse(raw: bytes) -> "Event":
        """Read an envelope; `Invalid` when it is none, of an unknown type or with wrong data."""
        try:
            document = orjson.loads(raw)
            model = MODELS[document["type"]]
            return Event(
                source=document["source"],
                data=model.model_validate(document["data"]),
                id=document["id"],
                time=datetime.fromisoformat(document["time"]),
                traceparent=document.get("traceparent"),
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            what = printable(f"{type(error).__name__}: {error}", 300)
            raise Invalid(f"A message on the bus is no event of the catalogue ({what}).") from error


def new_event(source: str, data: EventData) -> Event:
    """An event that happened now, within the trace that is current."""
    return Event(source=source, data=data, traceparent=current_traceparent())
