"""The corpus through the gateway to five servers: nobody counts other requests than we do.

Each text goes over a connection of its own, with a canary behind it, and the client ends its side.
What the gateway has passed on stands in its access log; what the app was asked, it writes down.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from gateway.accesslog import LONGEST_PATH
from tests.integration.gateway.conformance.conversation import Garbled, read_answers
from tests.integration.gateway.conftest import World
from tests.integration.gateway.malformed.corpus import corpus
from tests.integration.gateway.malformed.servers import COMMANDS, Server, running

CORPUS = corpus()
CANARY = b"GET ~/canary HTTP/1.1\r\nHost: h\r\n\r\n"
AT_ONCE = 16
PATIENCE = 15.0
STUCK = b"(stuck) "
_NUMBER = re.compile(r"/[a-z]+/([0-9]+)(?:/|$|[?;%\\])")

Asked = tuple[str, str]
"""Method, and path without the query."""


class Passed(NamedTuple):
    """A request that the gateway has passed on, and how it ended."""

    asked: Asked
    size: int
    status: int | None
    how: str


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.start()
    yield made
    await made.close()


def test_the_corpus_is_large() -> None:
    assert len(set(CORPUS.values())) >= 300


@pytest.mark.parametrize("name", COMMANDS)
async def test_gateway_and_app_count_the_same(name: str, world: World, tmp_path: Path) -> None:
    with running(name, tmp_path) as server:
        world.public(name)
        world.route(name, server.address)
        got = await _send_all(name, world.port)
        await world.gateway.gate.ledger.log.flush()
    passed, asked = _passed(world.home), _asked(server)
    wrong = [
        f"{title}: {words}\n    {text!r:.300}\n    got {got[number]!r:.200}"
        for number, (title, text) in enumerate(CORPUS.items())
        if (words := _difference(passed.get(number, []), asked.get(number, []), got[number]))
    ]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(CORPUS)}", *wrong])
    assert not asked.get(None), "the app was asked what nobody had sent"
    whole = sum(one.how == "done" for some in passed.values() for one in some)
    assert whole > len(CORPUS) / 3, "hardly anything was let through; is the test itself broken?"


async def _send_all(name: str, port: int) -> list[bytes]:
    """What came back for each text."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def send(number: int, text: bytes) -> bytes:
        path = f"/{name}/{number}".encode()
        async with turn:
            return await _exchange(port, (text + CANARY).replace(b"~", path))

    return await asyncio.gather(*(send(*item) for item in enumerate(CORPUS.values())))


async def _exchange(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    try:
        writer.write(text)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            while data := await reader.read(65_536):
                got += data
    except ConnectionError:
        pass  # it broke off; what had come counts
    except TimeoutError:
        return STUCK + got
    finally:
        writer.close()
    return got


def _passed(home: Path) -> dict[int | None, list[Passed]]:
    """What the access log says was passed on, by the number of the text."""
    found: dict[int | None, list[Passed]] = {}
    for line in (home / "logs" / "access.log").read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        if entry["target"]:
            asked = entry["method"], entry["path"]
            one = Passed(asked, entry["received"], entry["status"], entry["how"])
            found.setdefault(_number(entry["path"]), []).append(one)
    return found


def _asked(server: Server) -> dict[int | None, list[tuple[Asked, int]]]:
    found: dict[int | None, list[tuple[Asked, int]]] = {}
    for method, target, size in server.asked():
        path = target.partition("?")[0][:LONGEST_PATH]
        found.setdefault(_number(target), []).append(((method, path), size))
    return found


def _number(path: str) -> int | None:
    found = _NUMBER.search(path)
    return int(found[1]) if found else None


def _difference(passed: list[Passed], asked: list[tuple[Asked, int]], got: bytes) -> str:
    """What gateway, app and client do not agree about; empty if they do."""
    if got.startswith(STUCK):
        return "no end came"
    sent = Counter(one.asked for one in passed)
    heard = Counter(one for one, _ in asked)
    if heard - sent:
        return f"the app was asked more than it was sent: {heard - sent}"
    answered = [one for one in passed if one.status == 200 and one.how == "done"]
    if missing := Counter(one.asked for one in answered) - heard:
        return f"the app answered what it was not asked: {missing}"
    try:
        answers = read_answers(got, [method for (method, _), *_ in passed] or ["GET"])
    except Garbled as error:
        return f"the client got no HTTP: {error}"
    if len([one for one in answers if one.status == 200]) != len(answered):
        return f"the client got {len(answers)} answers, and {len(answered)} were given"
    return ""
