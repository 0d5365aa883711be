"""All proxies under the same loads, in turn, several rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.bench.gateway import sockets
from tests.bench.gateway.closed import Measured, Requests
from tests.bench.gateway.people import Visit
from tests.bench.gateway.proxies import Gateway, Server
from tests.bench.gateway.table import GatewayReport
from tests.bench.report import median

OURS = Gateway.name
Load = Callable[[int, int, int], Measured]
"""Port, process, seconds."""
FRESH_HEADS = 20_000
"""More header blocks than a gateway that remembers them has room for."""


class Scenario(NamedTuple):
    """A load: its name in the figures, and the proxies it is put on, by their names."""

    name: str
    load: Load
    proxies: dict[str, Server]


@dataclass
class Comparison:
    """The rounds, and what they gave: scenario -> proxy -> one `Measured` for each round."""

    scenarios: Sequence[Scenario]
    seconds: int
    results: dict[str, dict[str, list[Measured]]] = field(default_factory=dict)

    def run(self, rounds: int) -> None:
        for number in range(rounds):
            print(f"  round {number + 1} of {rounds}", flush=True)
            for scenario in self.scenarios:
                self._turn(scenario, number)

    def _turn(self, scenario: Scenario, number: int) -> None:
        """Each proxy once; another one begins in each round."""
        names = list(scenario.proxies)
        first = number % len(names)
        found = self.results.setdefault(scenario.name, {name: [] for name in names})
        for name in names[first:] + names[:first]:
            server = scenario.proxies[name]
            try:
                found[name].append(scenario.load(server.port, server.pid, self.seconds))
            except AssertionError as error:
                raise AssertionError(f"{scenario.name} through {name}: {error}") from error

    def report(self, report: GatewayReport) -> None:
        for name, found in self.results.items():
            print(f"\n  {name:<22}" + "".join(f"{title:>12}" for title in _TITLES))
            for proxy, measured in found.items():
                values = (median(column) for column in zip(*measured, strict=True))
                print(f"  {'  ' + proxy:<22}" + "".join(f"{value:>12.1f}" for value in values))
        print()
        for name, found in self.results.items():
            self._ratios(report, name, found)

    def _ratios(self, report: GatewayReport, name: str, found: dict[str, list[Measured]]) -> None:
        for rival in (proxy for proxy in found if proxy != OURS):
            pairs = list(zip(found[OURS], found[rival], strict=True))
            for figure in ("cpu_us", "rps", "p50_ms", "p99_ms"):
                ratio = median([getattr(a, figure) / getattr(b, figure) for a, b in pairs])
                report.note(f"{name}_{figure.partition('_')[0]}_vs_{rival}", ratio)
        report.note(f"{name}_cpu_us", median([one.cpu_us for one in found[OURS]]), "us")
        report.note(f"{name}_rps", median([one.rps for one in found[OURS]]), "/s")


_TITLES = ("CPU us", "requests/s", "p50 ms", "p99 ms")


def scenarios(
    folder: Path,
    one: Sequence[Visit],
    many: Sequence[Visit],
    with_one: dict[str, Server],
    with_many: dict[str, Server],
) -> list[Scenario]:
    """Every load of the comparison; `one` and `many` are the visits where there is one app and
    where there are many."""
    nginx_and_ours = {name: with_one[name] for name in ("nginx", OURS)}
    texts = {
        "get_1k": [visit.get("1k") for visit in one],
        "get_1k_bare": [visit.bare_get("1k") for visit in one],
        "get_1k_new_heads": list(fresh_heads(one)),
        "get_100k": [visit.get("100k") for visit in one],
        "post_64k": [one[0].post("64k", b"p" * 65_536)],
        "get_1k_10000_routes": [visit.get("1k") for visit in many],
    }
    least = {"get_100k": 102_400, "post_64k": 4}
    of = {
        "get_1k_bare": nginx_and_ours,
        "get_1k_new_heads": nginx_and_ours,
        "get_1k_10000_routes": with_many,
    }
    found = [
        Scenario(name, Requests(folder / name, wanted, least.get(name, 1024)).load, proxies)
        for name, wanted in texts.items()
        if (proxies := of.get(name, with_one))
    ]
    handshakes = [visit.handshake() for visit in one]

    def echo(port: int, pid: int, seconds: int) -> Measured:
        return sockets.load(port, pid, handshakes, seconds)

    return [*found, Scenario("ws", echo, with_one)]


def fresh_heads(visits: Sequence[Visit]) -> list[bytes]:
    """Requests none of whose header blocks is like another."""
    return [
        visits[number % len(visits)].get("1k", ("X-Request-Id", f"{number:032x}"))
        for number in range(FRESH_HEADS)
    ]
