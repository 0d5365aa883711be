"""What an app's traffic may take, and when it is over."""

import asyncio
import dataclasses
import json
from typing import Any

World = Any
Helpers = Any


async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(-1)


def at_once(world: World, **limits: float) -> None:
    """Other limits of the gateway, from now on."""
    gate = world.gateway.gate
    gate.limits = dataclasses.replace(gate.limits, **limits)


async def test_a_client_that_asks_too_often_is_told_when_to_come_back(
    world: World, helpers: Helpers
) -> None:
    world.public("a")
    world.route("a", await world.backend(helpers.echo), limits={"rate": 0.01, "burst": 2})
    answers = [await world.get("/a/") for _ in range(3)]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    _, headers, body = answers[-1]
    assert int(headers["retry-after"]) > 0
    assert headers["content-type"] == "application/problem+json"
    assert "slow down" in json.loads(body)["detail"]
    refusals = world.gateway.gate.ledger.traffic.of("a").refusals
    assert refusals == {"rate": 1}


async def test_a_full_app_answers_503_and_is_not_full_for_ever(
    world: World, helpers: Helpers
) -> None:
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        await release.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    world.public("a")
    world.route("a", await world.backend(slow), limits={"concurrent": 2})
    held = [asyncio.create_task(world.get("/a/")) for _ in range(2)]
    tally = world.gateway.gate.ledger.traffic.of("a")
    await helpers.until(lambda: tally.under_way == 2)
    status, headers, _ = await world.get("/a/")
    assert (status, headers["retry-after"]) == (503, "1")
    release.set()
    assert [(await one)[0] for one in held] == [204, 204]
    assert tally.under_way == 0
    assert (await world.get("/a/"))[0] == 204


async def test_too_large_a_body_is_refused_however_it_comes(world: World) -> None:
    got = 0

    async def count(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal got
        while piece := await reader.read(65536):
            got += len(piece)

    world.public("a")
    world.route("a", await world.backend(count), limits={"body_bytes": 10})
    head = b"POST /a/ HTTP/1.1\r\nHost: h\r\n"
    declared = await world.send(head + b"Content-Length: 11\r\n\r\n" + b"x" * 11)
    assert declared.startswith(b"HTTP/1.1 413 ")
    assert b"at most 10 bytes" in declared
    assert got == 0
    chunked = await world.send(head + b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11)
    assert chunked.startswith(b"HTTP/1.1 413 ")


async def test_an_app_that_does_not_answer_in_time(world: World) -> None:
    world.public("a")
    world.route("a", await world.backend(never), limits={"answer_seconds": 1.0})
    status, _, body = await asyncio.wait_for(world.get("/a/"), 10)
    assert status == 504
    assert b"within 1 s" in body


async def test_an_answer_that_stands_still_is_broken_off(world: World, helpers: Helpers) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reader.read(-1)

    world.public("a")
    world.route("a", await world.backend(half), limits={"idle_seconds": 1.0})
    status, _, body = await asyncio.wait_for(world.get("/a/"), 10)
    assert (status, body) == (200, b"half")


async def test_a_body_that_dawdles_never_reaches_the_app(world: World) -> None:
    heard = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        heard.set()
        await reader.read(-1)

    at_once(world, body_seconds=1.0)
    world.public("a")
    world.route("a", await world.backend(hear))
    head = b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx"
    answer = await asyncio.wait_for(world.send(head), 10)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not heard.is_set()


async def test_a_client_that_reads_nothing_is_cut_off(world: World, helpers: Helpers) -> None:
    stopped = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 10**10)
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        finally:
            stopped.set()

    at_once(world, stalled_seconds=1.0)
    world.public("a")
    world.route("a", await world.backend(endless))
    _, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1024)
    writer.write(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.wait_for(stopped.wait(), 20)
    writer.close()


async def test_losing_access_ends_what_is_open_within_two_seconds(
    world: World, helpers: Helpers
) -> None:
    """A WebSocket is closed with 1008, an event stream ends."""

    async def streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await helpers.read_head(reader)
        if b"Upgrade" in head:
            writer.write(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await reader.read(-1)

    world.keys()
    world.person("ann")
    world.person("bob")
    world.access("a", "signed-in")
    world.route("a", await world.backend(streams))
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    opened = {}
    for user, lines in (("ann", upgrade), ("ann", ""), ("bob", upgrade)):
        reader, writer = await world.connect()
        cookie = f"Cookie: {world.cookie(user)}\r\n"
        writer.write(f"GET /a/ HTTP/1.1\r\nHost: h\r\n{cookie}{lines}\r\n".encode())
        await asyncio.wait_for(helpers.read_head(reader), 5)
        opened[user, bool(lines)] = reader, writer
    world.person("ann", active=False)
    frame = await asyncio.wait_for(opened["ann", True][0].read(4), 5)
    assert (frame[0], int.from_bytes(frame[2:4], "big")) == (0x88, 1008)
    await asyncio.wait_for(opened["ann", False][0].read(-1), 5)
    tally = world.gateway.gate.ledger.traffic.of("a")
    await helpers.until(lambda: tally.streams <= 2)
    writer = opened["bob", True][1]
    writer.write(b"\x81\x80aaaa")
    assert not opened["bob", True][0].at_eof()
    for _, writer in opened.values():
        writer.close()


async def test_what_a_trusted_proxy_says_reaches_the_app(world: World, helpers: Helpers) -> None:
    await world.stop()
    await world.start(trusted_proxies="127.0.0.0/8")
    world.public("a")
    world.route("a", await world.backend(helpers.echo))
    _, _, body = await world.get(
        "/a/",
        "X-Forwarded-For: 6.6.6.6, 1.1.1.1",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: apps.example.org",
        "X-Real-IP: 6.6.6.6",
    )
    for line in (
        b"X-Forwarded-For: 1.1.1.1\r\n",
        b"X-Forwarded-Proto: https\r\n",
        b"X-Forwarded-Host: apps.example.org\r\n",
        b'Forwarded: for=1.1.1.1;proto=https;host="apps.example.org"\r\n',
    ):
        assert line in body
    assert b"6.6.6.6" not in body
