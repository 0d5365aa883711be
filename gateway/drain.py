"""Instances that left a route: nothing new goes there, what is under way ends."""

import asyncio
from typing import NamedTuple

from gateway.pools import Pool, Pools
from gateway.reports import Reports
from gateway.table import Route


class _Draining(NamedTuple):
    app: str
    deadline: asyncio.TimerHandle


class Drains:
    """Watches over retiring instances and reports each one that has nothing left."""

    def __init__(self, pools: Pools, reports: Reports, seconds: float) -> None:
        self._pools = pools
        self._reports = reports
        self._seconds = seconds
        self._draining: dict[str, _Draining] = {}

    def apply(self, route: Route) -> None:
        """Take a route as it is now; says so, and begins or ends drains as it lists them."""
        self._reports.applied(route.app, route.revision)
        self._reports.keep_only(route.app, route.retiring)
        for instance in self._of(route.app) - set(route.retiring):
            self._end(instance)
        for instance in route.retiring:
            self._begin(route, instance)

    def removed(self, app: str) -> None:
        """The app is gone: its streams end at once."""
        for instance in self._of(app):
            self._end(instance)
        self._reports.forget(app)

    def _of(self, app: str) -> set[str]:
        return {instance for instance, drain in self._draining.items() if drain.app == app}

    def _begin(self, route: Route, instance: str) -> None:
        pool = self._pools.find(instance)
        if pool is not None:
            pool.drop_older_than(float("inf"))
        if pool is None or pool.load == 0:
            self._done(route.app, instance, route.revision)
            return
        pool.on_idle = lambda: self._done(route.app, instance, route.revision)
        if instance not in self._draining:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._seconds, retire_streams, pool)
            self._draining[instance] = _Draining(route.app, timer)

    def _done(self, app: str, instance: str, revision: int) -> None:
        self._end(instance)
        self._reports.drained(app, instance, revision)

    def _end(self, instance: str) -> None:
        drain = self._draining.pop(instance, None)
        if drain is not None:
            drain.deadline.cancel()
        pool = self._pools.find(instance)
        if pool is not None:
            pool.on_idle = None


def retire_streams(pool: Pool) -> None:
    """End what would not end by itself."""
    for stream in tuple(pool.streams):
        stream.retire()
