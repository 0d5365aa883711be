"""Cases of HTTP's ordinary and less ordinary exchanges: where messages end, and in which order."""

from tests.integration.gateway.conformance.case import (
    CHUNKED,
    CLOSE,
    END_OF_HEAD,
    HANDSHAKE,
    SWITCHED,
    Case,
    Other,
    get,
    ok,
    post,
    sized,
)
from tests.integration.gateway.conformance.conversation import Await, Close, End, Hear, Tell

TWO_CHUNKS = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"

CONNECTIONS = (
    Case(
        "keep-alive: two requests in turn on one connection, one towards the app",
        client=(get(), Await(b"GET /a/|"), get(path="/a/two")),
        says="200 200",
        app=("GET /a/", "GET /a/two"),
        connections=1,
    ),
    Case(
        "pipelining: three requests in one write are answered in order",
        client=(get(path="/a/1") + get(path="/a/2") + get(path="/a/3"),),
        says="200 200 200",
        app=("GET /a/1", "GET /a/2", "GET /a/3"),
        brings=(b"GET /a/1|HTTP/1.1 200", b"GET /a/2|HTTP/1.1 200"),
    ),
    Case(
        "pipelining: a request right behind a body",
        client=(post("Content-Length: 5", body=b"hello") + get(path="/a/2"),),
        says="200 200",
        app=("POST /a/", "GET /a/2"),
        brings=(b"POST /a/|hello",),
    ),
    Case(
        "pipelining: a request right behind a chunked body",
        client=(post(CHUNKED, body=TWO_CHUNKS) + get(path="/a/2"),),
        says="200 200",
        app=("POST /a/", "GET /a/2"),
        brings=(b"POST /a/|hello",),
    ),
    Case(
        "the app's connection is pooled: another client's request uses it",
        client=(get(CLOSE),),
        says="200 closed",
        then=(get(CLOSE, path="/a/2"),),
        app=("GET /a/", "GET /a/2"),
        connections=1,
    ),
    Case(
        "Connection: close of the client ends its connection alone",
        client=(get(CLOSE),),
        says="200 closed",
        lacks=(b"close",),
        connections=1,
    ),
    Case(
        "Connection: close of the app ends the app's connection alone",
        client=(get(), Await(b"ok"), get(path="/a/2")),
        app_says=(END_OF_HEAD, sized(b"ok", CLOSE), Close()),
        says="200 200",
        app=("GET /a/", "GET /a/2"),
        connections=2,
    ),
    Case(
        "an app of HTTP/1.0: its connection is not used again",
        client=(get(), Await(b"ok"), get(path="/a/2")),
        app_says=(END_OF_HEAD, ok("Content-Length: 2", body=b"ok", version="1.0"), Close()),
        says="200 200",
        app=("GET /a/", "GET /a/2"),
        connections=2,
    ),
    Case(
        "a pooled connection that the app has closed is not used",
        client=(get(), Await(b"ok"), Hear("gone"), get(path="/a/2")),
        app_says=(END_OF_HEAD, sized(b"ok"), Close(), Tell("gone")),
        says="200 200",
        app=("GET /a/", "GET /a/2"),
        connections=2,
    ),
    Case(
        "a client of HTTP/1.0: closed after the answer",
        client=(get(version="1.0"),),
        says="200 closed",
    ),
    Case(
        "a client of HTTP/1.0 that asks for keep-alive: closed all the same",
        client=(get("Connection: keep-alive", version="1.0"),),
        says="200 closed",
        nginx=Other("It keeps the connection, an extension from before HTTP/1.1.", says="200"),
    ),
    Case(
        "half-close: a client that has ended its side still gets its answer",
        client=(get(), End(), Tell("ended")),
        app_says=(END_OF_HEAD, Hear("ended"), sized(b"late")),
        says="200 closed",
        brings=(b"late",),
    ),
    Case(
        "half-close: all pipelined requests before it are answered",
        client=(get(path="/a/1") + get(path="/a/2"), End()),
        says="200 200 closed",
        app=("GET /a/1", "GET /a/2"),
    ),
    Case(
        "half-close in the middle of a large body: the app's request breaks off",
        client=(post("Content-Length: 100000", body=b"part"), Hear("begun"), End()),
        app_says=(Await(b"part"), Tell("begun")),
        says="closed",
        app=("POST /a/ cut",),
    ),
    Case(
        "half-close in the middle of a small body: nothing reaches the app",
        client=(post("Content-Length: 10", body=b"part"), End()),
        says="closed",
        app=(),
        nginx=Other(
            "Told not to hold bodies back, it does not wait for small ones either.",
            app=("POST /a/ cut",),
        ),
    ),
    Case(
        "half-close in the middle of a head",
        client=(b"GET /a/ HTTP/1.1\r\nHost", End()),
        says="closed",
        app=(),
    ),
)

BODIES = (
    Case(
        "a body with a length, sent in pieces",
        client=(post("Content-Length: 11"), b"hello", b" ", b"world"),
        app=("POST /a/",),
        brings=(b"|hello world",),
    ),
    Case(
        "a large body is passed on before all of it is there",
        client=(post("Content-Length: 100000", body=b"first"), Hear("seen"), b"x" * 99_995),
        app_says=(Await(b"first"), Tell("seen"), Await(b"x" * 99_995), sized(b"ok")),
        app=("POST /a/",),
    ),
    Case(
        "Content-Length: 0",
        client=(post("Content-Length: 0"),),
        app=("POST /a/",),
        carries=(b"\r\nContent-Length: 0\r\n",),
    ),
    Case("POST without a length has no body", client=(post(),), app=("POST /a/",)),
    Case(
        "a GET with a body",
        client=(get("Content-Length: 5") + b"hello",),
        brings=(b"GET /a/|hello",),
    ),
    Case(
        "a chunked body, sent in pieces",
        client=(post(CHUNKED), b"2\r\nh", b"e\r", b"\n3\r\nllo\r\n0\r\n", b"\r\n"),
        app=("POST /a/",),
        brings=(b"|hello",),
    ),
    Case(
        "a chunked body is passed on chunk by chunk",
        client=(post(CHUNKED, body=b"5\r\nfirst\r\n"), Hear("seen"), b"0\r\n\r\n"),
        app_says=(Await(b"first"), Tell("seen"), Await(b"0\r\n\r\n"), sized(b"ok")),
        app=("POST /a/",),
    ),
    Case(
        "chunk extensions stay here",
        client=(post(CHUNKED, body=b'5;name="value"\r\nhello\r\n0;last\r\n\r\n'),),
        app=("POST /a/",),
        brings=(b"|hello",),
        lacks=(b"name", b"last"),
    ),
    Case(
        "trailers of a request stay here",
        client=(post(CHUNKED, body=b"5\r\nhello\r\n0\r\nX-After: 1\r\n\r\n"),),
        app=("POST /a/",),
        brings=(b"|hello",),
        lacks=(b"X-After",),
    ),
    Case(
        "an upper-case chunk size with leading zeros",
        client=(post(CHUNKED, body=b"000A\r\n0123456789\r\n0\r\n\r\n"),),
        app=("POST /a/",),
        brings=(b"|0123456789",),
    ),
    Case(
        "a chunked answer",
        client=(get(),),
        app_says=(END_OF_HEAD, ok(CHUNKED, body=TWO_CHUNKS)),
        brings=(TWO_CHUNKS,),
        nginx=Other("It puts the chunks together anew.", holds=False),
    ),
    Case(
        "trailers of an answer stay here",
        client=(get(),),
        app_says=(END_OF_HEAD, ok(CHUNKED, body=b"2\r\nok\r\n0\r\nX-After: 1\r\n\r\n")),
        spares=(b"X-After",),
    ),
    Case(
        "an answer that ends with its connection",
        client=(get(),),
        app_says=(END_OF_HEAD, ok(body=b"to the end"), Close()),
        says="200 closed",
        brings=(b"to the end", b"Connection: close"),
        spares=(b"chunked",),
        nginx=Other("It makes chunks of it and keeps the connection.", says="200", holds=False),
    ),
    Case(
        "HEAD: a length, and no body",
        client=(get(method="HEAD"),),
        app_says=(END_OF_HEAD, ok("Content-Length: 5")),
        app=("HEAD /a/",),
        methods=("HEAD", "GET"),
        brings=(b"Content-Length: 5",),
    ),
    Case(
        "HEAD: chunked, and no body",
        client=(get(method="HEAD"),),
        app_says=(END_OF_HEAD, ok(CHUNKED)),
        app=("HEAD /a/",),
        methods=("HEAD", "GET"),
    ),
    Case(
        "204 has no body",
        client=(get(),),
        app_says=(END_OF_HEAD, ok(status="204 No Content")),
        says="204",
        spares=(b"ontent-Length", b"ransfer-Encoding"),
    ),
    Case(
        "304 has no body, whatever its length says",
        client=(get(),),
        app_says=(END_OF_HEAD, ok("Content-Length: 5", status="304 Not Modified")),
        says="304",
        brings=(b"Content-Length: 5",),
    ),
    Case(
        "103 Early Hints goes on to a client of HTTP/1.1",
        client=(get(),),
        app_says=(END_OF_HEAD, ok("Link: </x>", status="103 Early Hints"), sized(b"ok")),
        says="103 200",
        brings=(b"Link: </x>",),
        nginx=Other("It takes 103 for the answer and 200 for its body.", says="103 200 desynced"),
    ),
    Case(
        "an interim answer never goes on to a client of HTTP/1.0",
        client=(get(version="1.0"),),
        app_says=(END_OF_HEAD, ok("Link: </x>", status="103 Early Hints") + sized(b"ok")),
        says="200 closed",
        spares=(b"103", b"Link"),
        nginx=Other(
            "It takes 103 for the answer and 200 for its body.",
            says="103 200 desynced",
            holds=False,
        ),
    ),
    Case(
        "a client of HTTP/1.0 never gets chunks",
        client=(get(version="1.0"),),
        app_says=(END_OF_HEAD, ok(CHUNKED, body=TWO_CHUNKS)),
        says="200 closed",
        brings=(b"\r\n\r\nhello",),
        spares=(b"chunked", b"3\r\nllo"),
    ),
    Case(
        "an early answer: it begins before the request's body ends",
        client=(
            post("Content-Length: 100000", body=b"first"),
            Await(b"early"),
            b"x" * 99_995,
        ),
        app_says=(
            Await(b"first"),
            ok("Content-Length: 10", body=b"early"),
            Await(b"x" * 99_995),
            b" late",
        ),
        says="200 closed",
        app=("POST /a/",),
        brings=(b"early late",),
        nginx=Other("It keeps the connection.", says="200"),
    ),
    Case(
        "an early answer: it ends before the request's body does",
        client=(post("Content-Length: 100000", body=b"first"),),
        app_says=(Await(b"first"), sized(b"no", status="413 Content Too Large")),
        says="413 closed",
        app=("POST /a/ cut",),
    ),
    Case(
        "server-sent events go on one by one",
        client=(get("Accept: text/event-stream"), Await(b"data: 1\n\n"), Tell("seen")),
        app_says=(
            END_OF_HEAD,
            ok("Content-Type: text/event-stream", body=b"data: 1\n\n"),
            Hear("seen"),
            b"data: 2\n\n",
            Close(),
        ),
        says="200 closed",
        brings=(b"data: 2",),
        nginx=Other("It makes chunks of it and keeps the connection.", says="200"),
    ),
    Case(
        "chunks of an answer go on one by one",
        client=(get(), Await(b"1\r\na\r\n"), Tell("seen")),
        app_says=(END_OF_HEAD, ok(CHUNKED, body=b"1\r\na\r\n"), Hear("seen"), b"0\r\n\r\n"),
    ),
)

_WAITS = post("Expect: 100-continue", "Content-Length: 5")
EXPECTATIONS = (
    Case(
        "Expect: the app says 100 and the body follows",
        client=(_WAITS, Await(b"100 Continue"), b"hello"),
        app_says=(
            END_OF_HEAD,
            b"HTTP/1.1 100 Continue\r\n\r\n",
            Await(b"hello"),
            sized(b"ok"),
        ),
        says="100 200",
        app=("POST /a/",),
        carries=(b"Expect: 100-continue",),
        nginx=Other(
            "It says 100 itself; the app's own 100 it takes for the answer.",
            says="100 100 200 desynced",
            holds=False,
        ),
    ),
    Case(
        "Expect: the app refuses and the body is never asked for",
        client=(_WAITS,),
        app_says=(END_OF_HEAD, sized(b"no", status="413 Content Too Large")),
        says="413 closed",
        app=("POST /a/ cut",),
        nginx=Other(
            "It says 100 by itself, so the body is sent for nothing.", says="100 413 closed"
        ),
    ),
    Case(
        "Expect: a client that does not wait",
        client=(_WAITS + b"hello",),
        app=("POST /a/",),
        brings=(b"|hello",),
        nginx=Other("It says 100 although the body is there.", says="100 200"),
    ),
    Case(
        "Expect: an expectation that nobody knows",
        client=(post("Expect: coffee", "Content-Length: 5", body=b"hello"),),
        says="417 closed",
        app=(),
        nginx=Other("It does not look at what is expected.", says="200", app=("POST /a/",)),
    ),
)

_PING = b"\x81\x82\x00\x00\x00\x00hi"
_PONG = b"\x81\x02ho"
_SHAKES = get(*HANDSHAKE)
UPGRADES = (
    Case(
        "a WebSocket: bytes pass both ways, and its end comes through",
        client=(_SHAKES, Await(b"\r\n\r\n"), _PING, Await(_PONG)),
        app_says=(END_OF_HEAD, SWITCHED, Await(_PING), _PONG, Close()),
        says="101 closed",
        carries=(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", b"\r\nSec-WebSocket-Key: "),
        nginx=Other("The same, in another order of lines.", holds=False),
    ),
    Case(
        "a WebSocket: frames that came together with the app's 101",
        client=(_SHAKES, Await(_PONG)),
        app_says=(END_OF_HEAD, SWITCHED + _PONG, Close()),
        says="101 closed",
    ),
    Case(
        "what a client sends behind its handshake waits for the 101",
        client=(_SHAKES + _PING, Await(_PONG)),
        app_says=(END_OF_HEAD, SWITCHED, Await(_PING), _PONG, Close()),
        says="101 closed",
        brings=(_PONG,),
    ),
    Case(
        "an upgrade refused with 200: the connection speaks HTTP as before",
        client=(_SHAKES,),
        app_says=(END_OF_HEAD, sized(b"no")),
    ),
    Case(
        "a request pipelined behind an upgrade that is refused is a request of its own",
        client=(_SHAKES + get(path="/a/2"),),
        app_says=(END_OF_HEAD, sized(b"no")),
        says="200 200",
        app=("GET /a/", "GET /a/2"),
    ),
    Case(
        "an upgrade to anything but WebSocket is a plain request",
        client=(
            get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"),
        ),
        lacks=(b"h2c", b"HTTP2-Settings", b"Upgrade"),
        nginx=Other("As it is set up for WebSockets, it passes on any Upgrade.", holds=False),
    ),
    Case(
        "a handshake with POST is a plain request",
        client=(post(*HANDSHAKE, "Content-Length: 0"),),
        app=("POST /a/",),
        lacks=(b"Upgrade",),
        nginx=Other("It does not look at the method.", holds=False),
    ),
    Case(
        "a handshake in HTTP/1.0 is a plain request",
        client=(get(*HANDSHAKE, version="1.0"),),
        says="200 closed",
        lacks=(b"Upgrade",),
        nginx=Other("It does not look at the version.", holds=False),
    ),
)
