"""A gateway as a process of its own that is less patient than the one people run.

`python -m tests.integration.gateway.hurried` serves by the settings in its environment and by the
limits in MOORAGE_LIMITS, a JSON object of what differs from `gateway.gate.Limits`.
"""

import asyncio
import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import uvloop

from gateway.app import build
from gateway.settings import GatewaySettings
from gateway.worker import raise_descriptor_limit
from tests.integration.gateway.fleet import Fleet, until


class Hurried(Fleet):
    """One process, which serves itself; `parent` is all there is."""

    def __init__(self, home: Path, backend: str, limits: dict[str, float], **settings: Any) -> None:
        super().__init__(home, backend, **settings)
        self.environment["MOORAGE_LIMITS"] = json.dumps(limits)

    def launch(self) -> None:
        with (self.home / "gateway.log").open("ab") as log:
            self.parent = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.gateway.hurried"],
                env=self.environment,
                stderr=log,
                cwd=self.home,
            )

    async def start(self, workers: int = 1) -> None:
        assert workers == 1
        self.launch()
        await until(self._accepts)

    @property
    def pid(self) -> int:
        return self.parent.pid

    def _accepts(self) -> bool:
        assert self.parent.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


async def serve() -> None:
    gateway = build(GatewaySettings())  # type: ignore[call-arg]
    limits = json.loads(os.environ["MOORAGE_LIMITS"])
    gateway.gate.limits = dataclasses.replace(gateway.gate.limits, **limits)
    await gateway.listen()
    log = gateway.gate.ledger.log
    duties = [gateway.gate.keep_deadlines(), gateway.gate.pools.keep_swept()]
    await asyncio.gather(*duties, *([log.keep()] if log else []))


if __name__ == "__main__":
    raise_descriptor_limit()
    uvloop.run(serve())
