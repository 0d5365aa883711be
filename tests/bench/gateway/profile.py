"""`python -m tests.bench.gateway.profile get|post|ws`: where the gateway's own code spends time.

cProfile counts every call and so makes small functions look dearer than they are: good for what is
called how often and for the order, not for shares. What the kernel and the event loop take is
beneath "run_until_complete".
"""

from __future__ import annotations

import argparse
import os
import pstats
from pathlib import Path

from deploy.embedded.layout import CHECKOUT
from tests.bench.gateway import cores, sockets, tools
from tests.bench.gateway.__main__ import bench
from tests.bench.gateway.closed import Measured, Requests
from tests.bench.gateway.comparison import fresh_heads
from tests.bench.gateway.people import ONE_APP, Visit
from tests.bench.gateway.proxies import Gateway, running

_IN_WORKERS = """
import atexit, cProfile, sys
if "gateway.worker" in sys.orig_argv:
    profile = cProfile.Profile()
    atexit.register(lambda: profile.dump_stats({}))
    profile.enable()
"""
"""Python runs this before anything else; the workers are started by the gateway itself."""

LOADS = ("get", "new", "get_100k", "post", "ws")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("load", choices=LOADS)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--lines", type=int, default=45)
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="whose gateway to measure")
    parser.add_argument("--python", default=str(tools.PYTHON), help="what runs the gateway")
    options = parser.parse_args()
    tools.install()
    os.sched_setaffinity(0, cores.LOAD)
    with bench(options.checkout, options.python) as shared:
        found = shared.folder / "profile"
        (shared.folder / "sitecustomize.py").write_text(_IN_WORKERS.format(repr(str(found))))
        gateway = shared.gateway("profiled", python_path=str(shared.folder))
        with running([gateway]):
            visits = shared.visits(gateway)
            assert visits[0].app == ONE_APP
            print(f"{apply(shared.folder, options, gateway, visits).rps:.0f} requests/s")
        pstats.Stats(str(found)).sort_stats("tottime").print_stats(options.lines)


def apply(
    folder: Path, options: argparse.Namespace, gateway: Gateway, visits: list[Visit]
) -> Measured:
    if options.load == "ws":
        texts = [visit.handshake() for visit in visits]
        return sockets.load(gateway.port, gateway.pid, texts, options.seconds)
    least = 4 if options.load == "post" else 1024
    texts = _texts(options.load, visits)
    return Requests(folder / "texts", texts, least).load(gateway.port, gateway.pid, options.seconds)


def _texts(load: str, visits: list[Visit]) -> list[bytes]:
    match load:
        case "get":
            return [visit.get("1k") for visit in visits]
        case "get_100k":
            return [visit.get("100k") for visit in visits]
        case "post":
            return [visits[0].post("64k", b"p" * 65_536)]
        case _:
            return fresh_heads(visits)


if __name__ == "__main__":
    main()
