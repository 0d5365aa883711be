"""The counts as OpenTelemetry's data points, with the names of its semantic conventions for HTTP
and processes where there is one. To be imported only where metrics are exported: it costs memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.traffic import SECONDS

Labels = dict[str, Any]
Place = tuple[Labels, Mapping[str, Any]]

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_SUMS = {
    "cpu_seconds": ("process.cpu.time", "s", True),
    "resident_bytes": ("process.memory.usage", "By", False),
    "log_lines_lost": ("moorage.gateway.log_lines_lost", "{line}", True),
}
"""Gauges of ours that are sums there: name, unit, whether it only grows."""


def metrics_data(
    instance: str,
    counts: Mapping[str, Any],
    gauges: Mapping[str, float],
    since: int,
    now: int,
) -> MetricsData:
    """`counts` is a `Traffic.snapshot`; times in nanoseconds since the epoch."""
    resource = Resource.create({"service.name": "moorage-gateway", "service.instance.id": instance})
    places: list[Place] = [({"moorage.app": name}, one) for name, one in counts["apps"].items()]
    places += [({"moorage.service": name}, one) for name, one in counts["services"].items()]
    metrics = [*_of_places(places, now), *_of_worker(counts, gauges, since, now)]
    scope = ScopeMetrics(InstrumentationScope("moorage.gateway"), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _of_places(places: list[Place], now: int) -> Iterator[Metric]:
    durations = [point for place in places for point in _durations(*place, now)]
    yield Metric("http.server.request.duration", "", "s", Histogram(durations, _CUMULATIVE))
    for name, unit, member, grows in (
        ("http.server.active_requests", "{request}", "under_way", False),
        ("moorage.gateway.open_streams", "{stream}", "streams", False),
        ("moorage.gateway.ejections", "{ejection}", "ejections", True),
        ("moorage.gateway.sent", "By", "sent", True),
        ("moorage.gateway.received", "By", "received", True),
    ):
        points = [_number(labels, _since(one), now, one[member]) for labels, one in places]
        yield Metric(name, "", unit, Sum(points, _CUMULATIVE, grows))
    for name, unit, member, label in (
        ("moorage.gateway.streams_ended", "{stream}", "streams_ended", _of_status),
        ("moorage.gateway.refusals", "{request}", "refusals", _of_reason),
    ):
        points = [
            _number({**labels, **label(value)}, _since(one), now, count)
            for labels, one in places
            for value, count in one[member].items()
        ]
        yield Metric(name, "", unit, Sum(points, _CUMULATIVE, True))


def _durations(labels: Labels, one: Mapping[str, Any], now: int) -> Iterator[HistogramDataPoint]:
    for status, (*buckets, seconds) in one["durations"].items():
        yield HistogramDataPoint(
            {**labels, **_of_status(status)},
            _since(one),
            now,
            sum(buckets),
            seconds,
            buckets,
            SECONDS,
            None,  # type: ignore[arg-type]  # the extremes are optional and not kept
            None,  # type: ignore[arg-type]
        )


def _of_status(status: str) -> Labels:
    """A response's status, and what kind of error it was if it was one."""
    code = int(status)
    if code == 0:
        return {"error.type": "no_answer"}
    labels: Labels = {"http.response.status_code": code}
    return labels | {"error.type": status} if code >= 500 else labels


def _of_reason(reason: str) -> Labels:
    return {"moorage.reason": reason}


def _of_worker(
    counts: Mapping[str, Any], gauges: Mapping[str, float], since: int, now: int
) -> Iterator[Metric]:
    own = [
        _number(_of_status(status), since, now, count)
        for status, count in counts["own_answers"].items()
    ]
    yield _total("moorage.gateway.own_answers", "{request}", own)
    bad = [_number({}, since, now, counts["bad_requests"])]
    yield _total("moorage.gateway.bad_requests", "{request}", bad)
    for name, value in gauges.items():
        points = [_number({}, since, now, value)]
        if name in _SUMS:
            name, unit, grows = _SUMS[name]
            yield Metric(name, "", unit, Sum(points, _CUMULATIVE, grows))
        else:
            yield Metric(f"moorage.gateway.{name}", "", "1", Gauge(points))


def _total(name: str, unit: str, points: Iterable[NumberDataPoint]) -> Metric:
    return Metric(name, "", unit, Sum(list(points), _CUMULATIVE, True))


def _number(labels: Labels, since: int, now: int, value: float) -> NumberDataPoint:
    return NumberDataPoint(labels, since, now, value)


def _since(one: Mapping[str, Any]) -> int:
    return int(one["since"] * 1e9)
