"""The gateway's workers, which outlive a parent that is killed."""

import asyncio
import contextlib
import os
import signal
import time

from deploy.embedded.children import running_pid
from deploy.embedded.layout import Layout
from gateway import handover

STOP_SECONDS = 15.0
RESTART_SECONDS = 60.0
POLL_SECONDS = 0.05


def parent(layout: Layout) -> int | None:
    """The pid of the process that holds the gateway's sockets, if it runs."""
    return running_pid(layout.run / "gateway-1.pid")


def workers(layout: Layout) -> dict[str, int]:
    """Names and pids of all workers, those without a parent and those about to end too."""
    return handover.living(handover.gateway_folder(layout.home))


def restart(layout: Layout) -> str | None:
    """Have every worker replaced by a fresh one and wait until they accept; while they do, the old
    ones go on. None, or a sentence that says what went wrong."""
    pid = parent(layout)
    if pid is None:
        return "The gateway is not running; start the platform with 'make up'."
    folder = handover.gateway_folder(layout.home)
    before = handover.accepting(folder)
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + RESTART_SECONDS
    while before & (now := handover.accepting(folder)) or len(now) < len(before):
        if time.monotonic() > deadline:
            return f"Not all workers were replaced; the gateway's log is in {layout.logs}."
        time.sleep(POLL_SECONDS)
    return None


async def end_workers(layout: Layout) -> None:
    """End the workers that a parent has left behind when it was killed."""
    deadline = time.monotonic() + STOP_SECONDS
    told: set[str] = set()
    while living := workers(layout):
        late = time.monotonic() > deadline
        for name, pid in living.items():
            if late or name not in told:
                told.add(name)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        await asyncio.sleep(POLL_SECONDS)
