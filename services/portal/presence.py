"""Which processes of the platform are there: each renews its own row in the bucket `targets`."""

import time
from datetime import UTC, datetime
from typing import Any

from shared.bus import Bucket
from shared.events.catalogue import PROCESSES

PUBLIC = ("service", "instance", "state", "since", "age_seconds")
"""What everybody signed in may know; addresses and process ids are for administrators."""


class Presence:
    """Reads the bucket `targets`. Raises `Unavailable` while the bus is away."""

    def __init__(self, targets: Bucket) -> None:
        self._targets = targets

    async def rows(self, details: bool) -> list[dict[str, Any]]:
        """One row per process, and one with state "absent" per service that has none."""
        rows = [_row(row, time.time()) for row in (await self._targets.items()).values()]
        present = {row["service"] for row in rows}
        rows += [{"service": name, "state": "absent"} for name in PROCESSES if name not in present]
        rows.sort(key=lambda row: (row["service"], row.get("instance", "")))
        return rows if details else [_public(row) for row in rows]


def _row(presence: dict[str, Any], now: float) -> dict[str, Any]:
    """`since` is when the process started, `age_seconds` how long ago it last said it is there."""
    return {
        "service": presence["service"],
        "instance": presence["instance"],
        "state": "running",
        "since": datetime.fromtimestamp(presence["started_at"], UTC),
        "age_seconds": round(max(0.0, now - presence["seen_at"]), 1),
        "address": presence["address"],
        "pid": presence["pid"],
    }


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in PUBLIC if name in row}
