"""What is measured beside the comparison: added latency, a second worker, idle WebSockets."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import uvloop

from gateway import handover
from tests.bench.gateway import cores, opened
from tests.bench.gateway.closed import CONNECTIONS, Requests, rps
from tests.bench.gateway.opened import Answered
from tests.bench.gateway.proxies import Gateway, Server
from tests.bench.gateway.sockets import ECHO, MESSAGE, WebSocket, open_many
from tests.bench.gateway.stalls import AFTERMATH_SECONDS, Stall, Watch
from tests.bench.gateway.table import GatewayReport
from tests.bench.report import median, percentile

SOCKETS = 10_000
SPARE_FILES = 200
WINDOW_SECONDS = 0.1
CAPACITY_SECONDS = 2
LATENCY_SECONDS = 1.0
ENOUGH_ANSWERS = 1000
LATENCY_TURNS = 4
"""Turns of each proxy in a round: short ones, so that both meet the same machine."""


def measure_added_latency(
    report: GatewayReport, ours: Gateway, nginx: Server, requests: Requests, rounds: int
) -> None:
    """p99 of ours minus p99 of nginx, requests arriving at random at half of our capacity.

    Our capacity is what a closed load gets out of it. A virtual machine stands still for some
    milliseconds now and then, or runs slowly for a while because its neighbours are busy, and then
    a queue tells of the machine and not of the proxy. So windows in which it stood still are left
    out, each turn has a p99 of its own, and of the turns the calmer ones count: the figure is the
    difference of both proxies' first quartiles. `..._median_ms` is the median of the differences.
    """
    warm = [requests.load(ours.port, ours.pid, CAPACITY_SECONDS) for _ in range(3)]
    rate = median([one.rps for one in warm]) / 2
    turns: list[Turn] = []
    with Watch(cores.ALL) as watch:
        for number in range(rounds * LATENCY_TURNS):
            pair = (
                opened.answers(proxy.port, requests.texts, rate, LATENCY_SECONDS, seed=number)
                for proxy in (ours, nginx)
            )
            turns.append(Turn(*pair))
    calm = [turn for turn in (turn.without(watch.stalls) for turn in turns) if turn.is_enough]
    report.note("half_capacity_rps", rate, "/s")
    report.note("half_capacity_calm_turns", len(calm))
    if not watch.works:
        print("  only root can tell when the machine stands still: nothing was left out")
    _report_latency(report, calm or turns)


class Turn(NamedTuple):
    """What both proxies answered, one after the other, to the same arrivals."""

    ours: Sequence[Answered]
    nginx: Sequence[Answered]

    @property
    def is_enough(self) -> bool:
        """Whether both have a p99 to speak of."""
        return min(len(self.ours), len(self.nginx)) >= ENOUGH_ANSWERS

    def without(self, stalls: Sequence[Stall]) -> Turn:
        return Turn(_calm(self.ours, stalls), _calm(self.nginx, stalls))

    def of(self, percent: float) -> tuple[float, float]:
        """Milliseconds: ours and nginx's."""
        ours, nginx = (percentile([one.took for one in side], percent) * 1000 for side in self)
        return ours, nginx


def _report_latency(report: GatewayReport, turns: Sequence[Turn]) -> None:
    for percent in (50, 99):
        pairs = [turn.of(percent) for turn in turns]
        ours, nginx = (percentile(side, 25) for side in zip(*pairs, strict=True))
        report.note(f"p{percent}_at_half_capacity_ms", ours, "ms")
        report.note(f"p{percent}_added_at_half_capacity_ms", ours - nginx, "ms")
        differences = [ours - nginx for ours, nginx in pairs]
        report.note(f"p{percent}_added_at_half_capacity_median_ms", median(differences), "ms")


def _calm(answered: Sequence[Answered], stalls: Sequence[Stall]) -> list[Answered]:
    """The requests that arrived in windows without a stall."""
    bad: set[int] = set()
    for stall in stalls:
        first, last = stall.begin, stall.end + AFTERMATH_SECONDS
        bad.update(range(int(first / WINDOW_SECONDS), int(last / WINDOW_SECONDS) + 1))
    return [one for one in answered if int(one.arrived / WINDOW_SECONDS) not in bad]


class TwoAndOne(NamedTuple):
    """A gateway of two workers, and two gateways of one."""

    two: Gateway
    ones: Sequence[Gateway]


def measure_two_workers(
    report: GatewayReport,
    gateways: TwoAndOne,
    backends: Sequence[Server],
    requests: Requests,
    rounds: int,
    seconds: int,
) -> None:
    """How much more one gateway with two workers does than a gateway with one.

    On a machine of two cores none is free for load and backends, and where the cores are halves of
    one, a busy neighbour alone makes each of them slower. So every core carries the same, a worker,
    a backend and a load of 64 connections, and what is compared with one gateway of two workers are
    two gateways of one worker each, at the same places under the same load: they share nothing, so
    half of what they do together is what one worker does on a core as free as these are. The
    figure, requests a second of the two workers over that half, is 2 less what they cost each
    other (locks, connections that spread unevenly). `two_cores_vs_one` says what the machine itself
    gives: two separate gateways on two cores over one of them with a core for itself.
    """
    workers = list(handover.living(handover.gateway_folder(gateways.two.folder)).values())
    if len(workers) < 2 or len(cores.ALL) < 2:
        print("  there is no second worker (MOORAGE_GATEWAY_WORKERS) or core; not measured")
        return
    places = [[core] for core in cores.ALL[-2:]]
    for worker, gateway, place in zip(workers, gateways.ones, places, strict=False):
        cores.pin(worker, place)
        gateway.pin(place)
    ports = [gateway.port for gateway in gateways.ones]
    ratios: list[float] = []
    scales: list[float] = []
    shares: list[float] = []
    for _ in range(rounds):
        alone = _loaded(requests, ports[:1] * 2, backends, places[:1], seconds)
        separate = _loaded(requests, ports, backends, places, seconds)
        before = [cores.cpu_ns(pid) for pid in workers[:2]]
        together = _loaded(requests, [gateways.two.port] * 2, backends, places, seconds)
        spent = [cores.cpu_ns(pid) - was for pid, was in zip(workers, before, strict=False)]
        ratios.append(2 * together / separate)
        scales.append(separate / alone)
        shares.append(min(spent) / sum(spent))
    report.note("two_workers_vs_one", median(ratios))
    report.note("two_workers_smaller_share", median(shares))
    report.note("two_cores_vs_one", median(scales))


def _loaded(
    requests: Requests,
    ports: Sequence[int],
    backends: Sequence[Server],
    places: Sequence[Sequence[int]],
    seconds: int,
) -> float:
    """Requests a second of all loads: from each place half of the connections to each port."""
    for number, backend in enumerate(backends):
        backend.pin(places[number % len(places)])
    pairs = list(itertools.product(ports, places))
    connections = CONNECTIONS // len(ports)
    with ThreadPoolExecutor(len(pairs)) as pool:
        loads = [
            pool.submit(requests.send, port, seconds, place, connections) for port, place in pairs
        ]
        return sum(rps(load.result()) for load in loads)


def measure_idle_sockets(
    report: GatewayReport, gateway: Gateway, handshakes: Sequence[bytes], open_files: int
) -> None:
    """PSS that idle WebSockets add to the gateway, for each; the kernel's buffers not included.

    The gateway needs two open files for each, so there may be room for fewer than asked for.
    """
    count = min(SOCKETS, (open_files - SPARE_FILES) // 2)
    if count < SOCKETS:
        print(f"  {open_files} open files allow {count} WebSockets")
    added = uvloop.run(_idle_sockets(gateway, handshakes, count))
    report.note("idle_websockets", count)
    report.note("idle_websocket_kb", added / count / 1000, "KB")


async def _idle_sockets(gateway: Gateway, handshakes: Sequence[bytes], count: int) -> int:
    await _close(await open_many(gateway.port, handshakes, 100))
    before = await settled_pss(gateway.pid)
    opened = await open_many(gateway.port, handshakes, count)
    after = await settled_pss(gateway.pid)
    assert not any(socket.lost for socket in opened), "an idle WebSocket was closed"
    await _echo(opened[0])
    await _echo(opened[-1])
    await _close(opened)
    return after - before


async def _echo(socket: WebSocket) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    socket.heard = heard.put_nowait
    socket.transport.write(MESSAGE)
    assert await asyncio.wait_for(heard.get(), 10) == ECHO


async def _close(opened: Sequence[WebSocket]) -> None:
    for socket in opened:
        socket.transport.abort()


async def settled_pss(pid: int, seconds: float = 30.0) -> int:
    """Memory in bytes once it has not changed by a hundredth for two seconds."""
    end = time.monotonic() + seconds
    values = [cores.tree_pss(pid)]
    while time.monotonic() < end:
        await asyncio.sleep(0.5)
        values.append(cores.tree_pss(pid))
        last = values[-5:]
        if len(last) == 5 and max(last) - min(last) < 0.01 * max(last):
            break
    return values[-1]
