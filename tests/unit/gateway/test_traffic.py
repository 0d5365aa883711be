"""Counts, and the forms in which they are told."""

import re

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from gateway import otlp, prometheus
from gateway.traffic import MOST_NAMES, OTHER, SECONDS, Traffic, merge

GAUGES = dict.fromkeys(prometheus.GAUGES, 1.0)


def some_traffic() -> Traffic:
    traffic = Traffic()
    sales = traffic.of("sales")
    sales.answered(200, 0.003, sent=100, received=7)
    sales.answered(200, 0.02, sent=50, received=0)
    sales.answered(503, 99.0, sent=0, received=0)
    sales.stream_ended(101, sent=10, received=20)
    sales.refused("rate")
    sales.under_way += 2
    sales.streams += 1
    traffic.of_service("auth").answered(303, 0.25, sent=0, received=0)
    traffic.bad_requests += 1
    return traffic


def test_workers_are_added_up() -> None:
    first, second = some_traffic(), Traffic()
    second.of("sales").answered(404, 0.02, 1, 0)
    second.of("other").answered(200, 0.02, 1, 0)
    total = merge([first.snapshot(), second.snapshot()])
    sales = total["apps"]["sales"]
    assert sales["statuses"] == {"200": 2, "503": 1, "101": 1, "404": 1}
    assert sales["sent"] == 161
    assert sales["buckets"][0] == 1
    assert sales["buckets"][2] == 2
    assert sales["buckets"][-1] == 1
    assert sum(sales["buckets"]) == 4  # a stream's length is no latency
    assert total["apps"]["other"]["statuses"] == {"200": 1}
    assert total["bad_requests"] == 1
    assert merge([]) == {"apps": {}, "services": {}, "bad_requests": 0}


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_NAMES >= 100_000
    monkeypatch.setattr("gateway.traffic.MOST_NAMES", 2)
    traffic = Traffic()
    for name in ("a", "b", "c", "d", "a"):
        traffic.of(name).answered(200, 0.1, 0, 0)
    apps = traffic.snapshot()["apps"]
    assert apps.keys() == {"a", "b", OTHER}
    assert apps["a"]["statuses"] == {"200": 2}
    assert apps[OTHER]["statuses"] == {"200": 2}
    traffic.forget("a")
    assert "a" not in traffic.snapshot()["apps"]


def test_prometheus_text() -> None:
    text = prometheus.render(some_traffic().snapshot(), {"gateway-1-0-7": GAUGES}).decode()
    line = re.compile(
        r"# (HELP|TYPE) moorage_gateway_\w+ .+|"
        r'moorage_gateway_\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+-]+'
    )
    assert all(line.fullmatch(one) for one in text.splitlines())
    for wanted in (
        'moorage_gateway_requests_total{app="sales",status="200"} 2',
        'moorage_gateway_requests_total{service="auth",status="303"} 1',
        'moorage_gateway_refusals_total{app="sales",reason="rate"} 1',
        'moorage_gateway_request_seconds_bucket{app="sales",le="0.005"} 1',
        'moorage_gateway_request_seconds_bucket{app="sales",le="60.0"} 2',
        'moorage_gateway_request_seconds_bucket{app="sales",le="+Inf"} 3',
        'moorage_gateway_request_seconds_count{app="sales"} 3',
        'moorage_gateway_requests_under_way{app="sales"} 2',
        'moorage_gateway_open_streams{app="sales"} 1',
        "moorage_gateway_bad_requests_total 1",
        'moorage_gateway_connections{worker="gateway-1-0-7"} 1.0',
    ):
        assert wanted in text.splitlines(), wanted
    names = [one.split()[2] for one in text.splitlines() if one.startswith("# TYPE")]
    assert len(names) == len(set(names))


def test_labels_cannot_break_a_line() -> None:
    traffic = Traffic()
    traffic.of('a"\n\\').refused("rate")
    text = prometheus.render(traffic.snapshot(), {}).decode()
    assert r'moorage_gateway_refusals_total{app="a\"\n\\",reason="rate"} 1' in text.splitlines()


def test_opentelemetry_has_the_same_figures() -> None:
    data = otlp.metrics_data("gateway-1", some_traffic().snapshot(), GAUGES, since=1, now=2)
    sent = encode_metrics(data).resource_metrics[0]
    assert any(one.value.string_value == "gateway-1" for one in sent.resource.attributes)
    metrics = {metric.name: metric for metric in sent.scope_metrics[0].metrics}
    duration = metrics["http.server.request.duration"].histogram.data_points[0]
    assert duration.count == 3
    assert list(duration.explicit_bounds) == list(SECONDS)
    assert sum(duration.bucket_counts) == 3
    requests = metrics["moorage.gateway.requests"].sum
    assert requests.is_monotonic
    assert sorted(point.as_int for point in requests.data_points) == [1, 1, 1, 2]
    assert metrics["http.server.active_requests"].sum.data_points[0].as_int == 2
    assert metrics["moorage.gateway.connections"].gauge.data_points[0].as_double == 1.0
