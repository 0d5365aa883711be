"""What a worker tells of itself, and what all of them tell together at `/-/metrics`."""

import resource
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

from gateway import prometheus
from gateway.gate import Gate
from gateway.pages import Reply

Told = dict[str, Any]
"""{"name": worker, "traffic": Traffic.snapshot(), "gauges": {name: number}} of one worker."""


def gauges(gate: Gate, connected: bool) -> dict[str, float]:
    """Figures of this moment (`prometheus.GAUGES` says what they mean)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ledger = gate.ledger
    return {
        "connections": len(gate.clients),
        "routes": len(gate.table.routes),
        "targets_ejected": gate.pools.ejected(monotonic()),
        "bus_connected": float(connected),
        "started_seconds": ledger.traffic.started,
        "resident_bytes": _resident_bytes(),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "log_lines_lost": ledger.log.lost if ledger.log else 0,
    }


def told(name: str, gate: Gate, connected: bool) -> Told:
    return {
        "name": name,
        "traffic": gate.ledger.traffic.snapshot(),
        "gauges": gauges(gate, connected),
    }


async def page(ask: Callable[[], Awaitable[list[Told]]]) -> Reply:
    """What all workers tell, each for itself."""
    workers = {one["name"]: one for one in await ask()}
    kind = (("Content-Type", prometheus.CONTENT_TYPE), ("Cache-Control", "no-store"))
    return Reply(200, kind, await prometheus.render(workers))


def _resident_bytes() -> int:
    """From /proc/self/statm, whose second figure is in pages (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
