"""Hidden requests through the gateway to five servers: what went on, byte by byte, is what the app
was asked, and each answer comes to the request that it answers.

Between gateway and server a relay keeps the bytes. They are read by h11 and by a stricter pattern;
the app says for itself what it was asked; the client reads what came back to it. Each entry comes
from an address of its own, by which the access log tells whose answer is whose.
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
from tests.integration.gateway.smuggling.corpus import Entry, corpus
from tests.integration.gateway.smuggling.relay import Asked, Relay, Sent, target_of
from tests.integration.gateway.smuggling.servers import COMMANDS, Server, running

CORPUS = corpus()
CANARY = b"GET ~/canary HTTP/1.1\r\nHost: h\r\n\r\n"
AT_ONCE = 16
PATIENCE = 20.0
STUCK = b"(stuck) "
_NUMBER = re.compile(r"/[a-z]+/([0-9]+)(?:/|$|[?;%\\])")


class Noted(NamedTuple):
    """A line of the access log: a request that was answered, or never will be."""

    method: str
    path: str
    status: int | None
    how: str


class Story(NamedTuple):
    """What everybody says of one entry."""

    canary: Asked
    got: bytes
    noted: list[Noted]
    sent: list[Sent]
    asked: list[Asked]


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.start()
    yield made
    await made.close()


def test_the_corpus_is_large() -> None:
    assert len({entry.text for entry in CORPUS.values()}) >= 300


@pytest.mark.parametrize("name", COMMANDS)
async def test_nobody_counts_what_was_hidden(name: str, world: World, tmp_path: Path) -> None:
    with running(name, tmp_path) as server:
        async with Relay(server.address).listening() as relay:
            world.public(name)
            world.route(name, relay.address)
            got = await _send_all(name, world.port)
            await world.gateway.gate.ledger.log.flush()
            sent = [one for wire in relay.wires for one in wire.read()]
    stories = _stories(name, got, _noted(world.home), sent, server)
    wrong = [
        f"{title}: {words}\n    {entry.text!r:.400}\n    got {story.got!r:.300}"
        for (title, entry), story in zip(CORPUS.items(), stories, strict=True)
        if (words := _difference(entry, story))
    ]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(CORPUS)}", *wrong])
    answered = sum(story.canary in story.asked for story in stories)
    assert answered > len(CORPUS) / 4, "hardly a canary came through; is the test itself broken?"


async def _send_all(name: str, port: int) -> list[bytes]:
    """What came back for each entry."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def send(number: int, entry: Entry) -> bytes:
        path = f"/{name}/{number}".encode()
        async with turn:
            text = (entry.text + CANARY).replace(b"~", path)
            return await _exchange(_address(number), port, text)

    return await asyncio.gather(*(send(*item) for item in enumerate(CORPUS.values())))


def _address(number: int) -> str:
    return f"127.1.{number // 250}.{number % 250 + 1}"


async def _exchange(address: str, port: int, text: bytes) -> bytes:
    """Write and read at the same time, for answers that come before everything is written."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
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


def _noted(home: Path) -> dict[str, list[Noted]]:
    """The access log, by the address that asked. A head that is none has no method and no path."""
    found: dict[str, list[Noted]] = {}
    for line in (home / "logs" / "access.log").read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        one = Noted(entry["method"], entry["path"], entry["status"], entry["how"])
        found.setdefault(entry["client"], []).append(one)
    return found


def _number(path: str) -> int | None:
    found = _NUMBER.search(path)
    return int(found[1]) if found else None


def _stories(
    name: str,
    got: list[bytes],
    noted: dict[str, list[Noted]],
    sent: list[Sent],
    server: Server,
) -> list[Story]:
    asked = [Asked(method, target_of(target), size) for method, target, size in server.asked()]
    sent_by, asked_by = _by_number(sent), _by_number(asked)
    strays = [sent_by.pop(None, []), asked_by.pop(None, [])]
    assert not any(strays), f"requests that nobody has sent: {strays}"
    return [
        Story(
            Asked("GET", f"/{name}/{number}/canary", 0),
            text,
            noted.get(_address(number), []),
            sent_by.get(number, []),
            asked_by.get(number, []),
        )
        for number, text in enumerate(got)
    ]


def _by_number(some: list[Any]) -> dict[int | None, list[Any]]:
    found: dict[int | None, list[Any]] = {}
    for one in some:
        asked = one.asked if isinstance(one, Sent) else one
        found.setdefault(_number(asked.target), []).append(one)
    return found


def _difference(entry: Entry, story: Story) -> str:
    """What they do not agree about; empty if they do."""
    if story.got.startswith(STUCK):
        return "no end came"
    return (
        _between_gateway_and_app(story)
        or _between_gateway_and_log(story)
        or _between_app_and_client(story)
        or _of_meaning(entry, story)
    )


def _between_gateway_and_app(story: Story) -> str:
    """Whole requests are asked once, as they were sent; what broke off once at most, and never
    with more of a body than was sent."""
    whole = Counter(one.asked for one in story.sent if one.whole)
    answered = Counter(one.asked for one in story.sent if one.whole and one.status == 200)
    asked = Counter(story.asked)
    if missing := answered - asked:
        return f"the app was not asked what it answered: {missing}"
    broken = [one.asked for one in story.sent if not one.whole]
    for one in (asked - whole).elements():
        alike = [half for half in broken if half[:2] == one[:2] and half.size >= one.size]
        if not alike:
            return f"the app was asked {one}; sent were {story.sent}"
        broken.remove(alike[0])
    for one in story.sent:
        if one.answer and (one.answer.method, target_of(one.answer.target)) != one.asked[:2]:
            return f"{one.asked} was answered with {one.answer}"
        if one.whole and one.answer and one.answer.size != one.asked.size:
            return f"of {one.asked} the app read {one.answer.size} bytes"
    return ""


def _between_gateway_and_log(story: Story) -> str:
    """What the gateway says it has passed on is what went on, for every answer it has given."""
    said = Counter((one.method, one.path) for one in story.noted if one.how == "done")
    sent = Counter(
        (one.asked.method, one.asked.target.partition("?")[0][:LONGEST_PATH])
        for one in story.sent
        if one.status is not None
    )
    if (said - sent) or (sent - said).total() > len(story.noted) - said.total():
        return f"the log says {said}, the wire {sent}"
    return ""


def _between_app_and_client(story: Story) -> str:
    """The client's answers are those of the app, in order, and the log's number of them."""
    try:
        answers = _answers(story)
    except Garbled as error:
        return f"the client got no HTTP: {error}"
    given, statuses = _given(story), [one.status for one in answers]
    if statuses != [one.status for one in given]:
        return f"the client got {statuses}, the gateway gave {given}"
    bodies = [Asked(*json.loads(one.body)) for one in answers if one.status == 200 and one.body]
    heard = [one for one in story.asked if one.method != "HEAD"]
    read = [one._replace(target=target_of(one.target)) for one in bodies]
    if any(one not in heard for one in read):
        return f"the client got {read}, the app was asked {heard}"
    # Behind what was answered only what broke off may stand: nothing is asked after that.
    if read != heard[: len(read)] or len(heard) - len(read) > 1:
        return f"the client got {read}, the app was asked {heard}"
    return _of_canary(story, read)


def _of_canary(story: Story, read: list[Asked]) -> str:
    if story.canary in story.asked and (not read or read[-1] != story.canary):
        return "the app was asked the canary, and it was not the last answer"
    if story.asked.count(story.canary) > 1:
        return "the app was asked the canary more than once"
    return ""


def _given(story: Story) -> list[Noted]:
    """The answers that the gateway says it has given whole, its own among them. Of a body that
    breaks, the line "client_broke" is followed by another for the refusal."""
    return [one for one in story.noted if one.status and one.how in ("done", "refused")]


def _answers(story: Story) -> list[Any]:
    """The final answers that the client got."""
    methods = [one.method or "GET" for one in _given(story)] or ["GET"]
    return [one for one in read_answers(story.got, methods) if one.status >= 200]


def _of_meaning(entry: Entry, story: Story) -> str:
    """A sound entry means the same to everybody, and its canary is answered."""
    if entry.means is None:
        return ""
    sizes = [one.size for one in story.asked]
    if sizes != [*entry.means, 0] or story.asked[-1] != story.canary:
        return f"it means {entry.means} and a canary; the app was asked {story.asked}"
    return ""
