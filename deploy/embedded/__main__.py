"""`python -m deploy.embedded up | down | status | restart-gateway | backup FILE | restore FILE`.

What `make up`, `make down` and the command line's `backup` and `restore` call.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pydantic import ValidationError

from deploy.embedded import backup, gateways, instances, probes, sample
from deploy.embedded.children import running_pid
from deploy.embedded.layout import CHECKOUT, Layout
from deploy.embedded.platform import public_port, services, tls_port
from deploy.embedded.supervisor import holder
from gateway.settings import GatewaySettings
from services.scheduler.engines import ENGINES
from services.scheduler.starting import port_is_free
from shared.errors import MoorageError
from shared.process import wrong_settings

START_SECONDS = 120
STOP_SECONDS = 60


def up(layout: Layout) -> int:
    """Start what does not run, wait until all of it is ready, deploy the sample once, report."""
    layout.make()
    fresh = holder(layout) is None
    if fresh and (trouble := _trouble(layout)):
        print(trouble, file=sys.stderr)
        return 1
    if instances.engine_name() == "docker" and not _has_app_image():
        return 1
    if fresh:
        _start_supervisor(layout)
    try:
        asyncio.run(_wait_ready(layout, say=fresh))
    except TimeoutError as error:
        print(f"{error}; its log is in {layout.logs}.", file=sys.stderr)
        return 1
    print("Moorage is running." if fresh else "Moorage is running already.", flush=True)
    deployed = sample.ensure(layout)
    print(sample.report(layout))
    return 0 if deployed else 1


def _has_app_image() -> bool:
    """See that the image is there which apps are built on; it says what it does, or lacks."""
    return (
        subprocess.run([sys.executable, "-m", "deploy.images", "app"], cwd=CHECKOUT).returncode == 0
    )


def _trouble(layout: Layout) -> str | None:
    """What would keep the platform from starting, as a sentence that says what to do."""
    engine = instances.engine_name()
    if engine not in ENGINES:
        return f"MOORAGE_ENGINE is '{engine}', and there is: {', '.join(sorted(ENGINES))}."
    try:
        GatewaySettings(home=layout.home, instance="", nats_url="", nats_seed_file=layout.keys)
    except ValidationError as error:
        return f"{wrong_settings(error)}."
    if gateways.parent(layout) or gateways.workers(layout):
        return None  # the port is taken by ourselves
    if not port_is_free(port := public_port()):
        return f"Port {port} is taken by another program; choose one: MOORAGE_PORT=8090 make up"
    if (port := tls_port()) and not port_is_free(port):
        return f"Port {port} is taken by another program; choose another as MOORAGE_TLS_PORT."
    return None


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
    try:
        stopped = asyncio.run(instances.stop_all(layout))
    except MoorageError as error:
        print(f"Moorage is stopped, but its apps may run on: {error.detail}", file=sys.stderr)
        return 1
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
    running = any(running_pid(note) for note in notes if note.name != "nats-server.pid")
    return running or bool(gateways.workers(layout))


def restart_gateway(layout: Layout) -> int:
    """Replace the gateway's processes, which then run the code that is there now."""
    if trouble := gateways.restart(layout):
        print(trouble, file=sys.stderr)
        return 1
    print("The gateway runs fresh processes; those before them finish what they had begun.")
    return 0


def save(layout: Layout, file: Path) -> int:
    """Write a backup; the control plane rests meanwhile, the apps go on answering."""
    try:
        size = asyncio.run(backup.write(layout, file, holder(layout)))
        if holder(layout) is not None:
            asyncio.run(_wait_ready(layout, say=False))
    except (backup.BackupError, OSError, TimeoutError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    print(f"The backup is in {file} ({size / 1e6:.1f} MB). It holds all keys: keep it safe.")
    return 0


def bring_back(layout: Layout, file: Path) -> int:
    """Unpack a backup into an empty data folder."""
    try:
        backup.read(layout, file, holder(layout))
    except (backup.BackupError, OSError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    print(f"{layout.home} is as it was in the backup; start it with 'make up'.")
    return 0


def main() -> int:
    layout = Layout.from_environment()
    match sys.argv[1:]:
        case ["up"]:
            return up(layout)
        case ["down"]:
            return down(layout)
        case ["status"]:
            return status(layout)
        case ["restart-gateway"]:
            return restart_gateway(layout)
        case ["backup", file]:
            return save(layout, Path(file).absolute())
        case ["restore", file]:
            return bring_back(layout, Path(file).absolute())
    print(
        "usage: python -m deploy.embedded up|down|status|restart-gateway|backup FILE|restore FILE",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(main())
