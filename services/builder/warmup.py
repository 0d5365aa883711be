"""Bytecode for what an app imports, made once, because an app cannot write into its environment.

The modules are imported in the sandbox, without a network, with the environment read-only and the
bytecode going to a scratch folder; our own code then moves it into place. So foreign code never has
a file of the environment open for writing, which matters: those files are links into uv's cache.

Importing what is needed takes a second where compiling every file takes ten. That some module does
not import this way is no failure.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from services.builder import child
from services.builder.environments import Environment, interpreter_view
from services.builder.jobs import Job
from shared.errors import Invalid
from shared.sandbox import Sandbox, View

TIMEOUT_SECONDS = 60.0
MOST_MODULES = 200
RECORD = "warmed"
_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        pass
"""


class WarmUp:
    """Adds bytecode to environments."""

    def __init__(self, sandbox: Sandbox, memory_mb: int) -> None:
        self._sandbox = sandbox
        self._memory_mb = memory_mb

    async def run(self, environment: Environment, modules: Iterable[str], job: Job) -> None:
        """Import those of `modules` that the environment has and nobody has imported before."""
        record = environment.path / RECORD
        known = set(record.read_text().split()) if record.exists() else set[str]()
        missing = sorted(name for name in set(modules) - known if _exists(environment, name))
        if not missing:
            return
        started = time.monotonic()
        await self._import(environment, missing[:MOST_MODULES], job)
        _replace(record, "\n".join(sorted({*known, *missing})) + "\n")
        job.say(f"       Imports compiled in {time.monotonic() - started:.1f} s")

    async def _import(self, environment: Environment, modules: list[str], job: Job) -> None:
        scratch = job.work / "warm"
        bytecode = scratch / "bytecode"
        bytecode.mkdir(parents=True, exist_ok=True)
        self._sandbox.own(scratch)
        try:
            await asyncio.gather(
                *(self._import_part(environment, part, scratch) for part in _parts(modules))
            )
        finally:
            await asyncio.to_thread(_collect, bytecode, environment.packages)
            shutil.rmtree(scratch, ignore_errors=True)

    async def _import_part(
        self, environment: Environment, modules: list[str], scratch: Path
    ) -> None:
        shown = {
            str(environment.path): environment.path,
            **interpreter_view(environment.interpreter),
        }
        command = [str(environment.path / "bin" / "python"), "-c", _IMPORT, *modules]
        view = View(scratch=scratch, read=shown)
        if not self._sandbox.contains(view):
            return
        # Imports that hang are no failure: the app will say what is wrong when it starts.
        with suppress(Invalid):
            await child.run(
                self._sandbox.wrap(command, view),
                env=_environment(Path("/tmp") if self._sandbox.locks else scratch),
                cwd=scratch,
                on_line=lambda _: None,
                timeout=TIMEOUT_SECONDS,
                memory_mb=self._memory_mb,
            )


def _environment(scratch: Path) -> dict[str, str]:
    """Environment of the importing process, which sees its scratch folder as `scratch`."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "LANG": "C.UTF-8",
        "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"),
        "PYTHONSAFEPATH": "1",
        "MPLBACKEND": "agg",
    }


def _parts(modules: list[str]) -> list[list[str]]:
    """Two halves, each package whole, for two processors."""
    packages = sorted({name.partition(".")[0] for name in modules})
    halves = (packages[0::2], packages[1::2])
    parts = [[name for name in modules if name.partition(".")[0] in half] for half in halves]
    return [part for part in parts if part]


def _exists(environment: Environment, module: str) -> bool:
    """Whether a dotted name is a module here; names of things inside modules are not."""
    path = environment.packages.joinpath(*module.split("."))
    return (path / "__init__.py").is_file() or path.with_suffix(".py").is_file()


def _collect(bytecode: Path, packages: Path) -> None:
    """Move each `<prefix><folder>/x.cpython-311.pyc` to `<folder>/__pycache__/`."""
    root = bytecode / str(packages).lstrip("/")
    for folder, _, files in os.walk(root):
        target = packages / Path(folder).relative_to(root)
        if not target.is_dir() or target.is_symlink():
            continue
        cache = target / "__pycache__"
        for name in files:
            source = Path(folder) / name
            if name.endswith(".pyc") and source.is_file() and not source.is_symlink():
                cache.mkdir(exist_ok=True)
                _move(source, cache / name)


def _move(source: Path, target: Path) -> None:
    """Copy, so that the file is ours whoever made it, and put it in place at once."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)
