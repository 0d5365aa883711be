"""Counts, and the forms in which they are told."""

import re
from typing import Any

import pytest

from gateway import prometheus
from gateway.traffic import MOST_NAMES, MOST_STATUSES, OTHER, Traffic

GAUGES = dict.fromkeys(prometheus.GAUGES, 1.0)


def answers(one: dict[str, Any]) -> dict[str, float]:
    return {status: sum(durations[:-1]) for status, durations in one["durations"].items()}


def some_traffic() -> Traffic:
    traffic = Traffic()
    sales = traffic.of("sales")
    sales.answered(200, 0.003, sent=100, received=7)
    sales.answered(200, 0.02, sent=50, received=0)
    sales.answered(503, 99.0, sent=0, received=0)
    sales.stream_ended(101, sent=10, received=20)
    sales.refused("rate")
    sales.ejections += 1
    sales.under_way += 2
    sales.streams += 1
    traffic.of_service("auth").answered(303, 0.25, sent=0, received=0)
    traffic.bad_requests += 1
    return traffic


def test_a_snapshot() -> None:
    sales = some_traffic().snapshot()["apps"]["sales"]
    assert answers(sales) == {"200": 2, "503": 1}
    assert sales["streams_ended"] == {"101": 1}  # how long a stream lasted is no latency
    assert sales["sent"] == 160
    assert sales["durations"]["200"] == [1, 0, 1, *[0] * 11, pytest.approx(0.023)]
    assert sales["durations"]["503"] == [*[0] * 13, 1, 99.0]
    assert sales["ejections"] == 1


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_NAMES >= 100_000
    monkeypatch.setattr("gateway.traffic.MOST_NAMES", 2)
    traffic = Traffic()
    for name in ("a", "b", "c", "d", "a"):
        traffic.of(name).answered(200, 0.1, 0, 0)
    apps = traffic.snapshot()["apps"]
    assert apps.keys() == {"a", "b", OTHER}
    assert answers(apps["a"]) == {"200": 2}
    assert answers(apps[OTHER]) == {"200": 2}
    traffic.forget("a")
    assert "a" not in traffic.snapshot()["apps"]


def test_statuses_are_bounded() -> None:
    traffic = Traffic()
    wild = traffic.of("wild")
    for status in range(100, 1000):
        wild.answered(status, 0.1, 0, 0)
        wild.stream_ended(status, 0, 0)
    snapshot = traffic.snapshot()["apps"]["wild"]
    for counts in (answers(snapshot), snapshot["streams_ended"]):
        assert sum(counts.values()) == 900
        assert len(counts) <= MOST_STATUSES + 10


def test_an_app_that_is_gone_begins_anew() -> None:
    traffic = Traffic()
    before = traffic.of("sales")
    before.answered(200, 0.1, 0, 0)
    traffic.forget("sales")
    traffic.forget("sales")
    before.under_way -= 1  # what is under way ends later, and harms nobody
    after = traffic.of("sales").snapshot()
    assert (after["under_way"], answers(after)) == (0, {})
    assert after["since"] >= before.since


async def rendered(traffic: Traffic) -> str:
    told = {"traffic": traffic.snapshot(), "gauges": GAUGES}
    return (await prometheus.render({"w": told})).decode()


async def test_prometheus_text() -> None:
    text = await rendered(some_traffic())
    line = re.compile(
        r"# (HELP|TYPE) moorage_gateway_\w+ .+|"
        r'moorage_gateway_\w+(\{(\w+="[^"]*",?)+\})? [0-9.e+-]+'
    )
    assert all(line.fullmatch(one) for one in text.splitlines())
    for wanted in (
        'moorage_gateway_requests_total{app="sales",worker="w",status="200"} 2',
        'moorage_gateway_requests_total{service="auth",worker="w",status="303"} 1',
        'moorage_gateway_refusals_total{app="sales",worker="w",reason="rate"} 1',
        'moorage_gateway_request_seconds_bucket{app="sales",worker="w",le="0.005"} 1',
        'moorage_gateway_request_seconds_bucket{app="sales",worker="w",le="60.0"} 2',
        'moorage_gateway_request_seconds_bucket{app="sales",worker="w",le="+Inf"} 3',
        'moorage_gateway_request_seconds_count{app="sales",worker="w"} 3',
        'moorage_gateway_requests_under_way{app="sales",worker="w"} 2',
        'moorage_gateway_open_streams{app="sales",worker="w"} 1',
        'moorage_gateway_ejections_total{app="sales",worker="w"} 1',
        'moorage_gateway_bad_requests_total{worker="w"} 1',
        'moorage_gateway_connections{worker="w"} 1.0',
    ):
        assert wanted in text.splitlines(), wanted
    names = [one.split()[2] for one in text.splitlines() if one.startswith("# TYPE")]
    assert len(names) == len(set(names))


async def test_labels_cannot_break_a_line() -> None:
    traffic = Traffic()
    traffic.of('a"\n\\').refused("rate")
    text = await rendered(traffic)
    wanted = r'moorage_gateway_refusals_total{app="a\"\n\\",worker="w",reason="rate"} 1'
    assert wanted in text.splitlines()
