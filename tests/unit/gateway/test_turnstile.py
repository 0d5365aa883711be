"""What is let in, and what has to wait."""

from gateway.table import Route, RouteLimits
from gateway.turnstile import Defaults, Turnstile


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def route(app: str = "a", **limits: float) -> Route:
    own = RouteLimits(**limits)  # type: ignore[arg-type]
    return Route(app, 1, 1, "running", (), (), "keep", False, "", own)


def reason(turnstile: Turnstile, to: Route, client: str = "c", **more: int) -> str | None:
    refusal = turnstile.refusal(
        to, client, more.get("under_way", 0), more.get("length"), html=False
    )
    return refusal and refusal[0]


def test_each_client_has_its_own_rate() -> None:
    clock = Clock()
    turnstile = Turnstile(Defaults(), clock)
    limited = route(rate=2.0, burst=3)
    assert [reason(turnstile, limited) for _ in range(4)] == [None, None, None, "rate"]
    assert reason(turnstile, limited, client="other") is None
    assert reason(turnstile, route("b", rate=2.0, burst=3)) is None
    clock.now += 0.5
    assert [reason(turnstile, limited) for _ in range(2)] == [None, "rate"]
    _, reply = turnstile.refusal(limited, "c", 0, None, html=False) or (None, None)
    assert reply is not None
    assert reply.status == 429
    assert ("Retry-After", "1") in reply.headers


def test_one_household_of_ipv6_is_one_client() -> None:
    turnstile = Turnstile(Defaults(rate=1.0, burst=1), Clock())
    assert reason(turnstile, route(), client="2001:db8::1") is None
    assert reason(turnstile, route(), client="2001:db8::2") == "rate"
    assert reason(turnstile, route(), client="2001:db8:0:1::1") is None


def test_concurrency_and_size() -> None:
    turnstile = Turnstile(Defaults(concurrent=5, body_bytes=100), Clock())
    assert reason(turnstile, route(), under_way=4) is None
    assert reason(turnstile, route(), under_way=5) == "concurrent"
    assert reason(turnstile, route(concurrent=6), under_way=5) is None
    assert reason(turnstile, route(), length=101) == "body"
    assert reason(turnstile, route(body_bytes=200), length=101) is None
    unlimited = Turnstile(Defaults(concurrent=None), Clock())
    assert reason(unlimited, route(), under_way=10**6, length=10**12) is None
