"""What was decided for one request, for the next ones that are like it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.arrival import Arrival
    from gateway.door import Forward
    from gateway.traffic import AppTraffic

MOST_WAYS = 32
"""So many are remembered of one header block: of people behind different addresses, mostly."""


@dataclass(slots=True, eq=False)
class Way:
    """How a request came, and where it goes on to.

    It holds for all requests with the same header block and `method` whose path begins with
    `prefix`, over any connection from the same peer to the same kind of listener, while the table
    is at `version` and until `until` (`time.monotonic`). Up to `free` requests of the app under way
    nobody has to ask the turnstile. `logged` is what the access log says of all of them, by target.
    """

    arrival: Arrival
    forward: Forward
    tally: AppTraffic
    method: bytes
    prefix: bytes
    version: int
    until: float
    free: float
    logged: dict[str, bytes] = field(default_factory=dict[str, bytes])


def remember(ways: dict[str, Way], key: str, way: Way) -> None:
    """Keep a way; all of a header block's are dropped when they are too many."""
    if len(ways) >= MOST_WAYS:
        ways.clear()
    ways[key] = way
