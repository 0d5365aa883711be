"""The workshop of the Docker engine: images in layers, so that a push rebuilds what it changed.

From below: the base that all apps share, the environment, which all apps and releases with the same
requirements share, and the app's code. Packages are installed in a container and the container is
committed, because the engine's own build would run foreign code with more rights than we give.

First uv installs wheels only, with a cache that all builds share: that runs no foreign code. If it
fails for nothing but the lack of a wheel, everything is installed again without that cache, because
code that builds a package can write whatever it likes into the cache it is given.
"""

import hashlib
import json
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError
from packaging.specifiers import SpecifierSet

from services.builder import complaints
from services.builder.detect import Plan
from services.builder.images import canonical
from services.builder.installing import Output, arguments, inputs, say_what, text_of
from services.builder.interpreters import Interpreter, PythonRequest
from services.builder.jobs import Job, Wanted
from services.builder.requirements import normalise
from services.builder.settings import BuilderSettings
from services.builder.syntax import check_syntax
from services.builder.uv import Uv
from services.builder.workshops.containers import Bounds, Containers, Work
from services.builder.workshops.protocol import Environment, manifest_of
from shared.docker.archives import context
from shared.docker.client import connect, in_our_words
from shared.docker.guard import Guard
from shared.docker.names import BUILDS, Names
from shared.docker.networks import Networks
from shared.errors import Invalid, NotFound, Unavailable
from shared.names import printable

MANIFEST, APP = "moorage.manifest", "moorage.app"
DISTRIBUTIONS = "moorage.distributions"
"""Label of an environment: each distribution and the modules it installs, as JSON."""
PYTHON = "/usr/bin/python3"
WARM_SECONDS = 60.0
MOST_MODULES = 200
_SEPARATORS = re.compile(r"([\s,]+)")
_FOUND = "moorage-distribution: "
_DESCRIBE = """
import json, pathlib, sys
for folder in pathlib.Path(sys.argv[1]).glob("lib/python3*/site-packages/*.dist-info"):
    modules = set()
    record = folder / "RECORD"
    for line in record.read_text(errors="replace").splitlines() if record.is_file() else []:
        first, _, rest = line.partition(",")[0].partition("/")
        if rest == "__init__.py" and first.isidentifier():
            modules.add(first)
    name = folder.name[: -len(".dist-info")].rpartition("-")[0]
    print(sys.argv[2] + json.dumps([name, *sorted(modules)]))
"""
_INSTALL = """
python=$1 describe=$2 found=$3; shift 3
uv venv --quiet --allow-existing --relocatable --no-project --python "$python" /env &&
uv pip install --python /env "$@" &&
"$python" -I -S -c "$describe" /env "$found" &&
rm -rf /build/*
"""
_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        pass
"""
# Two halves, for two processors.
_WARM = """
code=$1 first=$2 second=$3
/env/bin/python -c "$code" $first &
/env/bin/python -c "$code" $second
wait
"""


@dataclass(frozen=True)
class DockerEnvironment:
    """An image with the installed dependencies; `image` names it, `warmed` once it is finished."""

    digest: str
    interpreter: Interpreter
    image: str
    distributions: dict[str, list[str]]
    warmed: bool

    def has(self, distribution: str) -> bool:
        return normalise(distribution) in map(normalise, self.distributions)

    def modules_of(self, distributions: Iterable[str]) -> set[str]:
        wanted = set(map(normalise, distributions))
        found = self.distributions.items()
        return {
            module for name, modules in found if normalise(name) in wanted for module in modules
        }


class DockerWorkshop:
    """Installs with uv in containers of one engine, and makes images there."""

    def __init__(self, settings: BuilderSettings, uv: Uv) -> None:
        self._settings = settings
        self._uv = uv
        self._names = Names.of(settings.home)
        self._client: Docker | None = None
        self._pythons: dict[str, Interpreter] = {}

    async def interpreter(self, request: PythonRequest | None) -> Interpreter:
        base = await self._base()
        if base not in self._pythons:
            self._pythons[base] = await self._identify(base)
        python = self._pythons[base]
        if request is None or _satisfies(python, request):
            return python
        raise Invalid(
            f"{request.file} asks for Python {printable(request.text, 40)}, which this server does "
            f"not have: write {python.minor}."
        )

    async def check_syntax(self, interpreter: Interpreter, code: Path, file: str) -> None:
        ours = Interpreter(sys.executable, platform.python_version())
        if _numbers(ours.version) >= _numbers(interpreter.minor):  # it knows all that theirs knows
            await check_syntax(ours, code, file)

    async def environment(self, wanted: Wanted, job: Job) -> DockerEnvironment:
        site = {name: value for name, value in self._uv.site.items() if name.startswith("UV_")}
        site["base"] = await self._base()
        digest = wanted.digest(await self._uv.version(), site)
        if found := await self._find(digest, wanted.interpreter):
            job.say("-----> Environment unchanged: reused")
            return found
        started = time.monotonic()
        say_what(wanted, job.say)
        made = await self._install(digest, wanted, job)
        job.say(f"       Installed in {time.monotonic() - started:.1f} s")
        return made

    async def warm(self, environment: Environment, modules: set[str], job: Job) -> None:
        """Import them where there is no network, and keep what that wrote."""
        assert isinstance(environment, DockerEnvironment)
        if environment.warmed:
            return
        names = sorted(modules)[:MOST_MODULES]
        work = Work(
            image=environment.image,
            command=["/bin/sh", "-c", _WARM, "warm", _IMPORT, *_halves(names)],
            environment={"HOME": "/tmp", "LANG": "C.UTF-8", "MPLBACKEND": "agg"},
            network="none",
        )
        async with self._containers().working(job.name, work) as container:
            # Imports that hang are no failure: the app will say what is wrong when it starts.
            with suppress(Invalid):
                await self._containers().run(container, work, _unheard, WARM_SECONDS)
            await self._commit(container, environment, environment.digest)
        with suppress(DockerError):  # its layers stay, under the new name
            await self._docker.images.delete(environment.image, noprune=True)

    async def image(
        self, code: Path, plan: Plan, source: str, environment: Environment, job: Job
    ) -> str:
        raw = canonical(manifest_of(plan, source, environment))
        tag = f"{self._names.repository(job.app)}:{hashlib.sha256(raw).hexdigest()}"
        if (found := await self._inspect(tag)) is not None:
            await self._use(tag)
            return found["Id"]
        for file, text in plan.extra_files.items():
            (code / file).write_text(text)
        base = f"{self._names.environments}:{environment.digest}"
        dockerfile = f"FROM {base}\nCOPY app /app\n".encode()
        labels = {**self._names.labels, APP: job.app, MANIFEST: raw.decode()}
        with (
            in_our_words(f"The environment {environment.digest}"),
            context({"Dockerfile": dockerfile}, code, "app") as file,
        ):
            await self._docker.images.build(
                fileobj=file, encoding="identity", tag=tag, labels=labels, forcerm=True
            )
        made = await self._inspect(tag)
        if made is None:
            raise Unavailable("Docker's engine has lost the image again; push again.")
        return made["Id"]

    async def attempts(self) -> set[str]:
        return await self._containers().attempts()

    async def clear(self, attempts: set[str]) -> None:
        if attempts:
            await self._containers().clear(attempts)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    @property
    def _docker(self) -> Docker:
        """Made at its first use, for it wants a running loop."""
        if self._client is None:
            self._client = connect(self._settings.docker_url)
            self._networks = Networks(self._client, self._names, self._settings.docker_networks)
            self._guard = Guard(self._client, self._names, self._settings)
        return self._client

    def _containers(self) -> Containers:
        settings = self._settings
        bounds = Bounds(
            memory_bytes=settings.builder_memory_mb << 20,
            disk_bytes=settings.builder_disk_mb << 20,
            cpu=settings.builder_cpu,
            seconds=settings.builder_timeout_seconds,
        )
        return Containers(self._docker, self._names, bounds)

    async def _base(self) -> str:
        """The id of the image that apps are built on."""
        found = await self._inspect(self._settings.docker_app_image)
        if found is not None:
            await self._guard.ensure()
        if found is None:
            raise NotFound(
                f"The image {self._settings.docker_app_image}, which apps are built on, is not in "
                "the engine: the administrator makes it with 'make images'."
            )
        return found["Id"]

    async def _inspect(self, image: str) -> dict[str, Any] | None:
        try:
            with in_our_words():
                return await self._docker.images.inspect(image)
        except NotFound:
            return None

    async def _use(self, name: str) -> None:
        """Tag an image anew: what nobody has tagged for long, and nothing needs, is removed."""
        repository, _, tag = name.rpartition(":")
        with in_our_words(f"The image {name}"):
            await self._docker.images.tag(name, repository, tag=tag)

    async def _identify(self, base: str) -> Interpreter:
        lines: list[str] = []
        work = Work(
            image=base,
            command=[PYTHON, "-I", "-S", "-c", "import platform; print(platform.python_version())"],
            environment={},
            network="none",
        )
        async with self._containers().working("interpreter", work) as container:
            await self._containers().run(container, work, lines.append)
        return Interpreter(PYTHON, lines[-1])

    async def _find(self, digest: str, interpreter: Interpreter) -> DockerEnvironment | None:
        name = f"{self._names.environments}:{digest}"
        found = await self._inspect(name)
        if found is None:
            return None
        await self._use(name)
        distributions = json.loads(found["Config"]["Labels"][DISTRIBUTIONS])
        return DockerEnvironment(digest, interpreter, name, distributions, warmed=True)

    async def _install(self, digest: str, wanted: Wanted, job: Job) -> DockerEnvironment:
        output = Output(job.say, hold_errors=True)
        cache = {
            "Type": "volume", "Source": self._names.container("packages"), "Target": "/cache",
            "VolumeOptions": {"Labels": self._names.labels},
        }  # fmt: skip
        only_wheels = ["--only-binary", ":all:"]
        made = await self._try(digest, wanted, job, output, only_wheels, [cache])
        if made is None and complaints.lacks_only_wheels(output.text):
            job.say("-----> Some packages have no wheel: building them from source")
            output = Output(job.say)
            made = await self._try(digest, wanted, job, output, [], [])
        if made is None:
            output.release()
            raise Invalid(complaints.sentence(wanted.dependencies.file, output.text))
        return made

    async def _try(
        self,
        digest: str,
        wanted: Wanted,
        job: Job,
        output: Output,
        more: list[str],
        mounts: list[dict[str, Any]],
    ) -> DockerEnvironment | None:
        """The environment, not warmed yet; None when uv could not make it."""
        work = await self._work(wanted, job, more, mounts)
        heard = _Heard(output)
        async with self._containers().working(job.name, work) as container:
            if await self._containers().run(container, work, heard):
                return None
            made = DockerEnvironment(
                digest, wanted.interpreter, "", heard.distributions, warmed=False
            )
            image = await self._commit(container, made, None)
        return DockerEnvironment(digest, wanted.interpreter, image, made.distributions, False)

    async def _work(
        self, wanted: Wanted, job: Job, more: list[str], mounts: list[dict[str, Any]]
    ) -> Work:
        wheels = wanted.dependencies.requirements.digests
        listed = inputs(wanted, Path("/build/code"))
        files: dict[str, bytes | Path] = {
            f"/build/inputs/{name}": text_of(lines).encode() for name, lines in listed.items()
        }
        files |= {f"/build/code/{wheel}": job.work / "code" / wheel for wheel in wheels}
        cache = Path("/cache" if mounts else "/build/cache")
        environment, given, shown = _of_site(self._uv.environment(cache), self._uv.site)
        return Work(
            image=self._settings.docker_app_image,
            command=[
                "/bin/sh", "-c", _INSTALL, "install", PYTHON, _DESCRIBE, _FOUND,
                *more, *arguments(listed, Path("/build/inputs")),
            ],
            environment={**environment, "UV_LINK_MODE": "copy"},
            network=await self._networks.ensure(BUILDS, neighbours=False),
            files={**files, **given},
            folders=["/env", "/build", str(cache)],
            mounts=[*mounts, *shown],
        )  # fmt: skip

    async def _commit(self, container: Any, made: DockerEnvironment, tag: str | None) -> str:
        """Make an image of a container; its id."""
        labels = {**self._names.labels, DISTRIBUTIONS: json.dumps(made.distributions)}
        with in_our_words():
            committed = await container.commit(
                repository=self._names.environments if tag else None,
                tag=tag,
                config={
                    "Labels": labels,
                    "OpenStdin": False,
                    "StdinOnce": False,
                    "Cmd": ["/bin/sh"],
                },
            )
        return committed["Id"]


class _Heard:
    """Takes the list of distributions out of what an installation says."""

    def __init__(self, output: Callable[[str], None]) -> None:
        self._output = output
        self.distributions: dict[str, list[str]] = {}

    def __call__(self, line: str) -> None:
        if line.startswith(_FOUND):
            name, *modules = json.loads(line.removeprefix(_FOUND))
            self.distributions[name] = modules
        else:
            self._output(line)


def _unheard(_: str) -> None:
    return


def _halves(names: list[str]) -> list[str]:
    """Two lists as words of a shell, each package whole."""
    packages = sorted({name.partition(".")[0] for name in names})
    halves = (packages[0::2], packages[1::2])
    return [" ".join(n for n in names if n.partition(".")[0] in half) for half in halves]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:2]]


def _satisfies(python: Interpreter, request: PythonRequest) -> bool:
    """Is it what was asked for? Of an exact version the last number may differ."""
    if request.minor:
        return request.minor == python.minor
    return python.version in SpecifierSet(request.text)


def _of_site(
    environment: dict[str, str], site: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, bytes | Path], list[dict[str, Any]]]:
    """A site's settings for a container: what they name on this machine goes along.

    The environment, files for the container, and mounts for folders.
    """
    found, files, mounts = dict(environment), dict[str, bytes | Path](), list[dict[str, Any]]()
    found["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    for name, value in site.items():
        words = _SEPARATORS.split(value)
        for number, word in enumerate(words):
            path = Path(word.removeprefix("file://"))
            if not path.is_absolute() or not path.exists():
                continue
            if path.is_dir():
                there = f"/site/{name}-{number}"
                mount = {"Type": "bind", "Source": str(path), "Target": there, "ReadOnly": True}
                mounts.append(mount)
            else:
                there = f"/build/site/{name}-{number}"
                files[there] = path
            words[number] = there
        found[name] = "".join(words)
    return found, files, mounts
