"""What an engine is: a handful of coroutines that run instances somewhere.

An engine keeps no desired state. The scheduler says what shall run and remembers it; the engine
starts, stops and tells what there is. Every method may be called again after either side crashed.
"""

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Limits:
    """What one instance may use; None is unlimited. `cpu` counts CPUs (0.5 is half of one)."""

    memory_bytes: int | None = None
    cpu: float | None = None
    processes: int | None = None
    open_files: int | None = None


@dataclass(frozen=True, repr=False)
class InstanceSpec:
    """An instance to run. `environment` holds secrets: it is shown nowhere."""

    instance: str
    app: str
    process_type: str
    image: str
    command: str
    environment: Mapping[str, str]
    port: int | None
    limits: Limits

    def __repr__(self) -> str:
        return f"InstanceSpec({self.instance}, image={self.image}, port={self.port})"


@dataclass(frozen=True)
class Status:
    """`unknown`: the machine was restarted since, so nobody can say how it ended."""

    state: Literal["running", "exited", "unknown"]
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Stats:
    """What an instance uses now, and the CPU seconds it has used so far."""

    memory_bytes: int
    cpu_seconds: float
    processes: int


class Expect(BaseModel):
    """The answer that proves an app healthy; `status` None is anything below 500."""

    model_config = ConfigDict(frozen=True)
    status: int | None = None
    contains: str | None = None
    is_json: bool = Field(False, alias="json")


class Health(BaseModel):
    """The request that proves an app healthy; `path` is a template with {app}."""

    model_config = ConfigDict(frozen=True)
    path: str
    expect: Expect = Expect()


class ImageManifest(BaseModel):
    """What the builder says of an image: how it is started, checked and reached."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: str
    environment: str
    source: str
    process_types: dict[str, str]
    health: Health
    prefix_mode: Literal["keep", "strip"]
    prefix_env: dict[str, str]
    sticky: bool
    python: str


Reference = dict[str, Any]
"""How an engine finds an instance again; plain JSON, kept by the scheduler.

Its member "proof" is what a gateway checks before it uses the instance's address, which may be
somebody else's by then: "process:PID:START" names a process of this machine that lives exactly as
long as the address is the instance's (START as field 22 of /proc/PID/stat, proc(5)). An engine
whose addresses need no proof leaves it out.
"""


LOOPBACK = "127.0.0.1"
ELSEWHERE = "it ran on another engine"
"""Why an instance has ended whose reference is none of this engine's."""


def host_of(reference: Reference | None) -> str:
    """Where the gateway reaches an instance: the reference's member "host", else this machine."""
    return (reference or {}).get("host", LOOPBACK)


def proof_of(reference: Reference | None) -> str:
    """The proof in a reference, empty where there is none."""
    return (reference or {}).get("proof", "")


class Engine(Protocol):
    """Where instances run."""

    name: str
    level: str
    """How far instances are locked in, in one word."""
    warning: str
    """What that level does not contain, in one sentence; empty when there is nothing to warn of."""
    bind: str
    """The address that apps must listen on so that the gateway reaches them."""
    shares_network: bool
    """Do instances share this machine's ports, among themselves and with everything else?"""

    async def image(self, digest: str) -> ImageManifest:
        """The manifest of an image. Raises `NotFound`."""
        ...

    async def start(self, spec: InstanceSpec) -> Reference:
        """Start an instance, or find it running: called twice it starts once.

        An instance that ended is started again and goes on writing to its log.
        """
        ...

    async def stop(self, reference: Reference, grace: float) -> None:
        """SIGTERM to all processes of the instance, SIGKILL after `grace` seconds; then it is gone.

        No error when it was gone already.
        """
        ...

    async def poll(self, reference: Reference) -> Status:
        """How the instance is. Called

        - again and again while it starts, and on a clock while it runs: "running";
        - after it ended by itself, also while no scheduler ran: "exited" with its exit code;
        - after `stop`, or after somebody killed it from outside: "exited";
        - after the machine was restarted: "unknown".
        """
        ...

    async def adopt(self) -> dict[str, Reference]:
        """All instances of this platform that run here, whoever started them."""
        ...

    def logs(self, instance: str, lines: int, follow: bool) -> AsyncIterator[str]:
        """The last `lines` lines of the instance; with `follow` what comes after them, for ever."""
        ...

    async def last_lines(self, instance: str, count: int) -> list[str]: ...

    async def stats(self, reference: Reference) -> Stats: ...

    def execute(self, spec: InstanceSpec, command: list[str]) -> AsyncIterator[str]:
        """Run `command` once as an instance would run; lines of output, then "exit-status: N".

        The command ends when the iterator is closed.
        """
        ...

    async def processes(self, reference: Reference) -> set[int]:
        """Ids of the app's own processes, in the engine's own numbering."""
        ...

    async def listening(self, reference: Reference) -> list[tuple[str, int]]:
        """Addresses and ports that the instance's processes listen on."""
        ...

    async def remove(self, instance: str) -> None:
        """Forget a stopped instance and what it left, its log included."""
        ...

    def changes(self) -> AsyncIterator[str]:
        """Names of instances that something has just happened to, for ever.

        Only a hint that it is worth looking now: it may be late, and news may be lost.
        """
        ...

    async def housekeep(self, known: Collection[str]) -> None:
        """Tidy up, called on a clock; what is left of an ended instance not in `known` may go."""
        ...

    async def discard(self, needed: Collection[str], seconds: float) -> int:
        """Remove images that are not in `needed`, and what only they needed, unless they were made
        or used again within so many seconds; how much was removed."""
        ...

    async def close(self) -> None:
        """Give back what the engine holds; the instances run on."""
        ...

    async def clear(self) -> None:
        """Take away what holds for all instances; called when the last has been stopped."""
        ...
