"""The process engine: instances are child processes of nobody, locked in by bubblewrap.

An instance is a session of its own: a tiny shell that notes the exit status, in it the sandbox, in
it the app. It outlives the scheduler; `run/instances/<instance>/` has what is needed to find it
again, and no value of its environment. Images and environments lie in the data folder, where the
builder of this engine puts them.
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psutil
from pydantic import ValidationError

from services.scheduler.engines import logfiles, processes
from services.scheduler.engines.cgroups import find_cgroups
from services.scheduler.engines.protocol import (
    ImageManifest,
    InstanceSpec,
    Limits,
    Reference,
    Stats,
    Status,
)
from shared.errors import Invalid, NotFound
from shared.sandbox import Sandbox, View, find_sandbox

FIRST_UID, UIDS = 200_000, 50_000
"""Users of apps where the platform runs as root: one for each, none of them in /etc/passwd."""
STOP_POLL_SECONDS = 0.03
LONGEST_LINE = 1024 * 1024

# Notes how the app ended even when nobody watches; limits and groups come before the app.
WRAPPER = """
exit_file=$1 groups=$2 files=$3; shift 3
for group in $groups; do echo $$ > "$group/cgroup.procs"; done
[ -z "$files" ] || ulimit -n "$files"
"$@"
echo $? > "$exit_file.partial" && mv "$exit_file.partial" "$exit_file"
"""

PLAIN_WARNING = (
    "bubblewrap is not usable here: apps run without a sandbox and can read what their user can "
    "read; install the package 'bubblewrap' and restart the scheduler."
)


class ProcessEngine:
    """Runs instances as processes of this machine, below one data folder."""

    name = "process"

    def __init__(self, home: Path, bubblewrap: bool = True) -> None:
        self._home = Path(home)
        self._run = self._home / "run" / "instances"
        self._bubblewrap = bubblewrap
        self._sandbox = find_sandbox(FIRST_UID, bubblewrap)
        digest = hashlib.sha256(str(self._home).encode()).hexdigest()[:8]
        self._cgroups = find_cgroups(f"moorage-{digest}")
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.level = self._sandbox.level
        self.warning = "" if self.level == "bubblewrap" else PLAIN_WARNING

    async def image(self, digest: str) -> ImageManifest:
        path = self._image(digest) / "manifest.json"
        try:
            return ImageManifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise NotFound(f"The image {digest} is not there any more; push again.") from error

    async def start(self, spec: InstanceSpec) -> Reference:
        folder = self._run / spec.instance
        running = self._noted(folder)
        if running and self._alive(running):
            return running
        manifest = await self.image(spec.image)
        return await asyncio.to_thread(self._start, spec, manifest, folder)

    async def stop(self, reference: Reference, grace: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        processes.send(self._members(reference), signal.SIGTERM)
        while self._alive(reference):
            if loop.time() > deadline:
                processes.send(self._members(reference), signal.SIGKILL)
            await asyncio.sleep(STOP_POLL_SECONDS)
        # What left the session of its own accord ends with the instance all the same.
        processes.send(self._cgroups.processes(reference["instance"]), signal.SIGKILL)

    async def poll(self, reference: Reference) -> Status:
        instance = reference["instance"]
        code = self._exit_code(self._run / instance)
        if code is None and self._alive(reference):
            return Status("running")
        code = self._exit_code(self._run / instance)
        if code is None:
            if reference["boot"] != processes.boot_id():
                return Status("unknown", None, "the machine was restarted")
            return Status("exited", None, "it was killed from outside")
        if self._cgroups.ran_out_of_memory(instance):
            return Status("exited", code, "it ran out of memory and was killed")
        if code > 128:
            return Status("exited", code, f"it was ended by signal {code - 128}")
        return Status("exited", code, f"it ended with exit status {code}")

    async def adopt(self) -> dict[str, Reference]:
        if not self._run.is_dir():
            return {}
        noted = (self._noted(folder) for folder in self._run.iterdir())
        return {found["instance"]: found for found in noted if found and self._alive(found)}

    async def logs(self, instance: str, lines: int, follow: bool) -> AsyncIterator[str]:
        path = self._log(instance)
        last, position = logfiles.tail(path, lines)
        for line in last:
            yield line
        if follow:
            async for line in logfiles.follow(path, position):
                yield line

    async def last_lines(self, instance: str, count: int) -> list[str]:
        return logfiles.tail(self._log(instance), count)[0]

    async def stats(self, reference: Reference) -> Stats:
        return await asyncio.to_thread(self._stats, reference)

    async def execute(self, spec: InstanceSpec, command: list[str]) -> AsyncIterator[str]:
        manifest = await self.image(spec.image)
        view = self._view(spec, manifest, outlives=False)
        child = await asyncio.create_subprocess_exec(
            *self._sandbox_of(spec.app).wrap(command, view),
            env=self._environment(spec, manifest),
            cwd=self._image(spec.image) / "app",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        assert child.stdout
        try:
            async for line in child.stdout:
                yield line.decode(errors="replace").rstrip("\r\n")
            yield f"exit-status: {await child.wait()}"
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                await child.wait()

    async def processes(self, reference: Reference) -> set[int]:
        return await asyncio.to_thread(self._members, reference)

    async def listening(self, reference: Reference) -> list[tuple[str, int]]:
        return await asyncio.to_thread(self._listening, reference)

    async def remove(self, instance: str) -> None:
        self._children.pop(instance, None)
        self._cgroups.remove(instance)
        shutil.rmtree(self._run / instance, ignore_errors=True)
        log = self._log(instance)
        for path in (log, log.with_name(log.name + ".1")):
            path.unlink(missing_ok=True)

    async def housekeep(self) -> None:
        for child in self._children.values():
            child.poll()  # an instance that ended stays a zombie until somebody asks
        for log in self._home.glob("apps/*/logs/*.log"):
            await asyncio.to_thread(logfiles.trim, log)

    def _start(self, spec: InstanceSpec, manifest: ImageManifest, folder: Path) -> Reference:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "exit").unlink(missing_ok=True)
        sandbox = self._sandbox_of(spec.app)
        self._own_folders(spec.app, sandbox)
        groups = self._cgroups.prepare(spec.instance, spec.limits)
        inner = sandbox.wrap(
            ["/bin/sh", "-c", spec.command], self._view(spec, manifest, outlives=True)
        )
        with self._log(spec.instance).open("ab") as log:
            child = subprocess.Popen(
                [
                    *("/bin/sh", "-c", WRAPPER, "moorage-instance", str(folder / "exit")),
                    *(" ".join(map(str, groups)), _files(spec.limits), *inner),
                ],
                env=self._environment(spec, manifest),
                cwd=self._image(spec.image) / "app",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children[spec.instance] = child
        reference: Reference = {
            "instance": spec.instance,
            "pid": child.pid,
            "started": processes.start_time(child.pid),
            "boot": processes.boot_id(),
        }
        _write_note(folder / "instance.json", reference)
        return reference

    def _view(self, spec: InstanceSpec, manifest: ImageManifest, outlives: bool) -> View:
        environment = self._home / "environments" / manifest.environment
        data = self._home / "apps" / spec.app / "data"
        shown = {str(environment): environment, "/app": self._image(spec.image) / "app"}
        python = _python_home(environment)
        if python is not None:
            shown[str(python)] = python
        return View(
            read=shown,
            write={"/data": data},
            network=True,
            folder="/app",
            hostname=spec.app,
            outlives=outlives,
        )

    def _environment(self, spec: InstanceSpec, manifest: ImageManifest) -> dict[str, str]:
        scripts = self._home / "environments" / manifest.environment / "bin"
        ours = {
            "PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "VIRTUAL_ENV": str(scripts.parent),
        }
        locked_in = self.level == "bubblewrap"
        data = "/data" if locked_in else str(self._home / "apps" / spec.app / "data")
        return {**ours, "MOORAGE_DATA": data, **spec.environment}

    def _sandbox_of(self, app: str) -> Sandbox:
        """The sandbox with the app's own user, where we are root."""
        if self._sandbox.uid is None:
            return self._sandbox
        number = int.from_bytes(hashlib.sha256(app.encode()).digest()[:4]) % UIDS
        return Sandbox(self._sandbox.level, FIRST_UID + number)

    def _own_folders(self, app: str, sandbox: Sandbox) -> None:
        data, logs = (self._home / "apps" / app / name for name in ("data", "logs"))
        for folder in (data, logs):
            folder.mkdir(parents=True, exist_ok=True)
        logs.chmod(0o700)
        if sandbox.uid is not None:
            os.chown(data, sandbox.uid, sandbox.uid)
        data.chmod(0o700)

    def _members(self, reference: Reference) -> set[int]:
        """The app's own processes: not the shell that notes the end, and not the sandbox's."""
        found = processes.descendants(reference["pid"])
        locks = {child.pid for child in found if _name(child) in ("bwrap", "setpriv")}
        strays = self._cgroups.processes(reference["instance"])
        return ({child.pid for child in found} | strays) - {reference["pid"]} - locks

    def _alive(self, reference: Reference) -> bool:
        child = self._children.get(reference["instance"])
        if child is not None:
            child.poll()
        started = processes.start_time(reference["pid"])
        return started is not None and started == reference["started"]

    def _stats(self, reference: Reference) -> Stats:
        memory = cpu = 0.0
        members = processes.descendants(reference["pid"])
        for member in members:
            try:
                cpu += sum(member.cpu_times()[:2])
                memory += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        counted = self._cgroups.memory_bytes(reference["instance"])
        return Stats(int(memory) if counted is None else counted, cpu, len(members))

    def _listening(self, reference: Reference) -> list[tuple[str, int]]:
        found: set[tuple[str, int]] = set()
        for member in processes.descendants(reference["pid"]):
            try:
                for connection in member.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((connection.laddr.ip, connection.laddr.port))
            except psutil.Error:
                continue
        return sorted(found)

    def _image(self, digest: str) -> Path:
        hexadecimal = digest.removeprefix("sha256:")
        if not hexadecimal.isalnum():
            raise Invalid(f"'{digest}' is not the digest of an image.")
        return self._home / "images" / hexadecimal

    def _log(self, instance: str) -> Path:
        return self._home / "apps" / instance.partition(".")[0] / "logs" / f"{instance}.log"

    def _noted(self, folder: Path) -> Reference | None:
        try:
            return json.loads((folder / "instance.json").read_text())
        except (OSError, ValueError):
            return None

    def _exit_code(self, folder: Path) -> int | None:
        try:
            return int((folder / "exit").read_text())
        except (OSError, ValueError):
            return None


def _python_home(environment: Path) -> Path | None:
    """The Python installation that an environment borrows, if it is not part of the system.

    `pyvenv.cfg` names its `home`, the folder of the interpreter (PEP 405).
    """
    interpreter = (environment / "bin" / "python").resolve()
    prefix = interpreter.parent.parent
    return None if prefix.is_relative_to("/usr") or prefix == Path("/") else prefix


def _files(limits: Limits) -> str:
    return "" if limits.open_files is None else str(limits.open_files)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _write_note(path: Path, reference: Mapping[str, object]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(reference))
    partial.chmod(0o600)
    partial.rename(path)
