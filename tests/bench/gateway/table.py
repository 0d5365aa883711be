"""What is asked for, and the table at the end."""

from typing import NamedTuple

from tests.bench.report import Report


class Asked(NamedTuple):
    """A bound and its side: `at_most` or, if not, at least."""

    bound: float
    at_most: bool = True

    def met(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


ASKED = {
    "get_1k_cpu_vs_nginx": Asked(1.8),
    "get_1k_cpu_vs_caddy": Asked(0.45),
    "get_100k_cpu_vs_nginx": Asked(1.5),
    "post_64k_cpu_vs_nginx": Asked(1.5),
    "ws_cpu_vs_nginx": Asked(1.3),
    "get_1k_10000_routes_cpu_vs_nginx": Asked(1.8),
    "p99_added_at_half_capacity_ms": Asked(2.0),
    "two_workers_vs_one": Asked(1.8, at_most=False),
    "idle_websocket_kb": Asked(20),
    "routes_100k_mb": Asked(150),
    "routes_100k_change_ms": Asked(50),
    "deploy_failed": Asked(0),
    "restart_failed": Asked(0),
    "worker_back_ms": Asked(1000),
}


class GatewayReport(Report):
    """The figures, and beside those that something is asked of, whether they reach it."""

    def __init__(self) -> None:
        super().__init__("gateway")

    def note(self, figure: str, value: float, unit: str = "") -> None:
        self.figures[figure] = round(value, 4)
        print(f"  {figure:<44} {value:>10.3f} {unit}", flush=True)

    def show_asked(self) -> None:
        """Print the table: measured, asked for, met?"""
        print(f"\n  {'':<36} {'measured':>10} {'asked for':>10}  met?")
        for figure, asked in ASKED.items():
            value = self.figures.get(figure)
            shown = "-" if value is None else f"{value:.2f}"
            verdict = "not measured" if value is None else "yes" if asked.met(value) else "NO"
            print(f"  {figure:<36} {shown:>10} {asked!s:>10}  {verdict}")
