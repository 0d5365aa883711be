"""The text for Prometheus, read by its own rules (exposition format 0.0.4)."""

import asyncio
import re
from typing import Any

import orjson
import pytest

from gateway.prometheus import GAUGES, render
from gateway.traffic import Traffic

_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)+)\})? (\S+)')
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\[\\"n])*)"')
_SUFFIX = re.compile(r"_(bucket|sum|count)$")

Key = tuple[str, frozenset[tuple[str, str]]]


def read(text: bytes) -> tuple[dict[str, str], dict[Key, float]]:
    """Families with their kinds, and samples; AssertionError where the format's rules are broken:
    help and kind once and before a family's samples, which stand together, none of them twice."""
    kinds: dict[str, str] = {}
    samples: dict[Key, float] = {}
    helped: list[str] = []
    assert text.endswith(b"\n")
    for line in text.decode().splitlines():
        if line.startswith("# HELP "):
            helped.append(line.split(" ")[2])
            assert helped.count(helped[-1]) == 1
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped[-1]
            kinds[name] = kind
        else:
            name, labels, value = read_sample(line)
            family = _SUFFIX.sub("", name) if kinds[helped[-1]] == "histogram" else name
            assert family == helped[-1], "a family is scattered"
            assert (name, labels) not in samples
            samples[name, labels] = value
    for name, kind in kinds.items():
        assert (kind == "counter") == name.endswith("_total")
    return kinds, samples


def read_sample(line: str) -> tuple[str, frozenset[tuple[str, str]], float]:
    match = _SAMPLE.fullmatch(line)
    assert match, line
    labels = _LABEL.findall(match[2] or "")
    assert len(dict(labels)) == len(labels)
    return match[1], frozenset(labels), float(match[3])


def key(name: str, **labels: str) -> Key:
    return f"moorage_gateway_{name}", frozenset(labels.items())


def told(traffic: Traffic, **gauges: float) -> dict[str, Any]:
    """What a worker tells its siblings, after its way through JSON."""
    return orjson.loads(orjson.dumps({"traffic": traffic.snapshot(), "gauges": gauges}))


def two_workers() -> dict[str, Any]:
    first, second = Traffic(), Traffic()
    for seconds in (0.001, 0.005, 0.006, 61.0):
        first.of("sales").answered(200, seconds, 10, 1)
    first.of("sales").answered(502, 0.2, 0, 0)
    first.of("sales").stream_ended(101, 5, 6)
    first.of("sales").stream_ended(200, 5, 6)
    first.of("sales").refused("rate")
    second.of("sales").answered(200, 0.2, 1, 1)
    second.of_service("auth").answered(303, 0.2, 1, 1)
    second.replied(404)
    second.bad_requests += 2
    return {"g.0.a": told(first, connections=3, cpu_seconds=0.5), "g.1.b": told(second, routes=2.0)}


async def test_workers_are_told_apart() -> None:
    kinds, samples = read(await render(two_workers()))
    assert kinds["moorage_gateway_request_seconds"] == "histogram"
    first = {"app": "sales", "worker": "g.0.a"}
    assert samples[key("requests_total", status="200", **first)] == 5  # an event stream among them
    assert samples[key("requests_total", status="101", **first)] == 1
    assert samples[key("requests_total", status="502", **first)] == 1
    assert samples[key("refusals_total", reason="rate", **first)] == 1
    assert samples[key("sent_bytes_total", **first)] == 50
    assert samples[key("received_bytes_total", **first)] == 16
    assert samples[key("requests_total", status="200", app="sales", worker="g.1.b")] == 1
    assert samples[key("requests_total", status="303", service="auth", worker="g.1.b")] == 1
    assert samples[key("own_answers_total", status="404", worker="g.1.b")] == 1
    assert samples[key("bad_requests_total", worker="g.1.b")] == 2
    assert samples[key("bad_requests_total", worker="g.0.a")] == 0
    assert samples[key("connections", worker="g.0.a")] == 3
    assert samples[key("cpu_seconds_total", worker="g.0.a")] == 0.5
    assert samples[key("routes", worker="g.1.b")] == 2
    assert key("connections", worker="g.1.b") not in samples


async def test_a_histogram_adds_up() -> None:
    _, samples = read(await render(two_workers()))
    of_first = {
        dict(labels)["le"]: value
        for (name, labels), value in samples.items()
        if name.endswith("request_seconds_bucket") and ("worker", "g.0.a") in labels
    }
    assert of_first["0.005"] == 2  # a bound belongs to its bucket
    assert of_first["0.01"] == of_first["0.1"] == 3
    assert of_first["0.25"] == of_first["60.0"] == 4
    assert of_first["+Inf"] == 5
    assert list(of_first.values()) == sorted(of_first.values())
    first = {"app": "sales", "worker": "g.0.a"}
    assert samples[key("request_seconds_count", **first)] == 5
    assert samples[key("request_seconds_sum", **first)] == pytest.approx(61.212)


async def test_labels_are_escaped() -> None:
    traffic = Traffic()
    traffic.of('a"} 1\n\\').refused("rate")
    text = await render({'w"': told(traffic)})
    assert rb'{app="a\"} 1\n\\",worker="w\"",reason="rate"} 1' in text
    read(text)


async def test_nothing_yet() -> None:
    for text in (await render({}), await render({"w": told(Traffic())})):
        kinds, _ = read(text)
        shown = [name.removeprefix("moorage_gateway_").removesuffix("_total") for name in kinds]
        assert set(GAUGES) <= set(shown)


async def test_others_are_served_while_thousands_of_apps_are_told() -> None:
    traffic = Traffic()
    for number in range(500):
        traffic.of(f"app-{number}").answered(200, 0.1, 1, 1)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    text = await render({"w": told(traffic)})
    task.cancel()
    assert turns > 20
    _, samples = read(text)
    assert sum(name.endswith("request_seconds_count") for name, _ in samples) == 500
