"""Starting, adopting and stopping one child.

A child has a session of its own, so it outlives a supervisor that is killed; the next supervisor
finds it by the pid and start time noted in `run/` and takes it over instead of starting another.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from deploy.embedded.layout import Layout
from deploy.embedded.platform import Child
from shared.logs import get_logger

logger = get_logger(__name__)

STOP_SECONDS = 20.0
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 20.0
"""A child that ran so long is not in a crash loop: its next restart is immediate again."""
LARGEST_LOG_BYTES = 20 * 1024 * 1024


class Keeper:
    """Keeps one child running until told to stop."""

    def __init__(self, layout: Layout, child: Child) -> None:
        self.child = child
        self._layout = layout
        self._note = layout.run / f"{child.name}.pid"
        self._log = layout.logs / f"{child.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._stopping = False
        self._gone = asyncio.Event()
        self._gone.set()
        self.restarts = 0

    async def run(self) -> None:
        """Start (or adopt), wait for the end, start again; a crash loop is slowed down."""
        pause = 0.0
        while not self._stopping:
            began = time.monotonic()
            self._open()
            await self._wait()
            if self._stopping:
                return
            steady = time.monotonic() - began > STEADY_SECONDS
            pause = 0.0 if steady else min(pause * 2 + 0.25, LONGEST_PAUSE_SECONDS)
            self.restarts += 1
            logger.warning("child ended", extra={"child": self.child.name, "pause": pause})
            await asyncio.sleep(pause)

    async def stop(self) -> None:
        """Ask it to end, insist after a while, and forget it."""
        self._stopping = True
        self._signal(getattr(signal, self.child.stop_signal))
        try:
            await asyncio.wait_for(self._gone.wait(), STOP_SECONDS)
        except TimeoutError:
            logger.warning("child did not stop in time", extra={"child": self.child.name})
            self._signal(signal.SIGKILL)
            await self._gone.wait()
        self._note.unlink(missing_ok=True)

    def trim_log(self) -> None:
        """Start the log again when it has grown too large, keeping one older file."""
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > LARGEST_LOG_BYTES:
                older = self._log.with_suffix(".log.1")
                older.write_bytes(self._log.read_bytes())
                os.truncate(self._log, 0)

    def _open(self) -> None:
        running = running_pid(self._note)
        if running is None:
            running = self._start()
        else:
            logger.info("child adopted", extra={"child": self.child.name, "pid": running})
        self._pidfd = os.pidfd_open(running)
        self._gone.clear()

    def _start(self) -> int:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.child.command,
                env=dict(self.child.environment),
                cwd=self._layout.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.child.privileges,  # type: ignore[call-overload]
            )
        pid = self._process.pid
        self._note.write_text(json.dumps({"pid": pid, "started": start_time(pid)}))
        return pid

    async def _wait(self) -> None:
        """Wait until the process is gone; a pidfd becomes readable then, child of ours or not."""
        assert self._pidfd is not None
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._pidfd, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        if self._process:
            self._process.wait()
            self._process = None
        self._gone.set()

    def _signal(self, number: int) -> None:
        if self._pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)


def start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot: with the pid it names a process for good.

    Field 22 of /proc/<pid>/stat (proc(5)), counted behind the command in parentheses.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return None if fields[0] == "Z" else fields[19]


def running_pid(note: Path) -> int | None:
    """The pid in a note, if that very process still runs."""
    try:
        noted = json.loads(note.read_text())
    except (FileNotFoundError, ValueError):
        return None
    started = start_time(noted["pid"])
    return noted["pid"] if started is not None and started == noted["started"] else None
