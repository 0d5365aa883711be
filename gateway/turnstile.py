"""How much of an app's traffic is let in: at once, per client and second, and per request."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network

from gateway import pages
from gateway.pages import Reply
from gateway.table import NO_LIMITS, Route, RouteLimits

MOST_CLIENTS = 50_000
OVERLOAD_SECONDS = 1


@dataclass(frozen=True)
class Defaults:
    """What holds for an app that has no limits of its own; None is unlimited.

    Every worker process of a gateway counts for itself.
    """

    concurrent: int | None = 5000
    body_bytes: int | None = None
    answer_seconds: float = 900.0
    idle_seconds: float = 3600.0
    rate: float | None = None
    burst: int | None = None


class Turnstile:
    """Lets requests in, or says why not."""

    def __init__(self, defaults: Defaults, clock: Callable[[], float] = time.monotonic) -> None:
        self._defaults = defaults
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}
        most = defaults.concurrent
        special = defaults.rate is not None or defaults.body_bytes is not None
        self._plenty = 0 if special else float("inf") if most is None else most
        """So many requests under way are let in unseen, of an app without limits of its own."""

    def free(self, limits: RouteLimits) -> float:
        """So many requests under way are let in without `refusal` being asked."""
        return self._plenty if limits is NO_LIMITS else 0

    def refusal(
        self, route: Route, client: str, under_way: int, length: int | None, html: bool
    ) -> tuple[str, Reply] | None:
        """Why a request of `client` with a body of `length` bytes has to stay out, and the answer.

        `under_way` counts the app's requests that are not answered yet.
        """
        limits, defaults = route.limits, self._defaults
        rate = limits.rate or defaults.rate
        if rate is not None:
            wait = self._wait(route.app, client, rate, limits.burst or defaults.burst)
            if wait > 0:
                return "rate", pages.too_many(route.app, wait, html)
        most = limits.concurrent or defaults.concurrent
        if most is not None and under_way >= most:
            return "concurrent", pages.overloaded(route.app, OVERLOAD_SECONDS, html)
        largest = self.body_bytes(limits)
        if largest is not None and length is not None and length > largest:
            return "body", pages.too_large(route.app, largest, html)
        return None

    def body_bytes(self, limits: RouteLimits) -> int | None:
        return self._defaults.body_bytes if limits.body_bytes is None else limits.body_bytes

    def answer_seconds(self, limits: RouteLimits) -> float:
        return limits.answer_seconds or self._defaults.answer_seconds

    def idle_seconds(self, limits: RouteLimits | None) -> float:
        own = None if limits is None else limits.idle_seconds
        return own or self._defaults.idle_seconds

    def _wait(self, app: str, client: str, rate: float, burst: int | None) -> float:
        """Take a token out of the client's bucket; seconds until there is one if it is empty."""
        most = float(burst or max(1.0, rate))
        now = self._clock()
        key = app, _network(client)
        tokens, since = self._buckets.get(key, (most, now))
        tokens = min(most, tokens + (now - since) * rate)
        if tokens < 1:
            self._buckets[key] = tokens, now
            return (1 - tokens) / rate
        if len(self._buckets) >= MOST_CLIENTS:
            self._forget_oldest()
        self._buckets[key] = tokens - 1, now
        return 0.0

    def _forget_oldest(self) -> None:
        """Keep the half that was seen last: a flood of addresses must not empty all buckets."""
        kept = sorted(self._buckets.items(), key=lambda item: item[1][1])[MOST_CLIENTS // 2 :]
        self._buckets = dict(kept)


def _network(address: str) -> str:
    """One client of IPv6 has a whole /64 (RFC 6177)."""
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address
