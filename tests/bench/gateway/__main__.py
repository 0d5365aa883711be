"""The whole run; `--help` says how to make it shorter."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.embedded import credentials
from deploy.embedded.credentials import free_ports
from deploy.embedded.layout import CHECKOUT, Layout
from tests.bench.gateway import cores, limits, people, routes, switches, tools
from tests.bench.gateway.closed import Requests
from tests.bench.gateway.comparison import OURS, Comparison, Scenario, scenarios
from tests.bench.gateway.people import People, Visit
from tests.bench.gateway.proxies import (
    RIVALS,
    Backend,
    Gateway,
    Nginx,
    QuickBackend,
    Server,
    running,
)
from tests.bench.gateway.table import GatewayReport
from tests.conftest import NatsServer

MANY = 10_000
PARTS = {
    "compare": "All proxies in turn",
    "latency": "Latency at half of our capacity",
    "workers": "Two workers",
    "idle": "Idle WebSockets",
    "switches": "Deploys, restarts and kills under load",
    "routes": "100,000 routes",
}


class Bench:
    """What all parts share: a folder, a NATS server, a backend, and the people."""

    def __init__(self, folder: Path, checkout: Path, python: str) -> None:
        self.folder = folder
        self.checkout = checkout
        self.python = python
        self.people = People()
        layout = Layout(folder / "platform")
        layout.make()
        credentials.ensure(layout)
        self.nats = NatsServer(layout)
        self.backend = Backend(folder / "backend", free_ports(2), cores.LOAD)

    def gateway(
        self,
        name: str,
        apps: int = 1,
        addresses: Sequence[str] = (),
        workers: int = 1,
        public: Sequence[str] = (),
        python_path: str = "",
    ) -> Gateway:
        """A gateway with a home of its own, not started yet; `public` are apps without a route."""
        folder = self.folder / name
        names = people.app_names(apps)
        self.people.write_home(folder, names, addresses or [self.backend.address], public)
        settings = routes.nats_settings(self.nats) | {"MOORAGE_GATEWAY_WORKERS": str(workers)}
        on = cores.PROXY if workers == 1 else cores.ALL
        return Gateway(folder, settings, on, self.checkout, self.python, python_path)

    def proxies(self, apps: int) -> dict[str, Server]:
        """All of them with so many routes, not started yet."""
        names, port = people.app_names(apps), self.backend.port
        rivals = [kind(self.folder / f"{kind.name}-{apps}", names, port) for kind in RIVALS]
        return {one.name: one for one in (self.gateway(f"ours-{apps}", apps), *rivals)}

    def visits(self, gateway: Gateway, apps: int = 1) -> list[Visit]:
        gateway.wait_until_ready()
        return people.visits(self.people, people.app_names(apps), gateway.port)


def main() -> None:
    options = arguments()
    logging.disable(logging.WARNING)  # of our own client of NATS, whose server comes and goes
    tools.install()
    open_files = cores.raise_open_files()
    os.sched_setaffinity(0, cores.LOAD)
    report, began = GatewayReport(), time.monotonic()
    print(f"  our gateway runs on {version_of(options.python)}")
    with bench(options.checkout, options.python) as shared:
        for part in (part for part in PARTS if part in options.parts):
            print(f"\n{PARTS[part]}", flush=True)
            measure(part, report, shared, options, open_files)
    report.show_asked()
    print(f"  {time.monotonic() - began:.0f} s")
    if set(options.parts) == set(PARTS) and not (options.quick or options.loads):
        report.write()


def measure(
    part: str, report: GatewayReport, shared: Bench, options: argparse.Namespace, open_files: int
) -> None:
    match part:
        case "compare":
            compare(report, shared, options)
        case "latency":
            added_latency(report, shared, options)
        case "workers":
            two_workers(report, shared, options)
        case "idle":
            idle_sockets(report, shared, open_files)
        case "switches":
            switched(report, shared)
        case _:
            many_routes(report, shared)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each load (default 2)")
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--loads", nargs="+", help="of the comparison, such as get_1k and ws")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="whose gateway to measure")
    parser.add_argument("--python", default=str(tools.PYTHON), help="what runs the gateway")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1
    return options


def version_of(python: str) -> str:
    told = subprocess.run([python, "-VV"], capture_output=True, text=True, check=True)
    return " ".join(told.stdout.split())


@contextlib.contextmanager
def bench(checkout: Path = CHECKOUT, python: str = sys.executable) -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="mrg-bench-"))
    folder.chmod(0o755)  # nginx gives its worker away to nobody
    made = Bench(folder, checkout.resolve(), python)
    made.nats.start()
    try:
        with running([made.backend]):
            yield made
    finally:
        made.nats.kill()
        shutil.rmtree(folder, ignore_errors=True)


def compare(report: GatewayReport, shared: Bench, options: argparse.Namespace) -> None:
    with_one, with_many = shared.proxies(1), shared.proxies(MANY)
    with running([*with_one.values(), *with_many.values()]):
        one = shared.visits(_ours(with_one))
        many = shared.visits(_ours(with_many), MANY)
        loads = scenarios(shared.folder, one, many, with_one, with_many)
        comparison = Comparison(_chosen(loads, options.loads), options.seconds)
        comparison.run(options.rounds)
        comparison.report(report)


def added_latency(report: GatewayReport, shared: Bench, options: argparse.Namespace) -> None:
    backend = QuickBackend(shared.folder / "quick", cores.LOAD)
    ours = shared.gateway("latency", addresses=[f"127.0.0.1:{backend.port}"])
    nginx = Nginx(shared.folder / "latency-nginx", people.app_names(1), backend.port)
    with running([backend, ours, nginx]):
        requests = Requests(shared.folder / "latency", _gets(shared.visits(ours)), 1024)
        limits.measure_added_latency(report, ours, nginx, requests, options.rounds)


def two_workers(report: GatewayReport, shared: Bench, options: argparse.Namespace) -> None:
    backends = [
        Backend(shared.folder / f"backend-{number}", free_ports(1), cores.ALL)
        for number in range(2)
    ]
    addresses = [backend.address for backend in backends]
    two = shared.gateway("two", addresses=addresses, workers=2)
    ones = [shared.gateway(f"one-{number}", addresses=addresses) for number in range(2)]
    with running([*backends, two, *ones]):
        two.wait_until_ready()
        requests = Requests(shared.folder / "workers", _gets(shared.visits(ones[0])), 1024)
        limits.measure_two_workers(
            report,
            limits.TwoAndOne(two, ones),
            backends,
            requests,
            options.rounds,
            options.seconds,
        )


def idle_sockets(report: GatewayReport, shared: Bench, open_files: int) -> None:
    gateway = shared.gateway("idle")
    with running([gateway]):
        handshakes = [visit.handshake() for visit in shared.visits(gateway)]
        limits.measure_idle_sockets(report, gateway, handshakes, open_files)


def switched(report: GatewayReport, shared: Bench) -> None:
    gateway = shared.gateway("switched", workers=2, public=[switches.APP])
    with running([gateway]):
        asyncio.run(switches.measure(report, shared.nats, gateway, shared.backend))


def many_routes(report: GatewayReport, shared: Bench) -> None:
    gateway = shared.gateway("many", public=routes.changed_apps())
    visit = Visit("", shared.people.session(shared.people.names[0]))
    try:
        asyncio.run(routes.measure(report, shared.nats, gateway, shared.backend, visit))
    finally:
        gateway.stop()


def _gets(visits: Sequence[Visit]) -> list[bytes]:
    return [visit.get("1k") for visit in visits]


def _ours(proxies: dict[str, Server]) -> Gateway:
    gateway = proxies[OURS]
    assert isinstance(gateway, Gateway)
    return gateway


def _chosen(loads: list[Scenario], names: list[str] | None) -> list[Scenario]:
    return [load for load in loads if names is None or load.name in names]


if __name__ == "__main__":
    try:
        main()
    except tools.Missing as missing:
        sys.exit(str(missing))
