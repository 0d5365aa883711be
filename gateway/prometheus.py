"""The counts in Prometheus's text format (exposition format 0.0.4)."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from gateway.traffic import SECONDS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "moorage_gateway_"
_AT_ONCE = 64

Lines = Callable[[str, str, Mapping[str, Any]], str]
Place = tuple[str, Mapping[str, Any]]
"""Labels as they are written, each with a comma, and the counts that they tell apart."""

GAUGES = {
    "connections": "Open connections of clients.",
    "routes": "Apps that the gateway knows.",
    "targets_ejected": "Instances passed over because they failed.",
    "bus_connected": "Whether the worker hears news of routes and access (1) or not (0).",
    "started_seconds": "When the worker started, in seconds since the epoch.",
    "resident_bytes": "Memory of the worker.",
    "cpu_seconds": "CPU time that the worker has used.",
    "log_lines_lost": "Lines of the access log that could not be written.",
}
"""What each worker tells of itself (`selfreport.gauges`)."""
_GROWING = ("cpu_seconds", "log_lines_lost")


async def render(workers: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The text, from what each worker tells (`{"traffic": Traffic.snapshot(), "gauges": ...}`).

    A sum over workers would fall whenever one ends or is too busy to be asked, which Prometheus
    takes for counters that begin anew, and counts all of the other workers' requests again. Other
    connections are served meanwhile: this takes a moment with thousands of apps.
    """
    pieces: list[str] = []
    counts = {name: one["traffic"] for name, one in workers.items()}
    for piece in _pieces(counts, {name: one["gauges"] for name, one in workers.items()}):
        pieces.append(piece)
        if len(pieces) % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return "".join(pieces).encode()


def _pieces(
    counts: Mapping[str, Mapping[str, Any]], gauges: Mapping[str, Mapping[str, float]]
) -> Iterator[str]:
    """The text, family by family; `counts` and `gauges` by worker."""
    workers = [(_labels(worker=worker), one) for worker, one in counts.items()]
    places = [place for worker, one in counts.items() for place in _places(worker, one)]
    for families, tellers in ((_OF_PLACES, places), (_OF_WORKERS, workers)):
        for name, kind, words, lines in families:
            yield _head(name, kind, words)
            for labels, one in tellers:
                yield lines(name, labels, one)
    for name, words in GAUGES.items():
        grows = name in _GROWING
        shown = f"{name}_total" if grows else name
        yield _head(shown, "counter" if grows else "gauge", words)
        for worker, one in gauges.items():
            if name in one:  # a worker of another version may not know it
                yield _line(shown, _labels(worker=worker), one[name])


def _places(worker: str, counts: Mapping[str, Any]) -> Iterator[Place]:
    for name, one in counts["apps"].items():
        yield _labels(app=name, worker=worker), one
    for name, one in counts["services"].items():
        yield _labels(service=name, worker=worker), one


def _requests(name: str, labels: str, one: Mapping[str, Any]) -> str:
    totals: dict[str, float] = dict(one["streams_ended"])
    for status, durations in one["durations"].items():
        totals[status] = totals.get(status, 0) + sum(durations[:-1])
    return _by("status", totals, name, labels)


def _request_seconds(name: str, labels: str, one: Mapping[str, Any]) -> str:
    *buckets, seconds = _added(one["durations"].values())
    below = list(accumulate(buckets))
    begin = f"{_PREFIX}{name}_bucket{{{labels}"
    lines = [f"{begin}{bound}{count}\n" for bound, count in zip(_BOUNDS, below, strict=True)]
    lines.append(_line(f"{name}_sum", labels, seconds))
    lines.append(_line(f"{name}_count", labels, below[-1]))
    return "".join(lines)


def _added(durations: Iterable[list[float]]) -> list[float]:
    return [sum(column) for column in zip(_NONE, *durations, strict=True)]


def _refusals(name: str, labels: str, one: Mapping[str, Any]) -> str:
    return _by("reason", one["refusals"], name, labels)


def _own_answers(name: str, labels: str, one: Mapping[str, Any]) -> str:
    return _by("status", one["own_answers"], name, labels)


def _by(label: str, values: Mapping[str, float], name: str, labels: str) -> str:
    return "".join(
        _line(name, f'{labels}{label}="{_escaped(value)}",', count)
        for value, count in values.items()
    )


def _member(member: str) -> Lines:
    return lambda name, labels, one: _line(name, labels, one[member])


_BOUNDS = tuple(f'le="{bound}"}} ' for bound in (*SECONDS, "+Inf"))
_NONE = (*(0 for _ in _BOUNDS), 0.0)
_OF_PLACES: tuple[tuple[str, str, str, Lines], ...] = (
    (
        "requests_total",
        "counter",
        "Requests that ended, by status (0: never answered).",
        _requests,
    ),
    (
        "refusals_total",
        "counter",
        "Requests that the gateway answered in the app's stead.",
        _refusals,
    ),
    (
        "ejections_total",
        "counter",
        "How often an instance was passed over from then on, because it failed.",
        _member("ejections"),
    ),
    (
        "request_seconds",
        "histogram",
        "Time from a request's head to its answer's end.",
        _request_seconds,
    ),
    (
        "requests_under_way",
        "gauge",
        "Requests without their whole answer.",
        _member("under_way"),
    ),
    ("open_streams", "gauge", "Open WebSockets and event streams.", _member("streams")),
    ("sent_bytes_total", "counter", "Bytes of bodies sent to clients.", _member("sent")),
    (
        "received_bytes_total",
        "counter",
        "Bytes of bodies taken from clients.",
        _member("received"),
    ),
)
_OF_WORKERS: tuple[tuple[str, str, str, Lines], ...] = (
    (
        "own_answers_total",
        "counter",
        "Requests that went to no app or service, by status.",
        _own_answers,
    ),
    (
        "bad_requests_total",
        "counter",
        "What came and was no sound request.",
        _member("bad_requests"),
    ),
)


def _head(name: str, kind: str, words: str) -> str:
    return f"# HELP {_PREFIX}{name} {words}\n# TYPE {_PREFIX}{name} {kind}\n"


def _line(name: str, labels: str, value: float) -> str:
    shown = f"{{{labels[:-1]}}}" if labels else ""
    return f"{_PREFIX}{name}{shown} {value}\n"


def _labels(**values: str) -> str:
    """Each followed by a comma, so that more can follow."""
    return "".join(f'{label}="{_escaped(value)}",' for label, value in values.items() if value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
