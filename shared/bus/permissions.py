"""What each process may do on the bus, derived from the catalogue and from nothing else.

The result is the `permissions` block of a NATS user. A process may publish its own events, pull
from its own consumer, acknowledge its own messages, write and read the buckets that the catalogue
names it for, and hear replies in its own inbox; nothing more.
"""

from typing import Any

from shared.bus.server_check import SERVER_SUBJECT
from shared.bus.topology import DEAD_LETTERS, EVENTS, streams
from shared.events.catalogue import (
    BUCKETS,
    CALLS,
    OBJECT_READERS,
    OBJECT_STORE,
    OBJECT_WRITERS,
    PROGRESS_READERS,
    PROGRESS_WRITERS,
    heard_by,
    published_by,
)

DEAD_LETTER_KEEPER = "portal"


def permissions(process: str) -> dict[str, Any]:
    """The permissions of `process` in the words of NATS's configuration."""
    publish = [
        *_topology(),
        *(f"evt.{entry.model.TYPE}.*" for entry in published_by(process)),
        *_consumer(process),
        *_buckets(process),
        *_objects(process),
        *(f"rpc.{call.name}" for call in CALLS if process in call.asked_by),
        *(["progress.*"] if process in PROGRESS_WRITERS else []),
        *_dead_letters(process),
    ]
    subscribe = [
        f"_INBOX_{process}.>",
        *(f"rpc.{call.name}" for call in CALLS if call.answered_by == process),
        *(["progress.*"] if process in PROGRESS_READERS else []),
    ]
    return {
        "publish": {"allow": publish},
        "subscribe": {"allow": subscribe},
        "allow_responses": {"max": 100, "expires": "5m"},
    }


def _topology() -> list[str]:
    """Anyone may find a stream missing and make it; nobody may change or delete one."""
    names = [config.name for config in streams(1)]
    return [
        SERVER_SUBJECT,
        "$JS.API.INFO",
        *(f"$JS.API.STREAM.CREATE.{name}" for name in names),
        f"$JS.API.STREAM.INFO.{EVENTS}",
    ]


def _consumer(process: str) -> list[str]:
    if not heard_by(process):
        return []
    verbs = ("INFO", "DELETE", "MSG.NEXT")
    return [
        *(f"$JS.API.CONSUMER.{verb}.{EVENTS}.{process}" for verb in verbs),
        f"$JS.API.CONSUMER.CREATE.{EVENTS}.{process}",
        f"$JS.API.CONSUMER.CREATE.{EVENTS}.{process}.>",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{EVENTS}.{process}",
        f"$JS.ACK.{EVENTS}.{process}.>",
        f"dead.{process}",
    ]


def _buckets(process: str) -> list[str]:
    subjects: list[str] = []
    for bucket in BUCKETS:
        if process in bucket.writers:
            subjects.append(f"$KV.{bucket.name}.>")
        if process in (*bucket.readers, *bucket.writers):
            subjects += _reading(f"KV_{bucket.name}")
    return subjects


def _objects(process: str) -> list[str]:
    stream = f"OBJ_{OBJECT_STORE}"
    subjects: list[str] = []
    if process in OBJECT_WRITERS:
        subjects += [f"$O.{OBJECT_STORE}.>", f"$JS.API.STREAM.PURGE.{stream}"]
    if process in OBJECT_READERS:
        # The client looks the stream up by its subject before it reads an object.
        subjects += [*_reading(stream), "$JS.API.STREAM.NAMES"]
    return subjects


def _reading(stream: str) -> list[str]:
    return [
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.STREAM.MSG.GET.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.INFO.{stream}.*",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    ]


def _dead_letters(process: str) -> list[str]:
    if process != DEAD_LETTER_KEEPER:
        return []
    # Replaying a letter means to publish another service's event again.
    return [
        f"$JS.API.STREAM.INFO.{DEAD_LETTERS}",
        f"$JS.API.STREAM.MSG.GET.{DEAD_LETTERS}",
        f"$JS.API.STREAM.MSG.DELETE.{DEAD_LETTERS}",
        "evt.>",
    ]
