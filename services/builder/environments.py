"""Environments: installed dependencies, kept by the digest of everything that they depend on.

An environment is built under a temporary name and renamed when it is whole, `ready` being its last
file, so that whoever sees it sees all of it and two builders making the same one do no harm. It
never changes afterwards, except that bytecode is added.

First uv installs wheels only, which runs no foreign code. If that fails for nothing but the lack of
a wheel, everything is installed again inside the sandbox, with a cache of the app's own, because
code that builds a package can write whatever it likes into the cache it is given.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.builder import child, complaints
from services.builder.dependencies import Dependencies
from services.builder.interpreters import Interpreter
from services.builder.requirements import located, normalise
from services.builder.uv import Uv
from shared.errors import Invalid
from shared.sandbox import Sandbox, View

FORMAT = 1
SERVERS = {"gunicorn": "27.0.1", "uvicorn": "0.54.0"}
"""The servers that are added where an app needs one and names none, at versions we tried."""

Say = Callable[[str], None]
_RESOLVED = re.compile(r"Resolved (\d+) packages?")
_NOISE = re.compile(r"^(Using C?Python|Prepared|Installed| +Downloaded| [+~-]) ")


@dataclass(frozen=True)
class Environment:
    """Installed dependencies at `path`; `interpreter` is the Python they are for."""

    digest: str
    path: Path
    interpreter: Interpreter

    @property
    def packages(self) -> Path:
        return self.path / "lib" / f"python{self.interpreter.minor}" / "site-packages"

    def has(self, distribution: str) -> bool:
        return distribution_in(self.packages, distribution) is not None


@dataclass(frozen=True)
class Wanted:
    """What an environment is made of."""

    dependencies: Dependencies
    servers: tuple[str, ...]
    interpreter: Interpreter

    @property
    def added(self) -> list[str]:
        """Requirements for servers that the app itself does not name, pinned."""
        named = self.dependencies.requirements.names
        return [f"{name}=={SERVERS[name]}" for name in self.servers if name not in named]

    def digest(self, uv_version: str, index: dict[str, str]) -> str:
        """SHA-256 over everything that decides what gets installed."""
        requirements = self.dependencies.requirements
        inputs = {
            "format": FORMAT,
            "lines": requirements.lines,
            "constraints": requirements.constraints,
            "wheels": requirements.digests,
            "added": self.added,
            "python": [self.interpreter.executable, self.interpreter.version],
            "platform": [sysconfig.get_platform(), sys.implementation.cache_tag],
            "uv": uv_version,
            "index": sorted(index.items()),
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Job:
    """The build that an environment is for. `name` is unlike that of any other attempt."""

    name: str
    app: str
    work: Path
    say: Say
    timeout: float


class Environments:
    """The store of environments under the data folder."""

    def __init__(self, home: Path, uv: Uv, sandbox: Sandbox, memory_mb: int) -> None:
        self.folder = home / "environments"
        self._caches = home / "uv-cache"
        self._uv = uv
        self._sandbox = sandbox
        self._memory_mb = memory_mb

    async def ensure(self, wanted: Wanted, job: Job) -> Environment:
        """The environment for `wanted`, built now unless it is there.

        Raises `Invalid` with one sentence when it cannot be installed.
        """
        index = {name: value for name, value in self._uv.site.items() if name.startswith("UV_")}
        digest = wanted.digest(await self._uv.version(), index)
        found = Environment(digest, self.folder / digest, wanted.interpreter)
        if (found.path / "ready").exists():
            job.say("-----> Environment unchanged: reused")
            return found
        await self._build(found, wanted, job)
        return found

    async def _build(self, target: Environment, wanted: Wanted, job: Job) -> None:
        started = time.monotonic()
        temporary = Environment(target.digest, self.folder / f".{job.name}", target.interpreter)
        _say_what(wanted, job.say)
        try:
            await self._install(temporary, wanted, job)
            (temporary.path / "ready").write_text(f"{target.digest}\n")
            _publish(temporary.path, target.path)
        finally:
            shutil.rmtree(temporary.path, ignore_errors=True)
        job.say(f"       Installed in {time.monotonic() - started:.1f} s")

    async def _install(self, environment: Environment, wanted: Wanted, job: Job) -> None:
        arguments = _write_inputs(wanted, job.work)
        output = Output(job.say, hold_errors=True)
        await self._make_venv(environment, job)
        shared = self._uv.environment(self._caches / "shared")
        shared["UV_LINK_MODE"] = "hardlink" if _same_disk(self.folder, self._caches) else "copy"
        command = self._command(environment.path, ["--only-binary", ":all:", *arguments])
        if await self._run(command, shared, output, job) == 0:
            return
        if not complaints.lacks_only_wheels(output.text):
            output.release()
            raise Invalid(complaints.sentence(wanted.dependencies.file, output.text))
        await self._install_from_source(environment, wanted, arguments, job)

    async def _install_from_source(
        self, environment: Environment, wanted: Wanted, arguments: list[str], job: Job
    ) -> None:
        job.say("-----> Some packages have no wheel: building them from source in a sandbox")
        if not self._sandbox.locks:
            job.say(
                " !     This server has no bubblewrap: code of packages runs without a sandbox."
            )
        shutil.rmtree(environment.path, ignore_errors=True)
        await self._make_venv(environment, job)
        cache = self._caches / "apps" / job.app
        scratch = job.work / "tmp"
        for folder in (cache, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        self._sandbox.own(environment.path, cache, scratch)
        view = self._source_view(environment, cache, scratch, job)
        if not self._sandbox.contains(view):
            raise Invalid(
                "A package has to be built from source, and this server cannot lock such code in: "
                "ask for versions that have wheels, or have the administrator install bubblewrap."
            )
        settings = self._uv.environment(cache) | {"UV_LINK_MODE": "copy", "HOME": "/tmp"}
        output = Output(job.say)
        try:
            command = self._sandbox.wrap(self._command(environment.path, arguments), view)
            status = await self._run(command, settings, output, job)
        finally:
            self._sandbox.take_back(environment.path)
        if status:
            raise Invalid(complaints.sentence(wanted.dependencies.file, output.text))

    def _source_view(self, environment: Environment, cache: Path, scratch: Path, job: Job) -> View:
        read = {
            str(self._uv.program): self._uv.program,
            str(job.work / "inputs"): job.work / "inputs",
            **interpreter_view(environment.interpreter),
            **site_view(self._uv.site),
        }
        if (job.work / "code").is_dir():
            read[str(job.work / "code")] = job.work / "code"
        write = {str(environment.path): environment.path, str(cache): cache}
        return View(scratch=scratch, read=read, write=write, network=True)

    async def _make_venv(self, environment: Environment, job: Job) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(self._uv.program), "venv", "--quiet", "--relocatable", "--no-project",
            "--python", environment.interpreter.executable, str(environment.path),
        ]  # fmt: skip
        output = Output(job.say)
        settings = self._uv.environment(self._caches / "shared")
        if await self._run(command, settings, output, job):
            raise Invalid(complaints.sentence("the app", output.text))

    def _command(self, environment: Path, arguments: list[str]) -> list[str]:
        program = str(self._uv.program)
        return [program, "pip", "install", "--python", str(environment), *arguments]

    async def _run(
        self, command: list[str], settings: dict[str, str], output: "Output", job: Job
    ) -> int:
        return await child.run(
            command,
            env=settings,
            cwd=job.work,
            on_line=output,
            timeout=job.timeout,
            memory_mb=self._memory_mb,
        )


class Output:
    """Lines of uv: kept to understand a failure, shown to the pusher without the noise."""

    def __init__(self, say: Say, hold_errors: bool = False) -> None:
        self._say = say
        self._hold_errors = hold_errors
        self._held: list[str] = []
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        if len(self._lines) < 2000:
            self._lines.append(line)
        if self._held or (self._hold_errors and line.startswith("error:")):
            self._held.append(line)
        elif found := _RESOLVED.match(line):
            self._say(f"-----> Installing {found.group(1)} packages")
        elif not _NOISE.match(line):
            self._say(f"       {line.strip()}")

    def release(self) -> None:
        """Say the errors that were held back until it was known whether they matter."""
        for line in self._held:
            self._say(f"       {line}")

    @property
    def text(self) -> str:
        return "\n".join(self._lines)


def distribution_in(packages: Path, distribution: str) -> Path | None:
    """The `.dist-info` folder of an installed distribution."""
    wanted = normalise(distribution)
    for path in packages.glob("*.dist-info"):
        if normalise(path.name.removesuffix(".dist-info").rpartition("-")[0]) == wanted:
            return path
    return None


def interpreter_view(interpreter: Interpreter) -> dict[str, Path]:
    """An interpreter outside of the system's folders has to be shown to a sandbox."""
    root = Path(interpreter.executable).parent.parent
    return {} if root.is_relative_to("/usr") else {str(root): root}


def site_view(site: dict[str, str]) -> dict[str, Path]:
    """Files and folders that uv's own settings name."""
    named = " ".join(site.values()).replace("file://", " ").replace(",", " ").split()
    paths = [Path(name) for name in named if name.startswith("/")]
    return {str(path): path for path in paths if path.exists() and not _in_system(path)}


def _in_system(path: Path) -> bool:
    return path.is_relative_to("/usr") or path.is_relative_to("/etc/ssl")


def _say_what(wanted: Wanted, say: Say) -> None:
    say(f"-----> Resolving {wanted.dependencies.file} for Python {wanted.interpreter.version}")
    for server in wanted.added:
        say(f"       Adding {server}, which {wanted.dependencies.file} does not name")


def _write_inputs(wanted: Wanted, work: Path) -> list[str]:
    """Write what uv is to read; the arguments that name it."""
    requirements = wanted.dependencies.requirements
    folder = work / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [located(line, requirements, work / "code") for line in requirements.lines]
    arguments = ["--requirement", str(_write(folder / "requirements.txt", lines))]
    if wanted.added:
        # A file of its own: lines with hashes would ask for hashes here too.
        arguments += ["--requirement", str(_write(folder / "added.txt", wanted.added))]
    if requirements.constraints:
        constraints = _write(folder / "constraints.txt", requirements.constraints)
        arguments += ["--constraint", str(constraints)]
    return arguments


def _write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def _publish(temporary: Path, target: Path) -> None:
    """Give the environment its name; another builder that was faster made the same."""
    try:
        os.rename(temporary, target)
    except OSError:
        if not (target / "ready").exists():
            raise


def _same_disk(one: Path, other: Path) -> bool:
    for folder in (one, other):
        folder.mkdir(parents=True, exist_ok=True)
    return one.stat().st_dev == other.stat().st_dev
