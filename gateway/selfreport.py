"""What a worker tells of itself, and the sum of all workers as the answer to `/-/metrics`."""

import asyncio
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway import prometheus
from gateway.gate import Gate
from gateway.pages import Reply
from gateway.traffic import merge

Told = dict[str, Any]
"""{"traffic": Traffic.snapshot(), "gauges": {name: number}} of one worker."""


def gauges(gate: Gate, connected: bool) -> dict[str, float]:
    """Figures of this moment (`prometheus.GAUGES` says what they mean)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "connections": len(gate.clients),
        "routes": len(gate.table.routes),
        "targets_ejected": gate.pools.ejected(asyncio.get_running_loop().time()),
        "bus_connected": float(connected),
        "started_seconds": gate.ledger.traffic.started,
        "resident_bytes": _resident_bytes(),
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def told(gate: Gate, connected: bool) -> Told:
    return {"traffic": gate.ledger.traffic.snapshot(), "gauges": gauges(gate, connected)}


async def page(ask: Callable[[], Mapping[str, Told]]) -> Reply:
    """The counts of all workers, added up; `ask` may block for a moment."""
    workers = await asyncio.to_thread(ask)
    counts = merge(one["traffic"] for one in workers.values())
    shown = {name: one["gauges"] for name, one in workers.items()}
    kind = (("Content-Type", prometheus.CONTENT_TYPE), ("Cache-Control", "no-store"))
    return Reply(200, kind, prometheus.render(counts, shown))


def _resident_bytes() -> int:
    """From /proc/self/statm, whose second figure is in pages (proc(5))."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
