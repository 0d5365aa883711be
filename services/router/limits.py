"""What an app's traffic can be limited to, and what people may ask for. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import Forbidden, Invalid
from shared.names import printable

DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Limit:
    """One limit: the numbers it may have, and what they count."""

    name: str
    least: float
    most: float
    whole: bool
    counts: str

    @property
    def numbers(self) -> str:
        kind = "whole number" if self.whole else "number"
        return f"a {kind} from {_plain(self.least)} to {_plain(self.most)}"

    def allows(self, value: Any) -> bool:
        """Is it a number as JSON has them, within bounds?"""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return self.least <= value <= self.most


LIMITS = {
    limit.name: limit
    for limit in (
        Limit("concurrent", 1, 1_000_000, True, "requests under way at a time"),
        Limit("body_bytes", 1, 2**50, True, "bytes of one request"),
        Limit("answer_seconds", 0.1, DAY_SECONDS, False, "seconds until an answer begins"),
        Limit("idle_seconds", 1, 7 * DAY_SECONDS, False, "seconds without a byte either way"),
        Limit("rate", 0.01, 1_000_000, False, "requests a second of one client"),
        Limit("burst", 1, 1_000_000, True, "requests of one client at once"),
    )
}

Numbers = Mapping[str, float | None]
"""Limit -> number; None: there is none of its own (for an app) or none at all (for a platform)."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants changed; what is not named stays as it is."""

    limits: dict[str, float | None] = field(default_factory=dict[str, float | None])
    isolated: bool | None = None


def read_wish(body: Any) -> Wish:
    """A wish from {"limits": {name: number or null}, "isolated": bool}, each of them optional.

    Raises `Invalid` with one sentence.
    """
    if not isinstance(body, dict):
        raise Invalid("Send a JSON object with 'limits', 'isolated' or both.")
    if unknown := body.keys() - {"limits", "isolated"}:
        raise Invalid(
            f"There is no traffic setting '{_shown(unknown)}'; there are 'limits' and 'isolated'."
        )
    isolated = body.get("isolated")
    if "isolated" in body and not isinstance(isolated, bool):
        raise Invalid("'isolated' must be true or false.")
    return Wish(_read_limits(body.get("limits", {})), isolated)


def check_ceilings(wish: Wish, before: Numbers, ceilings: Numbers) -> None:
    """Raise `Forbidden` if a number that is not there already is above the platform's ceiling."""
    for name, value in wish.limits.items():
        ceiling = ceilings[name]
        if value is None or ceiling is None or value == before[name] or value <= ceiling:
            continue
        raise Forbidden(
            f"On this platform '{name}' can be at most {_plain(ceiling)}; "
            "ask an administrator if the app needs more."
        )


def in_force(own: Numbers, platform: Numbers) -> dict[str, float | None]:
    """What the gateways go by; None is unlimited."""
    found = {name: platform[name] if own[name] is None else own[name] for name in LIMITS}
    if found["rate"] is None:
        found["burst"] = None  # it would limit nothing
    elif found["burst"] is None:
        found["burst"] = max(1, math.floor(found["rate"]))
    return found


def _read_limits(limits: Any) -> dict[str, float | None]:
    if not isinstance(limits, dict):
        raise Invalid("'limits' must be a JSON object, such as {\"concurrent\": 50}.")
    if unknown := limits.keys() - LIMITS.keys():
        raise Invalid(f"There is no limit '{_shown(unknown)}'; there are {', '.join(LIMITS)}.")
    for name, value in limits.items():
        if value is not None and not LIMITS[name].allows(value):
            raise Invalid(
                f"'{name}' must be {LIMITS[name].numbers} ({LIMITS[name].counts}), "
                "or null for what the platform has."
            )
    return {name: _stored(LIMITS[name], value) for name, value in limits.items()}


def _stored(limit: Limit, value: float | None) -> float | None:
    return value if value is None or limit.whole else float(value)


def _shown(names: Any) -> str:
    return printable(min(names))


def _plain(number: float) -> str:
    return f"{number:.0f}" if number == int(number) else f"{number:g}"
