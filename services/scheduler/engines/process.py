"""The process engine: instances are child processes of nobody, locked in as the machine allows.

An instance is a session of its own: a tiny shell that notes the exit status, in it the sandbox, in
it the app. It outlives the scheduler; `run/instances/<instance>/` has what is needed to find it
again, and no value of its environment. Images and environments lie in the data folder, where the
builder of this engine puts them.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from pydantic import ValidationError

from services.scheduler.engines import disused, logfiles, processes
from services.scheduler.engines.cgroups import find_cgroups
from services.scheduler.engines.launch import MARK, Launch
from services.scheduler.engines.protocol import (
    ELSEWHERE,
    LOOPBACK,
    ImageManifest,
    InstanceSpec,
    Reference,
    Stats,
    Status,
)
from services.scheduler.engines.users import FIRST_UID, uid_of
from shared.errors import Invalid, NotFound, Unavailable
from shared.sandbox import Sandbox, View, find_sandbox, reachable

STOP_POLL_SECONDS = 0.03
NOTE_SECONDS = 5.0

KILL_SECONDS = 5.0
"""How long the kernel may take to end what was killed before we stop counting on its notes."""

LANDLOCK_WARNING = (
    "bubblewrap is not usable here: Landlock closes the platform's files, those of other apps and "
    "all that are not the system's to apps, but they share processes, the network, sockets and "
    "/dev/shm with this machine, see what runs and which files exist, and may change the modes of "
    "their user's files; install the package 'bubblewrap' and restart the scheduler."
)
LANDLOCK_ROOT_WARNING = (
    "Other users cannot reach the data folder or Python, so that apps run as root without "
    "capabilities and may change the modes of root's files. "
)
PLAIN_WARNING = (
    "bubblewrap is not usable here: apps run without a sandbox and can read what their user can "
    "read; install the package 'bubblewrap' and restart the scheduler."
)
ROOT_WARNING = (
    "bubblewrap is not usable here and other users cannot reach the data folder or Python: apps "
    "run as root, without a sandbox, and can read every file of the platform; install the package "
    "'bubblewrap' and restart the scheduler."
)


class ProcessEngine:
    """Runs instances as processes of this machine, below one data folder."""

    name = "process"
    bind = LOOPBACK
    shares_network = True

    def __init__(self, home: Path, bubblewrap: bool = True, landlock: bool = True) -> None:
        self._home = Path(home)
        self._run = self._home / "run" / "instances"
        self._bubblewrap = bubblewrap
        self._sandbox = find_sandbox(FIRST_UID, bubblewrap, landlock)
        self._name = f"moorage-{hashlib.sha256(str(self._home).encode()).hexdigest()[:8]}"
        self._cgroups = find_cgroups(self._name)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.level = self._sandbox.level
        self.warning = self._warning()

    async def image(self, digest: str) -> ImageManifest:
        path = self._image(digest) / "manifest.json"
        try:
            return ImageManifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise NotFound(f"The image {digest} is not there any more; push again.") from error

    async def start(self, spec: InstanceSpec) -> Reference:
        folder = self._run / spec.instance
        if running := self._running(folder):
            return running
        manifest = await self.image(spec.image)
        return await asyncio.to_thread(self._start, spec, manifest, folder)

    async def stop(self, reference: Reference, grace: float) -> None:
        await self._ask_to_end(reference, grace)
        await self._kill(reference)
        await self._end_strays(reference["instance"])

    async def poll(self, reference: Reference) -> Status:
        if "pid" not in reference:
            return Status("exited", None, ELSEWHERE)
        instance = reference["instance"]
        code = self._exit_code(self._run / instance)
        if code is None and self._alive(reference):
            return Status("running")
        code = self._exit_code(self._run / instance)
        if code is None:
            if reference["boot"] != processes.boot_id():
                return Status("unknown", None, "the machine was restarted")
            # Only the shell that notes the end was killed, perhaps; the app must not go on alone.
            await self._end_strays(instance)
            return Status("exited", None, "it was killed from outside")
        if code != 0 and self._cgroups.ran_out_of_memory(instance):
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
        self._own_folders(spec, manifest)
        launch = self._launch(spec, manifest, command, outlives=False)
        with launch.one_off() as opened:
            child = await asyncio.create_subprocess_exec(
                *opened.command,
                env=opened.environment,
                cwd=self._folder(spec),
                stdin=opened.settings,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(opened.seccomp,),
                start_new_session=True,
            )
        assert child.stdout
        try:
            async for line in logfiles.lines_of(child.stdout):
                yield line
            yield f"exit-status: {_status(await child.wait())}"
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
            # Before the wait, which lasts until nobody holds the child's output any more.
            await self._end_strays(spec.instance)
            await child.wait()
            self._cgroups.remove(spec.instance)
            shutil.rmtree(self._scratch(spec.instance), ignore_errors=True)

    async def processes(self, reference: Reference) -> set[int]:
        return await asyncio.to_thread(self._members, reference)

    async def listening(self, reference: Reference) -> list[tuple[str, int]]:
        return await asyncio.to_thread(self._listening, reference)

    async def remove(self, instance: str) -> None:
        self._children.pop(instance, None)
        self._cgroups.remove(instance)
        shutil.rmtree(self._run / instance, ignore_errors=True)
        shutil.rmtree(self._scratch(instance), ignore_errors=True)
        log = self._log(instance)
        for path in (log, log.with_name(log.name + ".1")):
            path.unlink(missing_ok=True)

    async def changes(self) -> AsyncIterator[str]:
        """None: the ends of processes that are nobody's children are seen on the clock."""
        await asyncio.Event().wait()
        yield ""

    async def housekeep(self, known: Collection[str]) -> None:
        for child in self._children.values():
            child.poll()  # an instance that ended stays a zombie until somebody asks
        for log in self._home.glob("apps/*/logs/*.log"):
            with suppress(FileNotFoundError):  # its app was deleted meanwhile
                await asyncio.to_thread(logfiles.trim, log)

    async def discard(self, needed: Collection[str], seconds: float) -> int:
        return await asyncio.to_thread(disused.remove, self._home, needed, seconds)

    async def close(self) -> None:
        return

    async def clear(self) -> None:
        return

    def _start(self, spec: InstanceSpec, manifest: ImageManifest, folder: Path) -> Reference:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        with _held(folder / "lock"):
            if running := self._running(folder):
                return running
            self._own_folders(spec, manifest)
            self._forget_last(spec.instance, folder)
            command = ["/bin/sh", "-c", spec.command]
            launch = self._launch(spec, manifest, command, outlives=True)
            return self._spawn(launch, spec, folder)

    def _running(self, folder: Path) -> Reference | None:
        """The run that is noted in a folder, unless it has ended or is about to."""
        noted = self._noted(folder)
        if noted and self._exit_code(folder) is None and self._alive(noted):
            return noted
        return None

    def _forget_last(self, instance: str, folder: Path) -> None:
        """Clear what an earlier run of the instance left: its processes, its end, its counters."""
        deadline = time.monotonic() + KILL_SECONDS
        processes.send(self._strays(instance), signal.SIGKILL)
        # What was killed is in its group until it is reaped, and the group counts its end.
        while not self._cgroups.remove(instance) and time.monotonic() < deadline:
            processes.send(self._strays(instance), signal.SIGKILL)
            time.sleep(STOP_POLL_SECONDS)
        (folder / "exit").unlink(missing_ok=True)
        os.close(os.open(folder / "instance.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))

    def _spawn(self, launch: Launch, spec: InstanceSpec, folder: Path) -> Reference:
        """The note is the wrapper's own, so that no crash of ours leaves an instance unknown."""
        with (
            self._log(spec.instance).open("ab") as log,
            launch.detached(folder, spec.instance, processes.boot_id()) as opened,
        ):
            if (uid := self._sandbox_of(spec.app).uid) is not None:
                os.fchown(log.fileno(), uid, uid)  # else the app may not open /dev/stdout
            child = opened.popen(log.fileno(), self._folder(spec))
        self._children[spec.instance] = child
        deadline = time.monotonic() + NOTE_SECONDS
        while (reference := self._noted(folder)) is None:
            if child.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"The instance {spec.instance} could not be started; try again.")
            time.sleep(0.001)
        return reference

    def _launch(
        self, spec: InstanceSpec, manifest: ImageManifest, command: list[str], outlives: bool
    ) -> Launch:
        view = self._view(spec, manifest, outlives)
        return Launch(
            sandbox=self._sandbox_of(spec.app),
            view=view,
            command=command,
            environment=self._environment(spec, manifest, view),
            groups=self._cgroups.prepare(spec.instance, spec.limits),
            limits=spec.limits,
            mark=f"{self._name}/{spec.instance}",
        )

    def _view(self, spec: InstanceSpec, manifest: ImageManifest, outlives: bool) -> View:
        environment = self._home / "environments" / manifest.environment
        data = self._home / "apps" / spec.app / "data"
        shown = {str(environment): environment, "/app": self._image(spec.image) / "app"}
        python = _python_home(environment, self._home)
        if python is not None:
            shown[str(python)] = python
        return View(
            scratch=self._scratch(spec.instance) if self.level == "landlock" else None,
            read=shown,
            write={"/data": data},
            network=True,
            folder="/app",
            hostname=spec.app,
            outlives=outlives,
        )

    def _environment(
        self, spec: InstanceSpec, manifest: ImageManifest, view: View
    ) -> dict[str, str]:
        scripts = self._home / "environments" / manifest.environment / "bin"
        ours = {
            "PATH": f"{scripts}:/usr/local/bin:/usr/bin:/bin",
            "HOME": self._sandbox.place(view, "/tmp"),
            "LANG": "C.UTF-8",
            "MOORAGE_DATA": self._sandbox.place(view, "/data"),
            "VIRTUAL_ENV": str(scripts.parent),
        }
        return {**ours, **spec.environment}

    def _sandbox_of(self, app: str) -> Sandbox:
        """The sandbox with the app's own user, where we are root."""
        if self._sandbox.uid is None:
            return self._sandbox
        return Sandbox(self._sandbox.level, uid_of(app))

    def _own_folders(self, spec: InstanceSpec, manifest: ImageManifest) -> None:
        data, logs = (self._home / "apps" / spec.app / name for name in ("data", "logs"))
        for folder in (data, logs):
            folder.mkdir(parents=True, exist_ok=True)
        logs.chmod(0o700)
        view = self._view(spec, manifest, outlives=False)
        if view.scratch:  # as fresh as bubblewrap's /tmp
            shutil.rmtree(view.scratch, ignore_errors=True)
            view.scratch.mkdir(parents=True)
        sandbox = self._sandbox_of(spec.app)
        for folder in filter(None, (data, view.scratch)):
            if sandbox.uid is not None:
                owner = sandbox.identity(view) or os.geteuid()
                os.chown(folder, owner, owner)
            folder.chmod(0o700)

    async def _ask_to_end(self, reference: Reference, grace: float) -> None:
        """SIGTERM, once to each; those that appear later are told when all others have ended."""
        deadline = time.monotonic() + grace
        told: dict[int, str | None] = {}
        while self._alive(reference) and time.monotonic() < deadline:
            if not any(started == processes.start_time(pid) for pid, started in told.items()):
                members = self._first_to_end(reference) if not told else self._members(reference)
                told = {pid: started for pid in members if (started := processes.start_time(pid))}
                processes.send(told, signal.SIGTERM)
            await asyncio.sleep(STOP_POLL_SECONDS)

    async def _kill(self, reference: Reference) -> None:
        """The whole tree but the shell that notes the end; that too when it does not follow."""
        began = time.monotonic()
        while self._alive(reference):
            victims = {child.pid for child in processes.descendants(reference["pid"])}
            if time.monotonic() - began > KILL_SECONDS:
                victims.add(reference["pid"])
            processes.send(victims, signal.SIGKILL)
            await asyncio.sleep(STOP_POLL_SECONDS)

    async def _end_strays(self, instance: str) -> None:
        """Kill what has left the instance's tree of its own accord, or lost the top of it."""
        deadline = time.monotonic() + KILL_SECONDS
        while time.monotonic() < deadline and (strays := self._strays(instance)):
            processes.send(strays, signal.SIGKILL)
            await asyncio.sleep(STOP_POLL_SECONDS)

    def _strays(self, instance: str) -> set[int]:
        if self._cgroups.version:
            found = self._cgroups.processes(instance)
        else:
            found = processes.marked(f"{MARK}={self._name}/{instance}")
        return {pid for pid in found if processes.start_time(pid)}

    def _members(self, reference: Reference) -> set[int]:
        """The app's own processes: not the shell that notes the end, and not the sandbox's."""
        if not self._alive(reference):
            return set()
        found = {child.pid for child in processes.descendants(reference["pid"])}
        strays = self._cgroups.processes(reference["instance"])
        return (found | strays) - {reference["pid"]} - self._locks(reference)

    def _locks(self, reference: Reference) -> set[int]:
        """bubblewrap and the first process in its namespace, by place: any process may lie about
        its name."""
        if reference.get("level", self.level) != "bubblewrap":
            return set()
        outer = processes.children(reference["pid"])
        inner = [child for lock in outer for child in processes.children(lock.pid)]
        return {lock.pid for lock in (*outer, *inner)}

    def _first_to_end(self, reference: Reference) -> set[int]:
        """All members but shells that wait: the instance ends with its first command, so that a
        shell that obeyed at once would take the grace from the server it started."""
        members = self._members(reference)
        found = processes.descendants(reference["pid"])
        return members - {child.pid for child in found if processes.is_waiting_shell(child)}

    def _alive(self, reference: Reference) -> bool:
        if "pid" not in reference:  # of another engine
            return False
        child = self._children.get(reference["instance"])
        if child is not None:
            child.poll()
        if reference["boot"] != processes.boot_id():
            return False
        started = processes.start_time(reference["pid"])
        return started is not None and started == reference["started"]

    def _stats(self, reference: Reference) -> Stats:
        memory = cpu = 0.0
        members = self._tree(reference)
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
        for member in self._tree(reference):
            try:
                for connection in member.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((connection.laddr.ip, connection.laddr.port))
            except psutil.Error:
                continue
        return sorted(found)

    def _tree(self, reference: Reference) -> list[psutil.Process]:
        return processes.descendants(reference["pid"]) if self._alive(reference) else []

    def _warning(self) -> str:
        if self.level == "bubblewrap":
            return ""
        needed = [self._home / "apps", Path(sys.executable).resolve()]
        as_root = self._sandbox.uid is not None and not reachable(needed)
        if self.level == "landlock":
            return (LANDLOCK_ROOT_WARNING if as_root else "") + LANDLOCK_WARNING
        return ROOT_WARNING if as_root else PLAIN_WARNING

    def _folder(self, spec: InstanceSpec) -> Path:
        return self._image(spec.image) / "app"

    def _image(self, digest: str) -> Path:
        hexadecimal = digest.removeprefix("sha256:")
        if not hexadecimal.isalnum():
            raise Invalid(f"'{digest}' is not the digest of an image.")
        return self._home / "images" / hexadecimal

    def _scratch(self, instance: str) -> Path:
        """What stands for /tmp where a sandbox cannot make a file system of its own."""
        return self._home / "apps" / instance.partition(".")[0] / "tmp" / instance

    def _log(self, instance: str) -> Path:
        return self._home / "apps" / instance.partition(".")[0] / "logs" / f"{instance}.log"

    def _noted(self, folder: Path) -> Reference | None:
        try:
            noted = json.loads((folder / "instance.json").read_text())
        except (OSError, ValueError):
            return None
        return {**noted, "proof": proof(noted)}

    def _exit_code(self, folder: Path) -> int | None:
        try:
            return int((folder / "exit").read_text())
        except (OSError, ValueError):
            return None


def proof(noted: Reference) -> str:
    """What shows that an instance still has its address: the shell that notes how it ended.

    It ends after everything in the instance's foreground and before the instance is started again.
    """
    return f"process:{noted['pid']}:{noted['started']}"


def _python_home(environment: Path, home: Path) -> Path | None:
    """The Python installation that an environment borrows, if it is not part of the system.

    A package built from source may have changed where `bin/python` leads, so only what looks like
    an installation and holds nothing of the platform's is shown to the app.
    """
    prefix = (environment / "bin" / "python").resolve().parent.parent
    if prefix.is_relative_to("/usr") or prefix == Path("/"):
        return None
    inside = home.resolve()
    if inside.is_relative_to(prefix) or prefix.is_relative_to(inside):
        return None
    return prefix if any(prefix.glob("lib/python3*/os.py")) else None


def _status(returned: int) -> int:
    """As a shell counts it: 128 and the number of the signal."""
    return 128 - returned if returned < 0 else returned


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Only one at a time, of this process and of others."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
