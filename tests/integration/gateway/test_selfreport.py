"""What the gateway tells of its traffic, with workers as operators run them."""

import json
from typing import Any

World = Any
Helpers = Any


async def test_metrics_are_for_administrators(world: World) -> None:
    world.person("ann", role="admin")
    world.person("bob", role="developer")
    token = world.token("bob", "read")
    assert (await world.get("/-/metrics", f"Authorization: Bearer {token}"))[0] == 403
    assert (await world.get("/-/metrics"))[0] == 401


async def test_the_log_has_a_line_for_each_request(world: World, helpers: Helpers) -> None:
    world.public("a")
    world.route("a", await world.backend(helpers.echo))
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await world.get("/a/x?secret=1", f"traceparent: {parent}")
    await world.get("/b/")
    world.access("closed", "restricted")
    world.route("closed", await world.backend(helpers.echo))
    await world.get("/closed/", f"traceparent: {parent}")
    await world.send(b"GET / HTTP/1.1\r\nA: b\nHost: h\r\n\r\n")
    await world.gateway.gate.ledger.log.flush()
    text = (world.home / "logs" / "access.log").read_text()
    assert "secret" not in text
    good, unknown, closed, bad = (json.loads(line) for line in text.splitlines())
    assert (good["app"], good["path"], good["status"], good["how"]) == ("a", "/a/x", 200, "done")
    assert good["target"] == "a.web.1-0"
    assert good["trace"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert 0 < good["seconds"] < 5
    assert (unknown["path"], unknown["status"], unknown["how"]) == ("/b/", 404, "refused")
    assert (closed["app"], closed["target"], closed["status"]) == ("closed", None, 401)
    assert closed["trace"] == good["trace"]
    assert (bad["client"], bad["status"]) == ("127.0.0.1", 400)
    traffic = world.gateway.gate.ledger.traffic.snapshot()
    assert traffic["bad_requests"] == 1
    assert traffic["own_answers"] == {"404": 1, "401": 1}
    assert traffic["apps"]["a"]["durations"].keys() == {"200"}


async def test_a_trace_is_passed_on_or_begun(world: World, helpers: Helpers) -> None:
    world.public("a")
    world.route("a", await world.backend(helpers.echo))
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    _, _, body = await world.get("/a/", f"Traceparent: {parent}")
    assert f"traceparent: {parent}\r\n".encode() in body
    _, _, first = await world.get("/a/", "Traceparent: junk")
    _, _, second = await world.get("/a/")
    begun = [next(x for x in body.split(b"\r\n") if b"trace" in x) for body in (first, second)]
    assert begun[0] != begun[1]
    assert all(len(line) == len("traceparent: ") + 55 for line in begun)
