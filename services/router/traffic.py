"""Traffic settings of an app as people read and change them."""

from dataclasses import dataclass
from typing import Any

from services.router import store
from services.router.limits import LIMITS, Numbers, Wish, check_ceilings, in_force
from services.router.settings import RouterSettings
from shared.database import Database, outbox
from shared.errors import Forbidden, NotFound
from shared.events import new_event
from shared.events.catalogue import RouteChanged
from shared.identity import Caller


@dataclass(frozen=True)
class Platform:
    """What holds for apps without limits of their own, and what only administrators may exceed."""

    defaults: Numbers
    ceilings: Numbers


def platform_of(settings: RouterSettings) -> Platform:
    """As the settings say, where 0 is no limit."""
    return Platform(
        defaults={name: getattr(settings, f"app_{name}") or None for name in LIMITS},
        ceilings={name: getattr(settings, f"max_app_{name}") or None for name in LIMITS},
    )


class Traffic:
    """Every method answers with all settings of the app and raises `NotFound` where there is none.

    {app, limits: {name: {value, default, ceiling}}, isolated: {value, default}}: `value` is what
    holds, None without a limit; `default` says that the app has nothing of its own there; no owner
    may set more than `ceiling`.
    """

    def __init__(self, database: Database, platform: Platform) -> None:
        self._database = database
        self._platform = platform

    async def read(self, app: str) -> dict[str, Any]:
        return self._described(app, _existing(app, await store.traffic(self._database, app)))

    async def change(self, app: str, wish: Wish, who: Caller) -> dict[str, Any]:
        """Change what `wish` names. Raises `Forbidden` for more than `who` may ask for."""
        async with self._database.transaction() as tx:
            before = _existing(app, await store.lock_traffic(tx, app))
            if not who.is_admin:
                check_ceilings(wish, before, self._platform.ceilings)
                if wish.isolated is False and before["isolated"]:
                    raise Forbidden(f"Only an administrator may undo the isolation of '{app}'.")
            after = dict(before) | wish.limits
            if wish.isolated is not None:
                after["isolated"] = wish.isolated
            changed = tuple(name for name in after if after[name] != before[name])
            if changed:
                await store.set_traffic(tx, app, after, who.user)
                event = RouteChanged(
                    app=app, revision=before["revision"], traffic=changed, actor=who.user
                )
                await outbox.record(tx, new_event("router", event))
        return self._described(app, after)

    def _described(self, app: str, row: Any) -> dict[str, Any]:
        held = in_force(row, self._platform.defaults)
        return {
            "app": app,
            "limits": {
                name: {
                    "value": held[name],
                    "default": row[name] is None,
                    "ceiling": self._platform.ceilings[name],
                }
                for name in LIMITS
            },
            "isolated": {"value": row["isolated"], "default": not row["isolated"]},
        }


def _existing(app: str, row: Any | None) -> Any:
    if row is None:
        raise NotFound(f"There is no app called '{app}'; check the name.")
    return row
