"""One build from source to image, step by step."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from services.builder import images, source
from services.builder.dependencies import Dependencies, read_dependencies
from services.builder.detect import Plan, detect
from services.builder.detect.code import imported_names
from services.builder.interpreters import Interpreter, PythonRequest
from services.builder.jobs import Job, Wanted
from services.builder.source import Limits
from services.builder.uv import Uv
from services.builder.workshops.protocol import Environment, Workshop
from shared.bus import ObjectStore
from shared.errors import Invalid, NotFound, Unavailable

RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Result:
    """What a successful build gives: the image's digest, and what was found out about the app."""

    image: str
    plan: Plan


@dataclass(frozen=True)
class Kitchen:
    """What every build works with."""

    objects: ObjectStore
    limits: Limits
    uv: Uv
    workshop: Workshop


async def cook(kitchen: Kitchen, digest: str, job: Job) -> Result:
    """Make an image of the source archive `digest`.

    Raises `Invalid` with the sentence that the pusher reads. Whatever happens, `job.work` is gone
    afterwards.
    """
    started = time.monotonic()
    workshop = kitchen.workshop
    job.work.mkdir(parents=True)
    try:
        code = job.work / "code"
        await _fetch(kitchen, digest, job.work / "source.tar", code)
        plan, dependencies = await _look(kitchen, code, job)
        wanted = Wanted(dependencies, plan.servers, await _python(workshop, dependencies, job))
        if plan.entry:
            await workshop.check_syntax(wanted.interpreter, code, plan.entry)
        environment = await workshop.environment(wanted, job)
        _check_framework(plan, environment, dependencies)
        await workshop.warm(environment, _modules(plan, wanted, environment, code), job)
        image = await workshop.image(code, plan, digest, environment, job)
    finally:
        await asyncio.shield(asyncio.to_thread(images.remove, job.work))
    job.say(f"-----> Built {image[7:19]} in {time.monotonic() - started:.1f} s")
    return Result(image, plan)


async def _fetch(kitchen: Kitchen, digest: str, archive: Path, code: Path) -> None:
    while True:
        try:
            await kitchen.objects.get(f"sources/{digest}.tar", archive)
            break
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)
        except NotFound as error:
            raise Invalid("The source of this push is not stored any more; push again.") from error
    await asyncio.to_thread(source.check_digest, archive, digest)
    await asyncio.to_thread(source.unpack, archive, code, kitchen.limits)
    archive.unlink()


async def _look(kitchen: Kitchen, code: Path, job: Job) -> tuple[Plan, Dependencies]:
    if source.has_submodules(code):
        job.say(" !     This repository has submodules; their files are not part of a push")
    plan = await asyncio.to_thread(detect, code)
    job.say(f"-----> {plan.found}")
    return plan, await read_dependencies(code, kitchen.uv)


async def _python(workshop: Workshop, dependencies: Dependencies, job: Job) -> Interpreter:
    request = dependencies.python
    interpreter = await workshop.interpreter(request)
    if _patch_differs(request, interpreter.version):
        assert request
        job.say(
            f" !     {request.file} asks for Python {request.text}; "
            f"this server has {interpreter.version}, which is used"
        )
    return interpreter


def _patch_differs(request: PythonRequest | None, version: str) -> bool:
    return request is not None and request.text.count(".") == 2 and request.text != version


def _check_framework(plan: Plan, environment: Environment, dependencies: Dependencies) -> None:
    distribution = plan.framework.distribution
    if plan.entry and distribution and not environment.has(distribution):
        raise Invalid(
            f"{plan.entry} imports {plan.framework.title}, but {dependencies.file} does not "
            f"install it; add '{distribution}' to {dependencies.file}."
        )


def _modules(plan: Plan, wanted: Wanted, environment: Environment, code: Path) -> set[str]:
    """What the app will import, as far as can be told."""
    asked = wanted.dependencies.requirements.names
    return {*plan.framework.warm, *imported_names(code), *_own(environment, asked)}


def _own(environment: Environment, asked: set[str]) -> set[str]:
    # Of a lock file's hundreds of names the code's own imports say enough.
    return environment.modules_of(asked) if len(asked) <= 50 else set()
