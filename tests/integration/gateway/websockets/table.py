"""All cases by name, those that a server sends included, and where the gateway differs."""

from typing import NamedTuple

from tests.integration.gateway.conformance.conversation import End
from tests.integration.gateway.websockets import (
    closing,
    compressing,
    fragmenting,
    framing,
    handshakes,
    texts,
)
from tests.integration.gateway.websockets.case import Case, Hears, Script, say, scripted
from tests.integration.gateway.websockets.frames import text

_BY_FRAMES = (framing, fragmenting, texts, compressing)
_ALL = (*_BY_FRAMES, closing, handshakes)


def _by_the_server(case: Case) -> Case:
    """The same frames towards a client, which bears everything and says one word."""
    said = tuple(step for step in case.client if not isinstance(step, Hears))
    script: Script = (*said, Hears(1), End())
    return scripted(f"{case.name}, by the server", (say(text("Hello")),), script)


def _table() -> dict[str, Case]:
    cases = [case for module in _ALL for case in module.CASES]
    cases += [_by_the_server(case) for module in _BY_FRAMES for case in module.CASES]
    table = {case.name: case for case in cases}
    assert len(table) == len(cases), "two cases have the same name"
    return table


CASES = _table()


class Apart(NamedTuple):
    """Where the gateway differs. `status` is how it answers the handshake; if that is as without
    it, `fields` of the verdict are others."""

    why: str
    status: int = 101
    fields: frozenset[str] = frozenset()


_STRICT = "Parsers disagree about such a head, so it goes no further."
_SPEAKS = "Where the server closes without a word, the gateway says what is wrong."
_ORIGIN = "Pages of another origin may open no WebSocket, lest they use a person's session."
_NO_HANDSHAKE = "With a body it is no handshake, and the app, asked plainly, does not answer."
_NO_SWITCH = "The app did not switch to what was asked for; a tunnel would lead anywhere."
_BOTH_WAYS = (
    "RFC 6455 has no half-closed WebSocket: what the server ends has ended for both directions."
)

EXCEPTIONS = {
    "handshake: another origin": Apart(_ORIGIN, 403),
    "handshake: no origin that can be named": Apart(_ORIGIN, 403),
    "handshake: HTTP/1.0": Apart("It goes on as HTTP/1.1, without an upgrade.", 426),
    "handshake: HTTP/2.0": Apart(_SPEAKS, 400),
    "handshake: folded header": Apart(_SPEAKS, 400),
    "handshake: no Host": Apart(_STRICT, 400),
    "handshake: two Hosts": Apart(_STRICT, 400),
    "handshake: target of another host": Apart(_STRICT, 400),
    "handshake: content": Apart(_NO_HANDSHAKE, 502),
    "handshake: chunked content": Apart(_NO_HANDSHAKE, 502),
    "answer: no Upgrade": Apart(_NO_SWITCH, 502),
    "answer: no Connection": Apart(_NO_SWITCH, 502),
    "answer: another protocol": Apart(_NO_SWITCH, 502),
    "answer: nothing but the end": Apart(_SPEAKS, 502),
    "answer: nothing but a reset": Apart(_SPEAKS, 502),
    "answer: half a head": Apart(_SPEAKS, 502),
    "answer: no HTTP": Apart(_SPEAKS, 502),
    "half-closed by the server": Apart(_BOTH_WAYS, fields=frozenset({"app"})),
}
