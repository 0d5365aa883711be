"""Tables for people and `.bench/NAME.json` for programs."""

import json
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / ".bench"


class Report:
    """Figures in the order in which they were measured."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures: dict[str, float] = {}

    def add(self, figure: str, value: float, limit: float | None = None, unit: str = "") -> None:
        """Note a figure; `limit` is what the issue asks for (at most), shown beside it."""
        self.figures[figure] = round(value, 4)
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        verdict = "" if limit is None else f"  (at most {limit:g}: {_verdict(value <= limit)})"
        print(f"  {figure:<44} {shown:>10} {unit}{verdict}", flush=True)

    def write(self) -> None:
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{self.name}.json"
        path.write_text(json.dumps(self.figures, indent=2) + "\n")
        print(f"\n  written to .bench/{path.name}")


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _verdict(good: bool) -> str:
    return "reached" if good else "MISSED"
