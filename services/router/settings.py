"""Settings of the router."""

from shared.settings import Settings


class RouterSettings(Settings):
    """One clock, and what the platform allows every app."""

    router_compare_seconds: float = 5.0
    """How often the bucket is compared with the table, were no notification ever to arrive."""

    app_concurrent: int = 5000
    """The limits of an app that has none of its own; the gateways read the same variables and go by
    them, the router only shows them. 0 is unlimited, here and below."""
    app_body_bytes: int = 0
    app_answer_seconds: float = 900.0
    app_idle_seconds: float = 3600.0
    app_rate: float = 0.0
    app_burst: int = 0

    max_app_concurrent: int = 0
    """The most that owners may set for their apps; administrators may set more."""
    max_app_body_bytes: int = 0
    max_app_answer_seconds: float = 0.0
    max_app_idle_seconds: float = 0.0
    max_app_rate: float = 0.0
    max_app_burst: int = 0
