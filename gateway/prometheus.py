"""The counts in Prometheus's text format (exposition format 0.0.4)."""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.traffic import SECONDS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "moorage_gateway_"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


def render(counts: Mapping[str, Any], workers: Mapping[str, Mapping[str, float]]) -> bytes:
    """`counts` is the sum of the workers' `Traffic.snapshot`; `workers` has each one's gauges."""
    places = [({"app": name, "service": ""}, one) for name, one in counts["apps"].items()]
    places += [({"app": "", "service": name}, one) for name, one in counts["services"].items()]
    lines: list[str] = []
    lines += _metric(
        "requests_total",
        "counter",
        "Requests that ended, by status (0: never answered).",
        _by(places, "statuses", "status"),
    )
    lines += _metric(
        "refusals_total",
        "counter",
        "Requests that the gateway answered in the app's stead.",
        _by(places, "refusals", "reason"),
    )
    lines += _histogram(places)
    for name, kind, words, member in (
        ("requests_under_way", "gauge", "Requests without their whole answer.", "under_way"),
        ("open_streams", "gauge", "Open WebSockets and event streams.", "streams"),
        ("sent_bytes_total", "counter", "Bytes of bodies sent to clients.", "sent"),
        ("received_bytes_total", "counter", "Bytes of bodies taken from clients.", "received"),
    ):
        lines += _metric(name, kind, words, ((labels, one[member]) for labels, one in places))
    bad = [({}, counts["bad_requests"])]
    lines += _metric("bad_requests_total", "counter", "What came and was no sound request.", bad)
    for name, words in GAUGES.items():
        samples = [({"worker": worker}, gauges[name]) for worker, gauges in workers.items()]
        lines += _metric(name, "gauge", words, samples)
    return ("\n".join(lines) + "\n").encode()


GAUGES = {
    "connections": "Open connections of clients.",
    "routes": "Apps that the gateway knows.",
    "targets_ejected": "Instances passed over because they failed.",
    "bus_connected": "Whether the worker hears news of routes and access (1) or not (0).",
    "started_seconds": "When the worker started, in seconds since the epoch.",
    "resident_bytes": "Memory of the worker.",
    "cpu_seconds": "CPU time that the worker has used.",
}
"""What each worker tells of itself (`selfreport.gauges`)."""


def _by(
    places: Iterable[tuple[dict[str, str], Mapping[str, Any]]], member: str, label: str
) -> Iterable[Sample]:
    for labels, one in places:
        for value, count in one[member].items():
            yield {**labels, label: value}, count


def _histogram(places: Iterable[tuple[dict[str, str], Mapping[str, Any]]]) -> list[str]:
    name = "request_seconds"
    lines = _head(name, "histogram", "Time from a request's head to its answer's end.")
    for labels, one in places:
        below = 0
        for bound, count in zip((*map(str, SECONDS), "+Inf"), one["buckets"], strict=True):
            below += count
            lines.append(_line(f"{name}_bucket", {**labels, "le": bound}, below))
        lines.append(_line(f"{name}_sum", labels, one["seconds"]))
        lines.append(_line(f"{name}_count", labels, below))
    return lines


def _metric(name: str, kind: str, words: str, samples: Iterable[Sample]) -> list[str]:
    return _head(name, kind, words) + [_line(name, labels, value) for labels, value in samples]


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {_PREFIX}{name} {words}", f"# TYPE {_PREFIX}{name} {kind}"]


def _line(name: str, labels: Labels, value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items() if text)
    return f"{_PREFIX}{name}{'{' + pairs + '}' if pairs else ''} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
