"""Counts of what passes: per app, in plain integers, by each worker for itself.

Nothing here is per request: a request costs a few additions, and memory grows with apps alone.
"""

import time
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the latency histogram; the last bucket is everything beyond."""

MOST_NAMES = 100_000
MOST_STATUSES = 32
OTHER = "_other"
"""All names beyond `MOST_NAMES`; no app can be called so."""

_NOTHING = (*(0 for _ in SECONDS), 0, 0.0)


class AppTraffic:
    """The counts of one app, or of one service of the platform.

    `under_way` are requests without their whole answer, `streams` open WebSockets and event
    streams; whoever begins and ends them adds and subtracts. `durations` has for each status how
    many answers took how long (as `SECONDS` says) and, last, the seconds that they took together.
    """

    __slots__ = (
        "durations",
        "ejections",
        "received",
        "refusals",
        "sent",
        "since",
        "streams",
        "streams_ended",
        "under_way",
    )

    def __init__(self) -> None:
        self.since = time.time()
        self.under_way = 0
        self.streams = 0
        self.durations: dict[int, list[float]] = {}
        self.streams_ended: dict[int, int] = {}
        self.refusals: dict[str, int] = {}
        self.ejections = 0
        self.sent = 0
        self.received = 0

    def answered(self, status: int, seconds: float, sent: int, received: int) -> None:
        """A request has ended; `status` 0 if it never was answered. Sizes are bytes of bodies."""
        durations = self.durations.get(status) or self._first(status)
        durations[bisect_left(SECONDS, seconds)] += 1
        durations[-1] += seconds
        self.sent += sent
        self.received += received

    def stream_ended(self, status: int, sent: int, received: int) -> None:
        """A WebSocket or event stream has ended: how long it lasted says nothing of speed."""
        status = self._bounded(status, self.streams_ended)
        self.streams_ended[status] = self.streams_ended.get(status, 0) + 1
        self.sent += sent
        self.received += received

    def refused(self, reason: str) -> None:
        """The gateway answered in the target's stead."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def _first(self, status: int) -> list[float]:
        status = self._bounded(status, self.durations)
        return self.durations.setdefault(status, list(_NOTHING))

    @staticmethod
    def _bounded(status: int, known: Mapping[int, Any]) -> int:
        """An app may answer with any number, and each of them is a time series for ever."""
        if status in known or len(known) < MOST_STATUSES:
            return status
        return status - status % 100

    def snapshot(self) -> dict[str, Any]:
        """The counts as plain data for JSON."""
        return {
            "since": self.since,
            "under_way": self.under_way,
            "streams": self.streams,
            "durations": {str(status): list(some) for status, some in self.durations.items()},
            "streams_ended": {str(status): n for status, n in self.streams_ended.items()},
            "refusals": dict(self.refusals),
            "ejections": self.ejections,
            "sent": self.sent,
            "received": self.received,
        }


class Traffic:
    """All counts of one worker process."""

    def __init__(self) -> None:
        self._apps: dict[str, AppTraffic] = {}
        self._services: dict[str, AppTraffic] = {}
        self._own_answers: dict[int, int] = {}
        self.bad_requests = 0
        self.started = time.time()

    def of(self, app: str) -> AppTraffic:
        return self._apps.get(app) or self._new(self._apps, app)

    def of_service(self, service: str) -> AppTraffic:
        return self._services.get(service) or self._new(self._services, service)

    def replied(self, status: int) -> None:
        """The gateway answered by itself, and the request went nowhere."""
        self._own_answers[status] = self._own_answers.get(status, 0) + 1

    def forget(self, app: str) -> None:
        """The app is gone; one of the same name begins anew."""
        self._apps.pop(app, None)

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        return {
            "apps": {name: one.snapshot() for name, one in self._apps.items()},
            "services": {name: one.snapshot() for name, one in self._services.items()},
            "own_answers": {str(status): n for status, n in self._own_answers.items()},
            "bad_requests": self.bad_requests,
        }

    def _new(self, place: dict[str, AppTraffic], name: str) -> AppTraffic:
        if len(place) >= MOST_NAMES:
            name = OTHER
        return place.setdefault(name, AppTraffic())
