"""Environments: installed dependencies, kept by the digest of everything that they depend on.

An environment is built under a temporary name and renamed when it is whole, `ready` being its last
file, so that whoever sees it sees all of it and two builders making the same one do no harm. It
never changes afterwards, except that bytecode is added.

First uv installs wheels only, which runs no foreign code. If that fails for nothing but the lack of
a wheel, everything is installed again inside the sandbox, with a cache of the app's own, because
code that builds a package can write whatever it likes into the cache it is given.
"""

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.builder import child, complaints
from services.builder.installing import Output, say_what, write_inputs
from services.builder.interpreters import Interpreter
from services.builder.jobs import Job, Wanted
from services.builder.requirements import normalise
from services.builder.uv import Uv
from shared.errors import Invalid
from shared.sandbox import Sandbox, View


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

    def modules_of(self, distributions: Iterable[str]) -> set[str]:
        """The modules that these distributions install, as their own records say."""
        found: set[str] = set()
        for name in distributions:
            folder = distribution_in(self.packages, name)
            if folder is None or not (folder / "RECORD").is_file():
                continue
            for line in (folder / "RECORD").read_text(errors="replace").splitlines():
                first, _, rest = line.partition(",")[0].partition("/")
                if rest == "__init__.py" and first.isidentifier():
                    found.add(first)
        return found


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
            os.utime(found.path / "ready")  # it is in use: what nothing uses is removed
            job.say("-----> Environment unchanged: reused")
            return found
        await self._build(found, wanted, job)
        return found

    async def _build(self, target: Environment, wanted: Wanted, job: Job) -> None:
        started = time.monotonic()
        temporary = Environment(target.digest, self.folder / f".{job.name}", target.interpreter)
        say_what(wanted, job.say)
        try:
            await self._install(temporary, wanted, job)
            (temporary.path / "ready").write_text(f"{target.digest}\n")
            _publish(temporary.path, target.path)
        finally:
            shutil.rmtree(temporary.path, ignore_errors=True)
        job.say(f"       Installed in {time.monotonic() - started:.1f} s")

    async def _install(self, environment: Environment, wanted: Wanted, job: Job) -> None:
        arguments = write_inputs(wanted, job.work / "inputs", job.work / "code")
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
        self, command: list[str], settings: dict[str, str], output: Output, job: Job
    ) -> int:
        return await child.run(
            command,
            env=settings,
            cwd=job.work,
            on_line=output,
            timeout=job.timeout,
            memory_mb=self._memory_mb,
        )


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
