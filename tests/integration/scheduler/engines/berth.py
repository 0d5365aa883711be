"""A data folder with one small image in it, and an engine on that folder."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.scheduler.engines.process import ProcessEngine
from services.scheduler.engines.protocol import Engine, InstanceSpec, Limits, Reference, Status

IMAGE = "sha256:" + "ab" * 32
OTHERS_SECRET = "nobody but the platform reads this"


class Berth:
    """Starts instances whose code is a text of the test's own."""

    def __init__(self, home: Path, make: Callable[[Path], Engine]) -> None:
        self.home = home
        self.make = make
        self.app = home / "images" / ("ab" * 32) / "app"
        self.scripts = home / "environments" / "plain" / "bin"
        self._lay_out()
        self.engine = make(home)

    def _lay_out(self) -> None:
        for folder in (self.app, self.scripts, self.home / "keys", self.home / "apps/other/data"):
            folder.mkdir(parents=True)
        os.symlink(os.path.realpath(sys.executable), self.scripts / "python")
        manifest = {
            "kind": "custom", "environment": "plain", "source": "s", "sticky": False,
            "process_types": {"web": "python app.py"}, "health": {"path": "/{app}/"},
            "prefix_mode": "keep", "prefix_env": {}, "python": "3.11",
        }  # fmt: skip
        (self.app.parent / "manifest.json").write_text(json.dumps(manifest))
        for place in ("keys/secret", "apps/other/data/secret"):
            (self.home / place).write_text(OTHERS_SECRET)
            (self.home / place).parent.chmod(0o700)

    def again(self) -> Engine:
        """The engine as it is after the scheduler was lost and started again."""
        self.engine = self.make(self.home)
        return self.engine

    def spec(
        self,
        code: str = "",
        command: str = "exec python app.py",
        environment: dict[str, str] | None = None,
        limits: Limits | None = None,
    ) -> InstanceSpec:
        (self.app / "app.py").write_text(code)
        return InstanceSpec(
            instance="sales.web.1-1", app="sales", process_type="web", image=IMAGE, command=command,
            environment={"PYTHONUNBUFFERED": "1", **(environment or {})}, port=None,
            limits=limits or Limits(),
        )  # fmt: skip

    async def start(self, code: str = "", **more: Any) -> Reference:
        return await self.engine.start(self.spec(code, **more))

    async def lines(self) -> list[str]:
        return await self.engine.last_lines("sales.web.1-1", 100)

    async def said(self, line: str) -> None:
        async def there() -> bool:
            return line in await self.lines()

        await until(there, explain=self.lines)

    async def ended(self, reference: Reference) -> Status:
        async def there() -> Status | None:
            status = await self.engine.poll(reference)
            return status if status.state != "running" else None

        return await until(there, explain=self.lines)

    async def clear(self) -> None:
        for reference in (await self.engine.adopt()).values():
            await self.engine.stop(reference, 0)
        await self.engine.remove("sales.web.1-1")


def process_engine(level: str) -> Callable[[Path], Engine]:
    """With bubblewrap, with the best there is without it, or with nothing at all."""
    return lambda home: ProcessEngine(home, level == "bubblewrap", landlock=level != "plain")


async def until(condition: Any, seconds: float = 10.0, explain: Any = None) -> Any:
    """Poll an async condition until it gives something true and return that."""
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"not in time; {await explain() if explain else ''}"
        await asyncio.sleep(0.01)
    return found
