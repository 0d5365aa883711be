"""Whether each app runs: a copy in memory of what the router says in the bucket `routes`."""

from typing import Any

from shared.bus import Bucket


class States:
    """`watch` is a duty; an app that the router has not spoken of is "empty"."""

    def __init__(self, routes: Bucket) -> None:
        self._routes = routes
        self._known: dict[str, dict[str, str]] = {}

    async def watch(self) -> None:
        await self._routes.watch(self.change, lambda: None)

    def change(self, app: str, route: dict[str, Any] | None) -> None:
        """Take in one route; None: the app is gone."""
        if route is None:
            self._known.pop(app, None)
        else:
            self._known[app] = {"state": route["state"], "reason": route.get("reason", "")}

    def of(self, app: str) -> dict[str, str]:
        """{state: empty|starting|running|stopped|crashed, reason}."""
        return self._known.get(app, {"state": "empty", "reason": ""})
