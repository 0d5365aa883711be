"""Which instance gets a request, and which does not."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from deploy.embedded.children import start_time
from gateway.pools import FAILURES_TO_EJECT

World = Any
Helpers = Any


def target(app: str, number: int, address: str, proof: str = "") -> dict[str, str]:
    return {"instance": f"{app}.{number}", "address": address, "proof": proof}


def named(name: bytes) -> Any:
    """A backend that answers with its name."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % len(name) + name)

    return answer


async def test_an_address_that_belongs_to_another_by_now_is_not_used(world: World) -> None:
    """The instance's process is gone; something else answers at its address."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    proof = f"process:{child.pid}:{start_time(child.pid)}"
    address = await world.backend(named(b"somebody"))
    world.public("a")
    world.route("a", targets=[target("a", 1, address, proof)])
    assert (await world.get("/a/"))[2] == b"somebody"
    child.communicate(b"\n")
    world.gateway.gate.pools.sweep(float("inf"))
    status, headers, body = await world.get("/a/")
    assert status == 503
    assert headers["retry-after"]
    assert b"somebody" not in body
    other = target("a", 2, await world.backend(named(b"itself")))
    world.route("a", revision=2, targets=[target("a", 1, address, proof), other])
    for _ in range(4):
        assert (await world.get("/a/"))[2] == b"itself"


async def test_a_failing_instance_is_passed_over_and_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.pools.EJECTION_SECONDS", 0.3)
    broken = True
    asked = 0

    async def flaky(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        if not broken:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nflaky")

    world.public("a")
    good, bad = await world.backend(named(b"good")), await world.backend(flaky)
    world.route("a", good, bad)
    statuses = [(await world.get("/a/"))[0] for _ in range(12)]
    assert statuses.count(502) == FAILURES_TO_EJECT
    assert asked == FAILURES_TO_EJECT
    broken = False

    async def back() -> None:
        while (await world.get("/a/"))[2] != b"flaky":
            pass

    await asyncio.wait_for(back(), 10)
    assert {(await world.get("/a/"))[2] for _ in range(6)} == {b"good", b"flaky"}


async def test_the_only_instance_is_tried_however_often_it_failed(world: World) -> None:
    asked = 0

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1

    world.public("a")
    world.route("a", await world.backend(broken))
    assert [(await world.get("/a/"))[0] for _ in range(6)] == [502] * 6
    assert asked == 6


async def test_a_browser_stays_with_its_instance_while_that_is_there(world: World) -> None:
    world.public("a")
    backends = [await world.backend(named(b"%d" % number)) for number in range(3)]
    world.route("a", *backends, sticky=True)
    _, headers, first = await world.get("/a/")
    cookie = "Cookie: " + headers["set-cookie"].partition(";")[0]
    assert "; Path=/a/; HttpOnly" in headers["set-cookie"]
    for _ in range(6):
        _, headers, body = await world.get("/a/", cookie)
        assert body == first
        assert "set-cookie" not in headers
    left = [one for number, one in enumerate(backends) if b"%d" % number != first]
    world.route("a", *left, sticky=True, revision=2)
    _, headers, body = await world.get("/a/", cookie)
    assert body != first
    assert "moorage_instance=" in headers["set-cookie"]
