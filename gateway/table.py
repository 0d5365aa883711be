"""What the gateway knows: routes, access rules, people, tokens, keys and services, as pure data.

No network in here. News changes the table one document at a time; silence never does. A document
that cannot be read is refused and the one known before it stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_GONE = 8


@dataclass(frozen=True, slots=True)
class Target:
    """An instance and where it answers: "127.0.0.1:20001" or "unix:/path".

    `proof` is what shows that this address is still the instance's (see `recognition`).
    """

    instance: str
    address: str
    proof: str = ""


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """What one app's traffic may take; None where the gateway's own limit holds.

    `concurrent` requests under way, `body_bytes` of one request, `answer_seconds` until an answer
    begins, `idle_seconds` without a byte in either direction, `rate` requests a second of one
    client with at most `burst` at once.
    """

    concurrent: int | None = None
    body_bytes: int | None = None
    answer_seconds: float | None = None
    idle_seconds: float | None = None
    rate: float | None = None
    burst: int | None = None


NO_LIMITS = RouteLimits()


@dataclass(frozen=True, slots=True)
class Route:
    """Where one app's traffic goes; `retiring` are instances that get no new request.

    An `isolated` app is served on a host of its own only.
    """

    app: str
    revision: int
    release: int
    state: str
    targets: tuple[Target, ...]
    retiring: tuple[str, ...]
    prefix_mode: str
    sticky: bool
    reason: str
    limits: RouteLimits = NO_LIMITS
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    kind: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may open an app."""

    app: str
    mode: str
    owner: str
    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """A person; sessions begun before `sessions_valid_from` (epoch seconds) count no more."""

    user: str
    email: str
    name: str
    role: str
    groups: tuple[str, ...]
    active: bool
    sessions_valid_from: float


@dataclass(frozen=True, slots=True)
class Token:
    """An API token, known by its hash; `expires` in epoch seconds."""

    id: str
    user: str
    scopes: frozenset[str]
    expires: float | None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public Ed25519 key as a JWK; `use` is "session" or "identity"."""

    kid: str
    use: str
    jwk: Mapping[str, Any]
    not_after: float | None


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """One process of a platform service. `gone` when it was last heard to be deleted or expired:
    it is asked last then, since silence on the bus does not prove that a process is dead."""

    service: str
    instance: str
    address: str
    started_at: float
    gone: bool = False


class Table:
    """The last known state of every bucket the gateway reads."""

    def __init__(self) -> None:
        self.routes: dict[bytes, Route] = {}
        """By first path segment."""
        self.access: dict[str, AccessRule] = {}
        self.people: dict[str, Person] = {}
        self.tokens: dict[str, Token] = {}
        self.keys: dict[str, SigningKey] = {}
        self.services: dict[str, dict[str, ServiceProcess]] = {}
        self.ended: dict[str, float] = {}
        """Sign-ins that were ended before their time, by `sid`, and when they end by themselves."""
        self.generation = 0
        """Grows with every change that may let somebody in or keep somebody out."""
        self.version = 0
        """Grows with every change."""

    def set(self, bucket: str, key: str, document: Mapping[str, Any]) -> bool:
        """Take one document, True if it says anything new.

        ValueError, KeyError or TypeError if it is not what it should be.
        """
        self.version += 1
        if bucket == "routes":
            return _put(self.routes, key.encode(), read_route(key, document))
        if bucket == "targets":
            process = _service_process(document)
            return _put(self.services.setdefault(process.service, {}), key, process)
        place, read = self._identity_bucket(bucket)
        changed = _put(place, key, read(document))
        self.generation += changed
        return changed

    def delete(self, bucket: str, key: str) -> None:
        """Take an explicit deletion."""
        self.version += 1
        if bucket == "routes":
            self.routes.pop(key.encode(), None)
        elif bucket == "targets":
            self._mark_gone(key)
        else:
            self._identity_bucket(bucket)[0].pop(key, None)
            self.generation += 1

    def addresses(self, service: str) -> list[ServiceProcess]:
        """Processes of a service, the most promising first."""
        known = self.services.get(service, {})
        return sorted(known.values(), key=lambda process: (process.gone, -process.started_at))

    def _identity_bucket(
        self, bucket: str
    ) -> tuple[dict[str, Any], Callable[[Mapping[str, Any]], Any]]:
        return {
            "access": (self.access, _access_rule),
            "people": (self.people, _person),
            "tokens": (self.tokens, _token),
            "signing-keys": (self.keys, _signing_key),
            "ended-sessions": (self.ended, _ended),
        }[bucket]

    def _mark_gone(self, key: str) -> None:
        known = self.services.get(key.partition(".")[0], {})
        process = known.pop(key, None)
        if process is None:
            return
        known[key] = ServiceProcess(
            process.service, process.instance, process.address, process.started_at, gone=True
        )
        gone = [name for name, other in known.items() if other.gone]
        for name in gone[:-MAX_GONE]:
            del known[name]


def _put(place: dict[Any, Any], key: Any, value: Any) -> bool:
    if place.get(key) == value:
        return False
    place[key] = value
    return True


def read_route(app: str, document: Mapping[str, Any]) -> Route:
    """A route from its document in the bucket."""
    return Route(
        app=app,
        revision=int(document["revision"]),
        release=int(document.get("release") or 0),
        state=str(document["state"]),
        targets=tuple(
            Target(
                str(target["instance"]), _address(target["address"]), str(target.get("proof", ""))
            )
            for target in document.get("targets") or ()
        ),
        retiring=tuple(str(instance) for instance in document.get("retiring") or ()),
        prefix_mode=_one_of(document.get("prefix_mode", "keep"), ("keep", "strip")),
        sticky=bool(document.get("sticky", False)),
        reason=str(document.get("reason") or ""),
        limits=_limits(document.get("limits") or {}),
        isolated=bool(document.get("isolated", False)),
    )


def _limits(document: Mapping[str, Any]) -> RouteLimits:
    if not any(value is not None for value in document.values()):
        return NO_LIMITS

    def number(name: str, kind: Callable[[Any], Any]) -> Any:
        value = document.get(name)
        return None if value is None else kind(value)

    return RouteLimits(
        concurrent=number("concurrent", int),
        body_bytes=number("body_bytes", int),
        answer_seconds=number("answer_seconds", float),
        idle_seconds=number("idle_seconds", float),
        rate=number("rate", float),
        burst=number("burst", int),
    )


def _address(text: Any) -> str:
    address = str(text)
    if address.startswith("unix:/"):
        return address
    host, _, port = address.rpartition(":")
    if not host or not 0 < int(port) < 65536:
        raise ValueError(f"not an address: {address}")
    return address


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return str(value)


def _access_rule(document: Mapping[str, Any]) -> AccessRule:
    return AccessRule(
        app=str(document["app"]),
        mode=_one_of(document["mode"], ("public", "signed-in", "restricted")),
        owner=str(document["owner"]),
        grants=tuple(
            Grant(str(grant["kind"]), str(grant["name"]), str(grant["role"]))
            for grant in document.get("grants") or ()
        ),
    )


def _person(document: Mapping[str, Any]) -> Person:
    return Person(
        user=str(document["user"]),
        email=str(document.get("email") or ""),
        name=str(document.get("name") or ""),
        role=str(document["role"]),
        groups=tuple(str(group) for group in document.get("groups") or ()),
        active=bool(document["active"]),
        sessions_valid_from=float(document.get("sessions_valid_from") or 0),
    )


def _token(document: Mapping[str, Any]) -> Token:
    expires = document.get("expires")
    return Token(
        id=str(document["id"]),
        user=str(document["user"]),
        scopes=frozenset(str(scope) for scope in document["scopes"]),
        expires=None if expires is None else float(expires),
    )


def _signing_key(document: Mapping[str, Any]) -> SigningKey:
    not_after = document.get("not_after")
    return SigningKey(
        kid=str(document["kid"]),
        use=str(document["use"]),
        jwk=dict(document["jwk"]),
        not_after=None if not_after is None else float(not_after),
    )


def _ended(document: Mapping[str, Any]) -> float:
    return float(document["ends"])


def _service_process(document: Mapping[str, Any]) -> ServiceProcess:
    return ServiceProcess(
        service=str(document["service"]),
        instance=str(document["instance"]),
        address=_address(document["address"]),
        started_at=float(document.get("started_at") or 0),
        gone=bool(document.get("gone", False)),
    )
