"""Counts of what passes: per app, in plain integers, to be added up over the workers of a gateway.

Nothing here is per request: a request costs a few additions, and memory grows with apps alone.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the latency histogram; the last bucket is everything beyond."""

MOST_NAMES = 100_000
OTHER = "other"


class AppTraffic:
    """The counts of one app, or of one service of the platform.

    `under_way` are requests without their whole answer, `streams` open WebSockets and event
    streams; whoever begins and ends them adds and subtracts.
    """

    __slots__ = (
        "buckets",
        "received",
        "refusals",
        "seconds",
        "sent",
        "statuses",
        "streams",
        "under_way",
    )

    def __init__(self) -> None:
        self.under_way = 0
        self.streams = 0
        self.statuses: dict[int, int] = {}
        self.refusals: dict[str, int] = {}
        self.buckets = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        self.sent = 0
        self.received = 0

    def answered(self, status: int, seconds: float, sent: int, received: int) -> None:
        """A request has ended; `status` 0 if it never was answered. Sizes are bytes of bodies."""
        statuses = self.statuses
        statuses[status] = statuses.get(status, 0) + 1
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.seconds += seconds
        self.sent += sent
        self.received += received

    def stream_ended(self, status: int, sent: int, received: int) -> None:
        """A WebSocket or event stream has ended: how long it lasted says nothing of speed."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.sent += sent
        self.received += received

    def refused(self, reason: str) -> None:
        """The gateway answered in the target's stead."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def snapshot(self) -> dict[str, Any]:
        return {
            "under_way": self.under_way,
            "streams": self.streams,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "refusals": dict(self.refusals),
            "buckets": list(self.buckets),
            "seconds": self.seconds,
            "sent": self.sent,
            "received": self.received,
        }


class Traffic:
    """All counts of one worker process."""

    def __init__(self) -> None:
        self._apps: dict[str, AppTraffic] = {}
        self._services: dict[str, AppTraffic] = {}
        self.bad_requests = 0
        self.started = time.time()

    def of(self, app: str) -> AppTraffic:
        return self._apps.get(app) or self._new(self._apps, app)

    def of_service(self, service: str) -> AppTraffic:
        return self._services.get(service) or self._new(self._services, service)

    def forget(self, app: str) -> None:
        """The app is gone; one of the same name begins anew."""
        self._apps.pop(app, None)

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        return {
            "apps": {name: one.snapshot() for name, one in self._apps.items()},
            "services": {name: one.snapshot() for name, one in self._services.items()},
            "bad_requests": self.bad_requests,
        }

    def _new(self, place: dict[str, AppTraffic], name: str) -> AppTraffic:
        if len(place) >= MOST_NAMES:
            name = OTHER
        return place.setdefault(name, AppTraffic())


def merge(snapshots: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of several workers' snapshots."""
    total: dict[str, Any] = {"apps": {}, "services": {}, "bad_requests": 0}
    for snapshot in snapshots:
        total = _add(total, snapshot)
    return total


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, Mapping):
        names = [*left, *(name for name in right if name not in left)]
        return {
            name: _add(left[name], right[name])
            if name in left and name in right
            else left.get(name, right.get(name))
            for name in names
        }
    if isinstance(left, list):
        return [one + other for one, other in zip(left, right, strict=True)]
    return left + right
