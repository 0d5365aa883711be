"""What must exist in JetStream: the events, the dead letters, the buckets and the object store.

Whoever finds a piece missing makes it, with exactly these settings, so that losing the whole store
of the server costs a re-publish and nobody's attention.
"""

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from shared.events.catalogue import BUCKETS, OBJECT_STORE, heard_by

EVENTS = "EVENTS"
DEAD_LETTERS = "DEAD_LETTERS"

EVENTS_KEPT_SECONDS = 7 * 24 * 3600
DEAD_LETTERS_KEPT_SECONDS = 30 * 24 * 3600
DUPLICATES_SECONDS = 120
ACK_WAIT_SECONDS = 20
MAX_HELD = 256
"""Messages of one consumer that may be under way at a time."""


def streams(replicas: int) -> list[StreamConfig]:
    """All streams of the platform; a bucket and the object store are streams too."""
    kept = [
        StreamConfig(
            name=EVENTS,
            subjects=["evt.>"],
            storage=StorageType.FILE,
            max_age=EVENTS_KEPT_SECONDS,
            duplicate_window=DUPLICATES_SECONDS,
            discard=DiscardPolicy.OLD,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=DEAD_LETTERS,
            subjects=["dead.>"],
            storage=StorageType.FILE,
            max_age=DEAD_LETTERS_KEPT_SECONDS,
            discard=DiscardPolicy.OLD,
            num_replicas=replicas,
        ),
        StreamConfig(
            name=f"OBJ_{OBJECT_STORE}",
            subjects=[f"$O.{OBJECT_STORE}.C.>", f"$O.{OBJECT_STORE}.M.>"],
            storage=StorageType.FILE,
            allow_rollup_hdrs=True,
            allow_direct=True,
            discard=DiscardPolicy.NEW,
            num_replicas=replicas,
        ),
    ]
    return kept + [bucket_stream(bucket.name, replicas) for bucket in BUCKETS]


def bucket_stream(name: str, replicas: int) -> StreamConfig:
    """A bucket keeps the last value of each key, and single keys may expire."""
    return StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        allow_rollup_hdrs=True,
        allow_msg_ttl=True,
        subject_delete_marker_ttl=3600,
        allow_direct=True,
        discard=DiscardPolicy.NEW,
        num_replicas=replicas,
    )


def consumer(service: str, start: int = 0) -> ConsumerConfig:
    """The durable pull consumer of a service, from sequence `start` on (0: all there is)."""
    return ConsumerConfig(
        durable_name=service,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_SECONDS,
        max_ack_pending=MAX_HELD,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if start else DeliverPolicy.ALL,
        opt_start_seq=start or None,
        filter_subjects=[f"evt.{entry.model.TYPE}.*" for entry in heard_by(service)],
    )


async def ensure_streams(js: JetStreamContext, replicas: int) -> None:
    """Make what is missing. Streams that exist with other settings are left as they are."""
    for config in streams(replicas):
        try:
            await js.add_stream(config)
        except BadRequestError as error:
            if error.err_code != STREAM_NAME_IN_USE:
                raise


STREAM_NAME_IN_USE = 10058
"""JetStream's error code for a stream that exists with a different configuration."""


async def ensure_consumer(js: JetStreamContext, service: str) -> None:
    """Make the service's consumer, or take it back to its last acknowledged message.

    A process that died held messages that nobody has finished. Beginning again behind the last one
    that is surely finished keeps each app's events in order; the inbox drops what was handled.
    """
    start = 0
    try:
        info = await js.consumer_info(EVENTS, service)
        wanted = set(consumer(service).filter_subjects or [])
        held = info.config.filter_subjects or [info.config.filter_subject]
        if not info.num_ack_pending and set(held) == wanted:
            return
        start = (info.ack_floor.stream_seq if info.ack_floor else 0) + 1
        await js.delete_consumer(EVENTS, service)
    except NotFoundError:
        pass
    await js.add_consumer(EVENTS, consumer(service, start))
