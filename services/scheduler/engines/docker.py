"""The Docker engine: each instance is a container, locked in as tightly as the engine can.

The engine remembers everything: labels say which instance a container is, so a scheduler that was
lost finds all of them again. The app's environment is not among it. It goes to the first shell in
the container through standard input, so that no file of the engine and no `docker inspect` holds a
secret.
"""

import asyncio
import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiodocker import Docker, DockerError
from pydantic import ValidationError

from services.scheduler.engines import containerlogs, processes
from services.scheduler.engines.containerlogs import Lines
from services.scheduler.engines.protocol import (
    ELSEWHERE,
    ImageManifest,
    InstanceSpec,
    Reference,
    Stats,
    Status,
)
from services.scheduler.engines.users import uid_of
from shared.docker.archives import inputs
from shared.docker.client import NOT_REACHED, connect, in_our_words
from shared.docker.containment import locked_in
from shared.docker.guard import Guard
from shared.docker.handover import given, receiving
from shared.docker.names import Names
from shared.docker.networks import Networks
from shared.docker.settings import DockerSettings
from shared.errors import Conflict, MoorageError, NotFound, Unavailable

INSTANCE, APP, SPEC = "moorage.instance", "moorage.app", "moorage.spec"
MANIFEST = "moorage.manifest"
"""Label of an image: how it is started, checked and reached, as JSON."""
# Not to a shell that waits for something: it would leave what it waits for without a parent, and
# the container would end with it.
ASK_TO_END = r"""
waiting=" "
for place in /proc/[0-9]*; do
    read -r line < "$place/stat" || continue
    set -- ${line##*) }
    waiting="$waiting$2 "
done 2> /dev/null
for place in /proc/[0-9]*; do
    pid=${place#/proc/}
    [ "$pid" = 1 ] || [ "$pid" = $$ ] || read -r name < "$place/comm" || continue
    case "$pid $name" in 1\ *|$$\ *) continue;; esac
    case "$name" in
        sh|dash|bash|ash) case "$waiting" in *" $pid "*) continue;; esac;;
    esac
    kill -TERM "$pid"
done 2> /dev/null
"""
SCRIPTS = "/env/bin:/usr/local/bin:/usr/bin:/bin"
START_TRIES = 3
EVENTS_AGAIN_SECONDS = 1.0


class DockerEngine:
    """Runs instances as containers of one Docker engine."""

    name = "docker"
    level = "container"
    warning = ""
    bind = "0.0.0.0"
    shares_network = False

    def __init__(self, home: Path, settings: DockerSettings) -> None:
        self._settings = settings
        self._home = home.resolve()
        self._names = Names.of(self._home)
        self._manifests: dict[str, ImageManifest] = {}
        self._client: Docker | None = None
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def _docker(self) -> Docker:
        """Made at its first use, for it wants a running loop."""
        if self._client is None:
            self._client = connect(self._settings.docker_url)
            self._networks = Networks(self._client, self._names, self._settings.docker_networks)
            self._guard = Guard(self._client, self._names, self._settings)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def clear(self) -> None:
        docker = self._docker
        with suppress(NotFound), in_our_words():
            await docker.images.inspect(self._settings.docker_app_image)
            await self._guard.lift()

    async def image(self, digest: str) -> ImageManifest:
        if digest not in self._manifests:
            try:
                with in_our_words("The image"):
                    found = await self._docker.images.inspect(digest)
                labels = found["Config"].get("Labels") or {}
                manifest = ImageManifest.model_validate_json(labels.get(MANIFEST, ""))
            except (NotFound, ValidationError) as error:
                raise NotFound(f"The image {digest} is not there any more; push again.") from error
            self._manifests[digest] = manifest
        return self._manifests[digest]

    async def start(self, spec: InstanceSpec) -> Reference:
        async with self._turns[spec.instance]:
            return await self._start(spec)

    async def _start(self, spec: InstanceSpec) -> Reference:
        settings = given(self._environment(spec))
        await self.image(spec.image)
        await self._guard.ensure()
        with in_our_words(f"The image {spec.image}"):
            for _ in range(START_TRIES):
                found = await self._find(spec.instance)
                if found and found["State"]["Running"]:
                    return _reference(spec.instance, found)
                config = await self._config(spec, ["/bin/sh", "-c", spec.command])
                if found and found["Config"]["Labels"].get(SPEC) != config["Labels"][SPEC]:
                    await self._docker.containers.container(found["Id"]).delete(force=True)
                    found = None
                with suppress(Conflict, NotFound):
                    return await self._begin(spec, config, found, settings)
        raise Unavailable(f"The instance {spec.instance} could not be started; try again.")

    async def stop(self, reference: Reference, grace: float) -> None:
        with suppress(NotFound, Conflict), in_our_words():
            if not await self._running(reference):
                return
            container = self._docker.containers.container(reference["container"])
            if grace:
                with suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        await self._ask_to_end(container)
                        await container.wait()
                        return
            await container.kill()
            await container.wait()

    async def poll(self, reference: Reference) -> Status:
        if "container" not in reference:
            return Status("exited", None, ELSEWHERE)
        shown = await self._of(reference)
        if shown is None:
            return Status("exited", None, "it was removed from outside")
        if shown["State"]["Running"]:
            return Status("running")
        if reference["boot"] != processes.boot_id():
            return Status("unknown", None, "the machine was restarted")
        return _ended(shown["State"])

    async def adopt(self) -> dict[str, Reference]:
        with in_our_words():
            found = await self._docker.containers.list(filters=self._names.filters(INSTANCE))
            running = [await self._shown(one) for one in found]
        return {
            one["Config"]["Labels"][INSTANCE]: _reference(one["Config"]["Labels"][INSTANCE], one)
            for one in running
            if one
        }

    async def logs(self, instance: str, lines: int, follow: bool) -> AsyncIterator[str]:
        container = self._docker.containers.container(self._names.container(instance))
        if not follow:
            for line in await containerlogs.last(container, lines):
                yield line
            return
        async for line in containerlogs.follow(container, lines):
            yield line

    async def last_lines(self, instance: str, count: int) -> list[str]:
        container = self._docker.containers.container(self._names.container(instance))
        return await containerlogs.last(container, count)

    async def stats(self, reference: Reference) -> Stats:
        if not await self._running(reference):
            return Stats(0, 0.0, 0)
        container = self._docker.containers.container(reference["container"])
        try:
            with in_our_words():
                told = await container.stats(stream=False)
        except NotFound:
            told = []
        if not told:  # it ended meanwhile
            return Stats(0, 0.0, 0)
        found = told[0]
        memory = found.get("memory_stats") or {}
        counted = memory.get("stats") or {}
        cache = counted.get("total_inactive_file", counted.get("inactive_file", 0))
        return Stats(
            memory_bytes=max(memory.get("usage", 0) - cache, 0),
            cpu_seconds=found["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
            processes=(found.get("pids_stats") or {}).get("current", 0),
        )

    async def execute(self, spec: InstanceSpec, command: list[str]) -> AsyncIterator[str]:
        settings = given(self._environment(spec))
        await self.image(spec.image)
        await self._guard.ensure()
        with in_our_words(f"The image {spec.image}"):
            config = await self._config(spec, command)
            name = self._names.container(spec.instance)
            container = await self._docker.containers.create(config, name=name)
            try:
                lines = Lines()
                stream = container.attach(stdin=True, stdout=True, stderr=True)
                async with stream:
                    await container.start()
                    await stream.write_in(settings)
                    while message := await stream.read_out():
                        for line in lines.feed(message.data.decode(errors="replace")):
                            yield line
                for line in lines.end():
                    yield line
                yield f"exit-status: {(await container.wait())['StatusCode']}"
            finally:
                with suppress(DockerError):
                    await asyncio.shield(container.delete(force=True, v=True))

    async def processes(self, reference: Reference) -> set[int]:
        container = self._docker.containers.container(reference["container"])
        try:
            with in_our_words():
                found = await container.top()
        except MoorageError:
            return set()
        rows = found["Processes"] or []  # none at all at the moment of its end
        column = found["Titles"].index("PID")
        return {int(row[column]) for row in rows}

    async def listening(self, reference: Reference) -> list[tuple[str, int]]:
        container = self._docker.containers.container(reference["container"])
        try:
            with in_our_words():
                asked = await container.exec(["cat", "/proc/net/tcp", "/proc/net/tcp6"])
                async with asked.start(detach=False) as stream:
                    text = b""
                    while message := await stream.read_out():
                        text += message.data
        except MoorageError:
            return []
        return sockets_in(text.decode(errors="replace"))

    async def remove(self, instance: str) -> None:
        container = self._docker.containers.container(self._names.container(instance))
        self._turns.pop(instance, None)
        with suppress(NotFound), in_our_words():
            await container.delete(force=True, v=True)

    async def changes(self) -> AsyncIterator[str]:
        filters = {**self._names.filters(INSTANCE), "event": ["start", "oom", "die"]}
        while True:
            events = self._docker.events
            heard = events.subscribe(filters=json.dumps(filters))
            while (event := await heard.get()) is not None:
                yield event["Actor"]["Attributes"][INSTANCE]
            self._guard.doubt()
            with suppress(MoorageError), in_our_words():
                await events.stop()
            await asyncio.sleep(EVENTS_AGAIN_SECONDS)

    async def housekeep(self, known: Collection[str]) -> None:
        with suppress(MoorageError), in_our_words():
            docker = self._docker
            await self._guard.ensure()
            used: set[str] = set()
            for one in await docker.containers.list(all=True, filters=self._names.filters()):
                instance = one["Labels"].get(INSTANCE)
                if instance and one["State"] == "exited" and instance not in known:
                    await one.delete(v=True)
                else:
                    used |= set(one["NetworkSettings"]["Networks"])
            for network in await self._networks.labelled(APP):
                if network not in used:
                    await self._networks.remove(network)

    async def discard(self, needed: Collection[str], seconds: float) -> int:
        """The engine keeps what a container uses, whatever is asked."""
        removed, used = 0, set[str]()
        with in_our_words():
            found = await self._docker.images.list(filters=self._names.filters())
            for image in found:
                manifest = image["Labels"].get(MANIFEST)
                if manifest is None:
                    continue
                if image["Id"] in needed or not await self._remove_image(image, seconds):
                    used.add(json.loads(manifest)["environment"])
                else:
                    removed += 1
            for image in found:
                tags = image["RepoTags"] or ()
                mine = [tag for tag in tags if tag.startswith(f"{self._names.environments}:")]
                if mine and not any(tag.rpartition(":")[2] in used for tag in mine):
                    removed += await self._remove_image(image, seconds)
        return removed

    async def _remove_image(self, image: dict[str, Any], seconds: float) -> bool:
        """Remove an image that nobody has tagged lately; False if it stays."""
        try:
            shown = await self._docker.images.inspect(image["Id"])
            if age_of(shown["Metadata"]["LastTagTime"]) < seconds:
                return False
            for tag in image["RepoTags"] or (image["Id"],):
                await self._docker.images.delete(tag)
        except DockerError as error:
            if error.status not in (404, 409):
                raise
            return error.status == 404
        return True

    async def _of(self, reference: Reference) -> dict[str, Any] | None:
        """What there is of the very run that a reference means."""
        if "container" not in reference:
            return None
        with in_our_words():
            shown = await self._shown(self._docker.containers.container(reference["container"]))
        same = shown is not None and shown["State"]["StartedAt"] == reference["started"]
        return shown if same else None

    async def _running(self, reference: Reference) -> bool:
        shown = await self._of(reference)
        return shown is not None and shown["State"]["Running"]

    async def _ask_to_end(self, container: Any) -> None:
        """SIGTERM to all processes; to the first alone where no other can be begun any more."""
        try:
            asked = await container.exec(["/bin/sh", "-c", ASK_TO_END])
            async with asked.start(detach=False) as stream:
                while await stream.read_out():
                    pass
            told = (await asked.inspect())["ExitCode"] == 0
        except DockerError as error:
            if error.status == NOT_REACHED:
                raise
            told = False  # it has as many processes as it may
        if not told:
            await container.kill(signal="SIGTERM")

    async def _find(self, instance: str) -> dict[str, Any] | None:
        return await self._shown(self._docker.containers.container(self._names.container(instance)))

    async def _shown(self, container: Any) -> dict[str, Any] | None:
        try:
            return await container.show()
        except DockerError as error:
            if error.status == 404:
                return None
            raise

    async def _begin(
        self, spec: InstanceSpec, config: dict[str, Any], found: Any, settings: bytes
    ) -> Reference:
        name = self._names.container(spec.instance)
        with in_our_words():
            if found:
                container = self._docker.containers.container(found["Id"])
            else:
                if self._settings.docker_data == "volume":
                    await self._make_volume(spec)
                container = await self._docker.containers.create(config, name=name)
            try:
                async with container.attach(stdin=True) as stream:
                    await container.start()
                    await stream.write_in(settings)
            except DockerError as error:
                if error.status == 404:  # its network was tidied away meanwhile
                    self._networks.forget(spec.app)
                    await container.delete(force=True)
                raise
            return _reference(spec.instance, await container.show())

    async def _config(self, spec: InstanceSpec, command: list[str]) -> dict[str, Any]:
        limits = spec.limits
        uid = uid_of(spec.app)
        config: dict[str, Any] = {
            "Image": spec.image,
            "Hostname": spec.app,
            "User": f"{uid}:{uid}",
            "WorkingDir": "/app",
            **receiving(command),
            "HostConfig": locked_in(
                network=await self._networks.ensure(spec.app, {APP: spec.app}),
                memory_bytes=limits.memory_bytes,
                cpu=limits.cpu,
                processes=limits.processes,
                open_files=limits.open_files,
                mounts=[self._data(spec.app, uid)],
            ),
        }  # fmt: skip
        text = json.dumps(config, sort_keys=True).encode()
        config["Labels"] = {
            **self._names.labels,
            INSTANCE: spec.instance,
            APP: spec.app,
            SPEC: hashlib.sha256(text).hexdigest(),
        }
        return config

    def _data(self, app: str, uid: int) -> dict[str, Any]:
        """The app's own files, which outlive its instances."""
        if self._settings.docker_data == "volume":
            name = self._names.container(f"{app}-data")
            return {
                "Type": "volume", "Source": name, "Target": "/data",
                "VolumeOptions": {"NoCopy": True, "Labels": {**self._names.labels, APP: app}},
            }  # fmt: skip
        folder = self._home / "apps" / app / "data"
        own(folder, uid)
        return {"Type": "bind", "Source": str(folder), "Target": "/data"}

    async def _make_volume(self, spec: InstanceSpec) -> None:
        """See that the app's volume is there and its user's; a fresh one is root's."""
        uid = uid_of(spec.app)
        mount = self._data(spec.app, uid)
        try:
            await self._docker.volumes.get(mount["Source"])
            return
        except DockerError as error:
            if error.status != 404:
                raise
        # Of a container whose root is read-only nothing may be changed from outside.
        config = {"Image": spec.image, "HostConfig": {"Mounts": [mount], "NetworkMode": "none"}}
        container = await self._docker.containers.create(config)
        try:
            with inputs(["/data"], {}, uid) as archive:
                await container.put_archive("/", archive)
        finally:
            await container.delete()

    def _environment(self, spec: InstanceSpec) -> dict[str, str]:
        ours = {
            "PATH": SCRIPTS,
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "MOORAGE_DATA": "/data",
            "VIRTUAL_ENV": "/env",
        }
        return {**ours, **spec.environment}


def age_of(stamp: str) -> float:
    """Seconds since a time of RFC 3339 with any number of decimals."""
    whole = stamp.partition(".")[0].rstrip("Z")[:19]
    return time.time() - datetime.fromisoformat(f"{whole}+00:00").timestamp()


def own(folder: Path, uid: int) -> None:
    """Make a folder that belongs to an app alone."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(folder, uid, uid)
    folder.chmod(0o700)


def sockets_in(text: str) -> list[tuple[str, int]]:
    """Addresses and ports of the listening sockets in the text of /proc/net/tcp and tcp6 (proc(5)).

    State 0A is TCP_LISTEN; addresses are hexadecimal, in groups of four bytes, each turned round.
    """
    found: set[tuple[str, int]] = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == "0A":
            address, _, port = fields[1].partition(":")
            found.add((_address(address), int(port, 16)))
    # Docker's own name server listens in every container.
    return sorted(one for one in found if one[0] != "127.0.0.11")


def _address(text: str) -> str:
    raw = b"".join(bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8))
    return str(ip_address(raw))


def _reference(instance: str, shown: dict[str, Any]) -> Reference:
    (network,) = shown["NetworkSettings"]["Networks"].values()
    reference = {
        "instance": instance,
        "container": shown["Id"],
        "started": shown["State"]["StartedAt"],
        "host": network["IPAddress"],
        "boot": processes.boot_id(),
    }
    if proof := _proof(shown["Id"], shown["State"]["Pid"]):
        reference["proof"] = proof
    return reference


def _proof(container: str, pid: int) -> str:
    """The container's first process, where the engine runs on this very machine.

    Elsewhere its address is proof enough: the subnet is the app's, see `shared.docker.networks`.
    """
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""
    started = processes.start_time(pid)
    return f"process:{pid}:{started}" if started and container in groups else ""


def _ended(state: dict[str, Any]) -> Status:
    code = state["ExitCode"]
    if state["OOMKilled"]:
        return Status("exited", code, "it ran out of memory and was killed")
    if state["Error"]:
        return Status("exited", code, f"it could not be started: {state['Error'][:200]}")
    if code > 128:
        return Status("exited", code, f"it was ended by signal {code - 128}")
    return Status("exited", code, f"it ended with exit status {code}")
