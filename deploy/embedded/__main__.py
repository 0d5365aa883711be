"""`python -m deploy.embedded up | down | status`: what `make up` and `make down` call."""

import asyncio
import os
import signal
import subprocess
import sys
import time

from deploy.embedded import instances, probes, sample
from deploy.embedded.children import running_pid
from deploy.embedded.layout import CHECKOUT, Layout
from deploy.embedded.platform import public_port, services
from deploy.embedded.supervisor import holder

START_SECONDS = 120
STOP_SECONDS = 60


def up(layout: Layout) -> int:
    """Start what does not run, wait until all of it is ready, deploy the sample once, report."""
    layout.make()
    if holder(layout) is None:
        _start_supervisor(layout)
        fresh = True
    else:
        fresh = False
    try:
        asyncio.run(_wait_ready(layout, say=fresh))
    except TimeoutError as error:
        print(f"{error}; its log is in {layout.logs}.", file=sys.stderr)
        return 1
    print("Moorage is running." if fresh else "Moorage is running already.", flush=True)
    deployed = sample.ensure(layout)
    print(sample.report(layout))
    return 0 if deployed else 1


def down(layout: Layout) -> int:
    """Stop the platform and the apps it runs; everything is there again after the next `up`."""
    pid = holder(layout)
    if pid is None and not _leftovers(layout):
        print("Moorage is not running.")
        return 0
    if pid is None:
        # The supervisor was killed and its children were not: a new one adopts and stops them.
        _start_supervisor(layout)
        asyncio.run(_wait_held(layout))
        pid = holder(layout)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while holder(layout) is not None:
            if time.monotonic() > deadline:
                print(f"Moorage did not stop; see {layout.logs}/supervisor.log.", file=sys.stderr)
                return 1
            time.sleep(0.05)
    stopped = asyncio.run(instances.stop_all(layout))
    print(f"Moorage is stopped, with {stopped} instance(s) of apps. Nothing is lost.")
    return 0


def status(layout: Layout) -> int:
    """Say what runs; exit status 3 when nothing does."""
    if holder(layout) is None:
        print("Moorage is not running; start it with 'make up'.")
        return 3
    print(sample.report(layout))
    return 0


def _start_supervisor(layout: Layout) -> None:
    with (layout.logs / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "deploy.embedded.supervisor"],
            cwd=CHECKOUT,
            env={**os.environ, "MOORAGE_HOME": str(layout.home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


async def _wait_ready(layout: Layout, say: bool) -> None:
    await _wait_held(layout)
    if say:
        print(f"Starting in {layout.home} ...", flush=True)
    for child in services(layout):
        socket = child.ready_socket
        if socket is not None:
            await probes.wait_for(child.name, lambda at=socket: probes.is_ready(at), START_SECONDS)
    port = public_port()
    await probes.wait_for("gateway", lambda: probes.gateway_ready(port), START_SECONDS)


async def _wait_held(layout: Layout) -> None:
    async def held() -> bool:
        return holder(layout) is not None

    await probes.wait_for("the supervisor", held, 20)


def _leftovers(layout: Layout) -> bool:
    notes = list(layout.run.glob("*.pid")) if layout.run.exists() else []
    return any(running_pid(note) for note in notes if note.name != "nats-server.pid")


def main() -> int:
    verbs = {"up": up, "down": down, "status": status}
    if len(sys.argv) != 2 or sys.argv[1] not in verbs:
        print("usage: python -m deploy.embedded up|down|status", file=sys.stderr)
        return 2
    return verbs[sys.argv[1]](Layout.from_environment())


if __name__ == "__main__":
    sys.exit(main())
