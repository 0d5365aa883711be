"""A data folder, one small image, and an engine that runs it."""

import asyncio
import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from aiodocker import Docker

from services.scheduler.engines.docker import MANIFEST as MANIFEST_LABEL
from services.scheduler.engines.docker import DockerEngine
from services.scheduler.engines.process import ProcessEngine
from services.scheduler.engines.protocol import Engine, InstanceSpec, Limits, Reference, Status
from shared.docker.names import Names
from shared.docker.settings import DockerSettings
from tests.harness.docker import DockerServer

IMAGE = "sha256:" + "ab" * 32
OTHERS_SECRET = "nobody but the platform reads this"
MARK = "BERTH"
"""Names the berth in the environment of everything that runs in it."""
CODE = "BERTH_CODE"
APP = f"""
import os
exec(compile(os.environ.pop({CODE!r}), "app.py", "exec"), {{"__name__": "__main__"}})
"""
MANIFEST = {
    "kind": "custom", "environment": "plain", "source": "s", "sticky": False,
    "process_types": {"web": "python app.py"}, "health": {"path": "/{app}/"},
    "prefix_mode": "keep", "prefix_env": {}, "python": "3.11",
}  # fmt: skip


class Berth:
    """Starts instances whose code is a text of the test's own."""

    shown_app = "/app"
    """The app's folder as the app sees it."""
    counts_memory = counts_processes = True
    image = IMAGE

    def __init__(self, home: Path, make: Callable[[Path], Engine]) -> None:
        self.home = home
        self.make = make
        self.app = home / "images" / ("ab" * 32) / "app"
        self.scripts = home / "environments" / "plain" / "bin"
        self._lay_out()
        self.engine = make(home)
        self._engines = [self.engine]

    def _lay_out(self) -> None:
        for folder in (self.app, self.scripts, self.home / "keys", self.home / "apps/other/data"):
            folder.mkdir(parents=True)
        os.symlink(os.path.realpath(sys.executable), self.scripts / "python")
        (self.app / "app.py").write_text(APP)
        (self.app.parent / "manifest.json").write_text(json.dumps(MANIFEST))
        for place in ("keys/secret", "apps/other/data/secret"):
            (self.home / place).write_text(OTHERS_SECRET)
            (self.home / place).parent.chmod(0o700)

    def again(self) -> Engine:
        """The engine as it is after the scheduler was lost and started again."""
        self.engine = self.make(self.home)
        self._engines.append(self.engine)
        return self.engine

    def spec(
        self,
        code: str = "",
        command: str = "exec python app.py",
        environment: dict[str, str] | None = None,
        limits: Limits | None = None,
    ) -> InstanceSpec:
        ours = {"PYTHONUNBUFFERED": "1", MARK: str(self.home), CODE: code}
        return InstanceSpec(
            instance="sales.web.1-1", app="sales", process_type="web", image=self.image,
            command=command, environment={**ours, **(environment or {})}, port=None,
            limits=limits or Limits(),
        )  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """Everything on this machine that runs in the berth."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.home):
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]

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
        await self.engine.housekeep([])
        await self.engine.clear()
        for engine in self._engines:
            await engine.close()


class ProcessBerth(Berth):
    """The process engine, with bubblewrap, with the best without it, or with nothing at all."""

    engine: ProcessEngine

    def __init__(self, home: Path, level: str) -> None:
        super().__init__(
            home, lambda home: ProcessEngine(home, level == "bubblewrap", landlock=level != "plain")
        )
        locks = self.engine.level == "bubblewrap"
        self.shown_app = "/app" if locks else str(self.app)
        self.counts_memory = bool(self.engine._cgroups.version)
        self.counts_processes = self.counts_memory or locks

    async def clear(self) -> None:
        await super().clear()
        for folder in self.engine._cgroups.folders("x"):
            folder.parent.rmdir()


class DockerBerth(Berth):
    """The Docker engine, on a server that has the image that apps are built on."""

    engine: DockerEngine

    def __init__(self, home: Path, server: DockerServer) -> None:
        self.server = server
        self._settings = DockerSettings(docker_url=server.url, docker_networks=server.networks)
        super().__init__(home, lambda home: DockerEngine(home, self._settings))

    async def build(self) -> None:
        """Make the image whose app is whatever an instance's environment says."""
        base = self._settings.docker_app_image
        dockerfile = (
            f"FROM {base}\nUSER root\nRUN ln -s python3 /usr/bin/python\nCOPY app.py /app/\n"
        )
        labels = {MANIFEST_LABEL: json.dumps(MANIFEST), MARK: str(self.home)}
        async with Docker(self.server.url) as docker:
            tag = f"berth:{Names.of(self.home).mark}"
            await docker.images.build(
                fileobj=archive({"Dockerfile": dockerfile, "app.py": APP}),
                encoding="identity",
                tag=tag,
                labels=labels,
                forcerm=True,
            )
            self.image = (await docker.images.inspect(tag))["Id"]

    async def clear(self) -> None:
        await super().clear()
        async with Docker(self.server.url) as docker:
            await docker.images.delete(self.image, force=True)


def archive(files: dict[str, str]) -> io.BytesIO:
    """A tar archive of texts by name."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    made.seek(0)
    return made


async def until(condition: Any, seconds: float = 10.0, explain: Any = None) -> Any:
    """Poll an async condition until it gives something true and return that."""
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"not in time; {await explain() if explain else ''}"
        await asyncio.sleep(0.01)
    return found
