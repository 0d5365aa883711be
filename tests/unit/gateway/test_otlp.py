"""Metrics on their way to a collector, which here is a small server that decodes what it gets."""

import asyncio
import contextlib
import gzip
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from gateway.otlp import keep_exporting
from gateway.traffic import SECONDS, Traffic

GAUGES = {"connections": 7, "cpu_seconds": 1.5, "resident_bytes": 1000}


class Collector:
    """Takes metrics by OTLP over HTTP; answers with `status`, or never if that is 0."""

    def __init__(self) -> None:
        self.received: list[ExportMetricsServiceRequest] = []
        self.paths: list[str] = []
        self.status = 200
        self.asked = 0
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            body = await reader.readexactly(length)
            self.asked += 1
            if self.status == 0:
                await asyncio.Event().wait()
            if "content-encoding: gzip" in head.lower():
                body = gzip.decompress(body)
            if self.status == 200:
                self.paths.append(head.split(" ")[1])
                self.received.append(ExportMetricsServiceRequest.FromString(body))
            writer.write(
                b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % self.status
            )
            await writer.drain()
        writer.close()

    @property
    def metrics(self) -> dict[str, Any]:
        scope = self.received[-1].resource_metrics[0].scope_metrics[0]
        return {metric.name: metric for metric in scope.metrics}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    server = await made.start()
    yield made
    server.close()


@contextlib.asynccontextmanager
async def exporting(url: str, traffic: Traffic, seconds: float = 0.05) -> AsyncIterator[None]:
    duty = keep_exporting(url, "gateway-1.0", traffic.snapshot, lambda: GAUGES, seconds)
    task = asyncio.create_task(duty)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        await asyncio.sleep(0.01)


def some_traffic() -> Traffic:
    traffic = Traffic()
    sales = traffic.of("sales")
    for status, seconds in ((200, 0.003), (200, 0.02), (503, 99.0), (0, 1.0)):
        sales.answered(status, seconds, sent=100, received=7)
    sales.stream_ended(101, sent=10, received=20)
    sales.refused("rate")
    sales.under_way += 2
    sales.streams += 1
    traffic.of_service("auth").answered(303, 0.25, sent=0, received=0)
    traffic.replied(403)
    traffic.bad_requests += 1
    return traffic


def labels(point: Any) -> dict[str, Any]:
    return {
        one.key: one.value.string_value or one.value.int_value or None for one in point.attributes
    }


def points(metric: Any) -> dict[tuple[Any, ...], Any]:
    """Points by the values of their labels, in the order of the labels' names."""
    data = getattr(metric, metric.WhichOneof("data")).data_points
    return {tuple(value for _, value in sorted(labels(point).items())): point for point in data}


async def test_the_counts_arrive_with_their_conventional_names(collector: Collector) -> None:
    began = time.time_ns()
    async with exporting(collector.url, some_traffic()):
        await until(lambda: collector.received)
    assert set(collector.paths) == {"/v1/metrics"}
    resource = collector.received[0].resource_metrics[0].resource
    told = {one.key: one.value.string_value for one in resource.attributes}
    assert told["service.name"] == "moorage-gateway"
    assert told["service.instance.id"] == "gateway-1.0"
    metrics = collector.metrics

    duration = metrics["http.server.request.duration"]
    assert duration.unit == "s"
    assert (
        duration.histogram.aggregation_temporality
        == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    )
    by_labels = points(duration)
    assert by_labels.keys() == {
        (200, "sales"),
        ("503", 503, "sales"),
        ("no_answer", "sales"),
        (303, "auth"),
    }
    fine = by_labels[200, "sales"]
    assert labels(fine) == {"moorage.app": "sales", "http.response.status_code": 200}
    assert list(fine.explicit_bounds) == list(SECONDS)
    assert list(fine.bucket_counts) == [1, 0, 1, *[0] * 11]
    assert (fine.count, fine.sum) == (2, pytest.approx(0.023))
    assert not fine.HasField("max")
    assert began <= fine.start_time_unix_nano < fine.time_unix_nano <= time.time_ns()

    assert points(metrics["http.server.active_requests"])["sales",].as_int == 2
    assert not metrics["http.server.active_requests"].sum.is_monotonic
    assert metrics["moorage.gateway.sent"].sum.is_monotonic
    assert points(metrics["moorage.gateway.sent"])["sales",].as_int == 410
    assert points(metrics["moorage.gateway.received"])["sales",].as_int == 48
    assert points(metrics["moorage.gateway.open_streams"])["sales",].as_int == 1
    assert points(metrics["moorage.gateway.streams_ended"])[101, "sales"].as_int == 1
    assert points(metrics["moorage.gateway.refusals"])["sales", "rate"].as_int == 1
    assert points(metrics["moorage.gateway.own_answers"])[403,].as_int == 1
    assert points(metrics["moorage.gateway.bad_requests"])[()].as_int == 1
    assert points(metrics["moorage.gateway.connections"])[()].as_int == 7
    assert points(metrics["process.cpu.time"])[()].as_double == 1.5
    assert metrics["process.cpu.time"].sum.is_monotonic
    assert points(metrics["process.memory.usage"])[()].as_int == 1000


async def test_what_was_counted_last_is_sent_at_the_end(collector: Collector) -> None:
    traffic = Traffic()
    async with exporting(collector.url, traffic, seconds=3600):
        await asyncio.sleep(0)
        traffic.of("sales").answered(200, 0.1, 0, 0)
    assert points(collector.metrics["http.server.request.duration"])[200, "sales"].count == 1


async def test_an_outage_is_told_once_and_outlived(
    collector: Collector, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    collector.status = 400
    async with exporting(collector.url, some_traffic()):
        await until(lambda: collector.asked >= 3)
        told = [one for one in caplog.records if one.message == "metrics not sent; trying on"]
        assert len(told) == 1
        assert "400" in told[0].__dict__["cause"]
        collector.status = 200
        await until(lambda: collector.received)
        collector.status = 400
        before = collector.asked
        await until(lambda: collector.asked >= before + 3)
    assert [one.message for one in caplog.records] == ["metrics not sent; trying on"] * 2
    assert "Failed to export" not in capfd.readouterr().err


async def test_a_collector_that_is_not_there_keeps_nobody_from_ending(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    async with exporting("http://127.0.0.1:1/", some_traffic()):
        await until(lambda: any(one.name == "beside send" for one in threading.enumerate()))
        began = time.monotonic()
    assert time.monotonic() - began < 8
    assert not [one for one in caplog.records if one.exc_info]


async def test_a_collector_that_never_answers_keeps_nobody_from_ending(
    collector: Collector,
) -> None:
    collector.status = 0
    async with exporting(collector.url, some_traffic()):
        await until(lambda: collector.asked)
        began = time.monotonic()
    assert time.monotonic() - began < 8


def test_without_a_collector_nothing_of_it_is_loaded() -> None:
    code = (
        "import sys, gateway.app, gateway.otlp;"
        "assert 'gateway.datapoints' not in sys.modules;"
        "assert not [name for name in sys.modules if 'metric_exporter' in name]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
