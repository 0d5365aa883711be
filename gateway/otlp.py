"""The same counts as OpenTelemetry metrics, sent to a collector by OTLP over HTTP.

The figures are kept as plain integers (`traffic`), because recording each request with an
instrument would cost more than passing it on; here they become data points, with the names of the
semantic conventions for HTTP where there is one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from shared.logs import get_logger

logger = get_logger(__name__)

EXPORT_SECONDS = 30.0
TIMEOUT_MILLIS = 10_000


async def keep_exporting(
    endpoint: str,
    instance: str,
    counts: Callable[[], Mapping[str, Any]],
    gauges: Callable[[], Mapping[str, float]],
    seconds: float = EXPORT_SECONDS,
) -> None:
    """The duty: send `counts` (a `Traffic.snapshot`) and `gauges` again and again, for ever."""
    # Imported here: only who has a collector pays for the exporter and its protobufs.
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint=endpoint.rstrip("/") + "/v1/metrics")
    since, failing = time.time_ns(), False
    while True:
        await asyncio.sleep(seconds)
        data = metrics_data(instance, counts(), gauges(), since, time.time_ns())
        failed = await asyncio.to_thread(_send, exporter, data)
        if failed and not failing:
            logger.warning("metrics not sent; trying on", extra={"cause": failed})
        failing = bool(failed)


def _send(exporter: Any, data: Any) -> str:
    """What went wrong, empty if nothing did."""
    from opentelemetry.sdk.metrics.export import MetricExportResult

    try:
        result = exporter.export(data, timeout_millis=TIMEOUT_MILLIS)
    except Exception as error:
        return repr(error)
    return "" if result is MetricExportResult.SUCCESS else "the collector refused them"


def metrics_data(
    instance: str,
    counts: Mapping[str, Any],
    gauges: Mapping[str, float],
    since: int,
    now: int,
) -> Any:
    """The counts as an SDK `MetricsData`; times in nanoseconds since the epoch."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    resource = Resource.create({"service.name": "moorage-gateway", "service.instance.id": instance})
    scope = ScopeMetrics(
        scope=InstrumentationScope("moorage.gateway"),
        metrics=_metrics(counts, gauges, since, now),
        schema_url="",
    )
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metrics(
    counts: Mapping[str, Any], gauges: Mapping[str, float], since: int, now: int
) -> list[Any]:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
        Sum,
    )

    from gateway.traffic import SECONDS

    cumulative = AggregationTemporality.CUMULATIVE
    places = [({"moorage.app": name}, one) for name, one in counts["apps"].items()]
    places += [({"moorage.service": name}, one) for name, one in counts["services"].items()]

    def number(labels: Mapping[str, str], value: float) -> Any:
        return NumberDataPoint(labels, since, now, value)

    def total(name: str, unit: str, points: list[Any], grows: bool = True) -> Any:
        return Metric(name, "", unit, Sum(points, cumulative, is_monotonic=grows))

    def durations(labels: Mapping[str, str], one: Mapping[str, Any]) -> Any:
        buckets = one["buckets"]
        count, most = sum(buckets), SECONDS[-1]
        return HistogramDataPoint(
            labels,
            since,
            now,
            count,
            one["seconds"],
            buckets,
            SECONDS,
            0.0 if count else most,
            most,
        )

    by_status = [
        number({**labels, "http.response.status_code": status}, count)
        for labels, one in places
        for status, count in one["statuses"].items()
    ]
    refusals = [
        number({**labels, "moorage.reason": reason}, count)
        for labels, one in places
        for reason, count in one["refusals"].items()
    ]
    members = (
        ("http.server.active_requests", "{request}", "under_way", False),
        ("moorage.gateway.open_streams", "{stream}", "streams", False),
        ("moorage.gateway.sent", "By", "sent", True),
        ("moorage.gateway.received", "By", "received", True),
    )
    return [
        Metric(
            "http.server.request.duration",
            "",
            "s",
            Histogram([durations(labels, one) for labels, one in places], cumulative),
        ),
        total("moorage.gateway.requests", "{request}", by_status),
        total("moorage.gateway.refusals", "{request}", refusals),
        *(
            total(name, unit, [number(labels, one[member]) for labels, one in places], grows)
            for name, unit, member, grows in members
        ),
        *(
            Metric(f"moorage.gateway.{name}", "", "1", Gauge([number({}, value)]))
            for name, value in gauges.items()
        ),
    ]
