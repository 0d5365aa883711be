"""The workshop of the process engine: everything lies in the data folder."""

import asyncio
from pathlib import Path

from services.builder import images
from services.builder.detect import Plan
from services.builder.environments import Environment, Environments
from services.builder.images import Images
from services.builder.interpreters import Interpreter, Interpreters, PythonRequest
from services.builder.jobs import Job, Wanted
from services.builder.syntax import check_syntax
from services.builder.uv import Uv
from services.builder.warmup import WarmUp
from services.builder.workshops.protocol import manifest_of
from shared.sandbox import Sandbox


class ProcessWorkshop:
    """Installs with uv on this machine; foreign code runs in a sandbox."""

    def __init__(self, home: Path, uv: Uv, sandbox: Sandbox, memory_mb: int) -> None:
        self._home = home
        self._interpreters = Interpreters(uv)
        self._environments = Environments(home, uv, sandbox, memory_mb)
        self._warm_up = WarmUp(sandbox, memory_mb)
        self._images = Images(home)

    async def interpreter(self, request: PythonRequest | None) -> Interpreter:
        return await self._interpreters.find(request)

    async def check_syntax(self, interpreter: Interpreter, code: Path, file: str) -> None:
        await check_syntax(interpreter, code, file)

    async def environment(self, wanted: Wanted, job: Job) -> Environment:
        return await self._environments.ensure(wanted, job)

    async def warm(self, environment: Environment, modules: set[str], job: Job) -> None:
        await self._warm_up.run(environment, modules, job)

    async def image(
        self, code: Path, plan: Plan, source: str, environment: Environment, job: Job
    ) -> str:
        manifest = manifest_of(plan, source, environment)
        made = await asyncio.to_thread(self._images.make, code, manifest, plan, job.name)
        return made.digest

    async def attempts(self) -> set[str]:
        stores = [self._home / name for name in ("environments", "images")]
        return {path.name.lstrip(".") for store in stores for path in store.glob(".*")}

    async def clear(self, attempts: set[str]) -> None:
        for attempt in attempts:
            for store in ("environments", "images"):
                await asyncio.to_thread(images.remove, self._home / store / f".{attempt}")
