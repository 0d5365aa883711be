"""The same counts as OpenTelemetry metrics, sent to a collector by OTLP over HTTP.

The figures are kept as plain integers (`traffic`), because recording each request with an
instrument would cost more than passing it on; `datapoints` gives them OpenTelemetry's form.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from gateway.beside import beside
from shared.logs import get_logger

logger = get_logger(__name__)

EXPORT_SECONDS = 30.0
TIMEOUT_SECONDS = 10.0
LAST_EXPORT_SECONDS = 2.0

_EXPORTER = "opentelemetry.exporter.otlp.proto.http.metric_exporter"


async def keep_exporting(
    endpoint: str,
    instance: str,
    counts: Callable[[], Mapping[str, Any]],
    gauges: Callable[[], Mapping[str, float]],
    seconds: float = EXPORT_SECONDS,
) -> None:
    """The duty: send `counts` (a `Traffic.snapshot`) and `gauges` again and again, for ever, and
    once more when told to end.

    `instance` must be this process's alone: its counts begin at nothing. An outage of the collector
    is told once.
    """
    since, failing = time.time_ns(), False
    collector = _Collector(endpoint, instance)
    try:
        while True:
            await asyncio.sleep(seconds)
            failed = await beside(collector.send, counts(), gauges(), since)
            if failed and not failing:
                logger.warning("metrics not sent; trying on", extra={"cause": failed})
            failing = bool(failed)
    finally:
        if not failing:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_EXPORT_SECONDS):
                    await beside(collector.send, counts(), gauges(), since)
        collector.close()


class _Collector:
    """Where metrics are sent."""

    def __init__(self, endpoint: str, instance: str) -> None:
        # Imported here: only who has a collector pays for the exporter and its protobufs.
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        self._instance = instance
        self._exporter = OTLPMetricExporter(
            endpoint=endpoint.rstrip("/") + "/v1/metrics", timeout=TIMEOUT_SECONDS
        )
        self._said = _FirstWords()
        own = logging.getLogger(_EXPORTER)  # it would complain at every attempt
        own.propagate = False
        own.handlers[:] = [self._said]

    def send(
        self, counts: Mapping[str, Any], gauges: Mapping[str, float], since: int
    ) -> str | None:
        """What went wrong, None if nothing did."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        from gateway.datapoints import metrics_data

        self._said.words = ""
        try:
            data = metrics_data(self._instance, counts, gauges, since, time.time_ns())
            result = self._exporter.export(data)
        except Exception as error:
            return repr(error)
        return None if result is MetricExportResult.SUCCESS else self._said.words or "refused"

    def close(self) -> None:
        """Give up what is being tried."""
        self._exporter.shutdown()


class _FirstWords(logging.Handler):
    """Keeps the first message: the cause; what follows is what was done about it."""

    words = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.words = self.words or record.getMessage()
