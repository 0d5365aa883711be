"""Every event of the platform on one screen: what it says, who publishes it, who listens.

Events are facts, named in the past participle, and every one concerns one app. The NATS permissions
of each process and the AsyncAPI document are generated from `CATALOGUE`, so a service that is not
named here can neither publish nor read an event.

Values of config vars and secrets never travel in an event.
"""

from typing import ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict


class EventData(BaseModel):
    """What every event carries: the app it concerns."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    TYPE: ClassVar[str]

    app: str


class AppCreated(EventData):
    """Somebody created an app; it has no release yet."""

    TYPE = "app.created"
    owner: str
    title: str = ""


class AppDeleted(EventData):
    """An app was deleted, with all that belongs to it."""

    TYPE = "app.deleted"


class AppPushed(EventData):
    """Source was pushed to the deploy branch; the object store has it as `sources/<source>.tar`.

    `source` is the SHA-256 of the archive in hexadecimal, `size` its length in bytes.
    """

    TYPE = "app.pushed"
    deploy_id: str
    source: str
    size: int
    commit: str
    branch: str
    author: str
    message: str
    pusher: str


class PushCancelled(EventData):
    """A push that is being deployed is to be given up, if it is not live yet."""

    TYPE = "push.cancelled"
    deploy_id: str
    reason: Literal["superseded", "disconnected"]


class BuildStarted(EventData):
    TYPE = "build.started"
    deploy_id: str
    build_id: str


class BuildSucceeded(EventData):
    """An image is ready to run; `process_types` maps each process type to its command line."""

    TYPE = "build.succeeded"
    deploy_id: str
    build_id: str
    image: str
    kind: str
    process_types: dict[str, str]
    commit: str
    author: str
    message: str
    pusher: str


class BuildFailed(EventData):
    TYPE = "build.failed"
    deploy_id: str
    build_id: str
    reason: str


class ReleaseCreated(EventData):
    """A build met a config version; `release` counts from 1 for each app."""

    TYPE = "release.created"
    deploy_id: str | None = None
    release: int
    image: str
    config_version: int
    reason: str
    actor: str


class Target(BaseModel):
    """Where an instance answers: `address` is "127.0.0.1:20001" or "unix:/path".

    `proof` lets a gateway on the same machine see whether the address still is the instance's:
    "process:PID:START", a process and when it started (field 22 of /proc/PID/stat, proc(5)).
    """

    model_config = ConfigDict(frozen=True)
    instance: str
    address: str
    proof: str = ""


RouteState = Literal["empty", "starting", "running", "stopped", "crashed"]


class TargetsChanged(EventData):
    """Where an app's traffic has to go from now on: the whole truth each time, not a difference.

    `revision` grows with every change of one app and fences: an older one is never applied.
    `retiring` lists instances that get no new traffic and wait for the gateways to drain them.
    """

    TYPE = "targets.changed"
    revision: int
    release: int
    state: RouteState
    targets: tuple[Target, ...]
    retiring: tuple[str, ...] = ()
    prefix_mode: Literal["keep", "strip"] = "keep"
    sticky: bool = False
    reason: str = ""


class RouteChanged(EventData):
    """An app's route is another: a new revision of the scheduler's, or what people chose for it.

    `traffic` names what `actor` changed (a limit, or "isolated"); the revision stays as it was.
    """

    TYPE = "route.changed"
    revision: int
    traffic: tuple[str, ...] = ()
    actor: str = ""


class RouteApplied(EventData):
    """A gateway sends traffic as this revision says."""

    TYPE = "route.applied"
    revision: int
    gateway: str


class InstanceDrained(EventData):
    """A gateway has nothing left under way to an instance and will send nothing more."""

    TYPE = "instance.drained"
    instance: str
    revision: int
    gateway: str


class InstanceStarted(EventData):
    TYPE = "instance.started"
    instance: str
    release: int
    process_type: str
    reason: str = ""


class InstanceStopped(InstanceStarted):
    TYPE = "instance.stopped"


class InstanceCrashed(InstanceStarted):
    TYPE = "instance.crashed"


class DeploySucceeded(EventData):
    """The release answers under `path`."""

    TYPE = "deploy.succeeded"
    deploy_id: str
    release: int
    path: str


class DeployFailed(EventData):
    TYPE = "deploy.failed"
    deploy_id: str
    release: int | None = None
    reason: str


class ConfigChanged(EventData):
    """Config vars or secrets changed; `names` says which, never to what."""

    TYPE = "config.changed"
    version: int
    names: tuple[str, ...]
    actor: str


class AppScaled(EventData):
    TYPE = "app.scaled"
    formation: dict[str, int]
    actor: str


class Grant(BaseModel):
    model_config = ConfigDict(frozen=True)
    kind: Literal["user", "group"]
    name: str
    role: Literal["viewer", "collaborator", "owner"]


class AccessChanged(EventData):
    """Who may open and change an app: the whole rule each time."""

    TYPE = "access.changed"
    mode: Literal["public", "signed-in", "restricted"]
    owner: str
    grants: tuple[Grant, ...] = ()


class Entry(NamedTuple):
    """One event of the catalogue."""

    model: type[EventData]
    publisher: str
    listeners: tuple[str, ...]


CATALOGUE: tuple[Entry, ...] = (
    Entry(AppCreated, "portal", ("auth", "router", "secrets", "git_ingest", "scheduler", "portal")),
    Entry(
        AppDeleted,
        "portal",
        ("auth", "router", "secrets", "git_ingest", "scheduler", "builder", "portal"),
    ),
    Entry(AppPushed, "git_ingest", ("builder", "portal")),
    Entry(PushCancelled, "git_ingest", ("builder", "scheduler")),
    Entry(BuildStarted, "builder", ("portal",)),
    Entry(BuildSucceeded, "builder", ("scheduler", "portal")),
    Entry(BuildFailed, "builder", ("git_ingest", "portal")),
    Entry(ReleaseCreated, "scheduler", ("portal",)),
    Entry(TargetsChanged, "scheduler", ("router",)),
    Entry(RouteChanged, "router", ("portal",)),
    Entry(RouteApplied, "gateway", ("scheduler",)),
    Entry(InstanceDrained, "gateway", ("scheduler",)),
    Entry(InstanceStarted, "scheduler", ("portal",)),
    Entry(InstanceStopped, "scheduler", ("portal",)),
    Entry(InstanceCrashed, "scheduler", ("portal",)),
    Entry(DeploySucceeded, "scheduler", ("git_ingest", "portal")),
    Entry(DeployFailed, "scheduler", ("git_ingest", "portal")),
    Entry(ConfigChanged, "secrets", ("scheduler", "portal")),
    Entry(AppScaled, "scheduler", ("portal",)),
    Entry(AccessChanged, "auth", ("git_ingest", "portal")),
)


class Call(NamedTuple):
    """A request that a person waits for: the only way one service asks another."""

    name: str
    answered_by: str
    asked_by: tuple[str, ...]


CALLS: tuple[Call, ...] = (
    Call("portal.create-app", "portal", ("git_ingest",)),
    Call("secrets.issue", "secrets", ("scheduler",)),
)


class Bucket(NamedTuple):
    """A key-value bucket: a copy, made by its writer, of what lies in the writer's database."""

    name: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]


ALL_SERVICES = (
    "auth",
    "builder",
    "git_ingest",
    "portal",
    "router",
    "scheduler",
    "secrets",
)

PROCESSES = (*ALL_SERVICES, "gateway")

BUCKETS: tuple[Bucket, ...] = (
    Bucket("routes", ("router",), ("gateway", "portal")),
    Bucket("access", ("auth",), ("gateway",)),
    Bucket("people", ("auth",), ("gateway",)),
    Bucket("tokens", ("auth",), ("gateway",)),
    Bucket("ended-sessions", ("auth",), ("gateway",)),
    Bucket("signing-keys", ("auth",), PROCESSES),
    Bucket("gateway-keys", ("auth",), ("gateway",)),
    Bucket("targets", PROCESSES, PROCESSES),
)

OBJECT_STORE = "objects"
OBJECT_WRITERS = ("git_ingest",)
OBJECT_READERS = ("git_ingest", "builder")

PROGRESS_WRITERS = ("builder", "scheduler")
PROGRESS_READERS = ("git_ingest",)


def published_by(process: str) -> tuple[Entry, ...]:
    """The events that only `process` may publish."""
    return tuple(entry for entry in CATALOGUE if entry.publisher == process)


def heard_by(process: str) -> tuple[Entry, ...]:
    """The events that `process` listens to."""
    return tuple(entry for entry in CATALOGUE if process in entry.listeners)
