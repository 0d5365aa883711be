"""Settings of the router."""

from shared.settings import Settings


class RouterSettings(Settings):
    """The router needs no more than every process, but for one clock."""

    router_compare_seconds: float = 5.0
    """How often the bucket is compared with the table, were no notification ever to arrive."""
