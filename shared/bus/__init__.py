"""The bus: NATS JetStream carries events, buckets, objects, calls and progress lines.

PostgreSQL is the truth. What lies in NATS can be lost as a whole and is made again: events from the
outboxes, buckets by their writers. Nothing outside this package imports the NATS client.
"""

from shared.bus.buckets import Bucket
from shared.bus.connection import Bus
from shared.bus.objects import ObjectStore

__all__ = ["Bucket", "Bus", "ObjectStore"]
