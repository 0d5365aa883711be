"""Requests through a running gateway: heads, bodies, identity, pages."""

import asyncio
import base64
from typing import Any

import pytest

from gateway.tablefile import BUCKETS

World = Any
Helpers = Any
NAVIGATES = "Sec-Fetch-Mode: navigate"


async def test_prefix_kept_and_stripped(world: World, helpers: Helpers) -> None:
    address = await world.backend(helpers.echo)
    world.public("kept")
    world.public("cut")
    world.route("kept", address)
    world.route("cut", address, prefix_mode="strip")
    kept = (await world.get("/kept/a?b=1"))[2]
    cut = (await world.get("/cut/a?b=1"))[2]
    assert kept.startswith(b"GET /kept/a?b=1 HTTP/1.1\r\n")
    assert b"X-Forwarded-Prefix" not in kept
    assert cut.startswith(b"GET /a?b=1 HTTP/1.1\r\n")
    assert b"\r\nX-Forwarded-Prefix: /cut\r\n" in cut


async def test_unix_socket_target(world: World, helpers: Helpers) -> None:
    address = await world.backend(helpers.echo, world.home / "app.sock")
    world.public("a")
    world.route("a", address)
    assert (await world.get("/a/"))[0] == 200


async def test_redirect_to_slash_keeps_the_query(world: World) -> None:
    world.public("a")
    world.route("a", "127.0.0.1:1")
    status, headers, _ = await world.get("/a?x=1")
    assert (status, headers["location"]) == (308, "/a/?x=1")


async def test_forged_headers_never_arrive(world: World, helpers: Helpers) -> None:
    world.public("a")
    world.route("a", await world.backend(helpers.echo))
    forged = (
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Proto: gopher",
        "X-Forwarded-Prefix: /evil",
        "Forwarded: for=6.6.6.6",
        "X-Moorage-User: admin",
        "X_Moorage_User: admin",
        "SCRIPT_NAME: /evil",
        "Script-Name: /evil",
        "Cookie: a=1; moorage_session=secret; b=2",
        "Authorization: Bearer app-own",
    )
    _, _, body = await world.get("/a/", *forged)
    for word in (b"6.6.6.6", b"gopher", b"evil", b"admin", b"secret"):
        assert word not in body
    assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in body
    assert b"\r\nX-Forwarded-Proto: http\r\n" in body
    assert b"\r\nX-Forwarded-Host: h\r\n" in body
    assert b"\r\nHost: h\r\n" in body
    assert b"\r\nCookie: a=1; b=2\r\n" in body
    assert b"\r\nAuthorization: Bearer app-own\r\n" in body


async def test_head_split_at_every_byte(world: World, helpers: Helpers) -> None:
    world.public("a")
    world.route("a", await world.backend(helpers.echo))
    request = b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
    reader, writer = await world.connect()
    for cut in range(1, len(request)):
        writer.write(request[:cut])
        await writer.drain()
        await asyncio.sleep(0.001)
        writer.write(request[cut:])
        head = await asyncio.wait_for(helpers.read_head(reader), 5)
        status, headers, _ = helpers.parse(head)
        body = await reader.readexactly(int(headers["content-length"]))
        assert status == 200
        assert body.endswith(b"\r\n\r\nhello")
    writer.close()


async def test_answer_split_at_every_byte(world: World, helpers: Helpers) -> None:
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    )
    cut = 0
    answer = b""

    async def split(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await helpers.read_head(reader)
            writer.write(answer[:cut])
            await writer.drain()
            await asyncio.sleep(0.001)
            writer.write(answer[cut:])

    world.public("a")
    world.route("a", await world.backend(split))
    reader, writer = await world.connect()
    for answer in answers:
        for cut in range(1, len(answer)):
            writer.write(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
            got = await asyncio.wait_for(reader.readexactly(len(answer)), 5)
            assert got == answer, cut
    writer.close()


async def test_pipelined_requests_are_answered_in_order(world: World, helpers: Helpers) -> None:
    world.public("a")
    world.route("a", await world.backend(helpers.echo))
    one = b"GET /a/%d HTTP/1.1\r\nHost: h\r\n\r\n"
    last = b"GET /a/last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    answer = await world.send(b"".join(one % number for number in range(500)) + last)
    found = [answer.find(b"GET /a/%d HTTP" % number) for number in range(500)]
    assert -1 not in found
    assert found == sorted(found)
    assert b"GET /a/last" in answer


async def test_chunked_both_ways(world: World, helpers: Helpers) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (body, body):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    world.public("a")
    world.route("a", await world.asgi(application))
    head = b"POST /a/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
    body = b"\r\n4;x=y\r\nwiki\r\n1\r\n!\r\n0\r\nTrailer: 1\r\n\r\n"
    status, headers, answer = helpers.parse(
        await world.send(head + b"Connection: close\r\n" + body)
    )
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert answer == b"5\r\nwiki!\r\n5\r\nwiki!\r\n0\r\n\r\n"
    old = await world.send(b"GET /a/ HTTP/1.0\r\nHost: h\r\n\r\n")
    assert b"chunked" not in old


async def test_large_bodies_arrive_whole(world: World, helpers: Helpers) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(size // 65536):
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    world.public("a")
    world.route("a", await world.asgi(application))
    size = 20 * 65536
    head = b"POST /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    answer = await world.send(head, b"y" * size)
    assert answer.count(b"x") == size


async def test_a_reader_that_stops_holds_back_the_target(world: World, helpers: Helpers) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    world.public("a")
    world.route("a", await world.backend(flood))
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=65536)
    writer.write(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
    await helpers.read_head(reader)
    before = -1
    while before != sent:
        before = sent
        await asyncio.sleep(0.2)
    assert sent < 40_000_000
    client = next(iter(world.gateway.gate.clients))
    assert client.transport.get_write_buffer_size() < 2_000_000
    writer.transport.abort()
    await helpers.until(lambda: not world.gateway.gate.clients)


async def test_head_204_304_have_no_body(world: World, helpers: Helpers) -> None:
    async def bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await helpers.read_head(reader)
            path = head.split(b" ")[1]
            answer = {
                b"/a/head": b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
                b"/a/204": b"HTTP/1.1 204 No Content\r\n\r\n",
                b"/a/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: x\r\n\r\n",
                b"/a/end": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend",
            }[path]
            writer.write(answer)

    world.public("a")
    world.route("a", await world.backend(bare))
    answer = await world.send(
        b"HEAD /a/head HTTP/1.1\r\nHost: h\r\n\r\n"
        b"GET /a/204 HTTP/1.1\r\nHost: h\r\n\r\n"
        b"GET /a/304 HTTP/1.1\r\nHost: h\r\n\r\n"
        b"GET /a/end HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 ") == 4
    assert answer.count(b"Content-Length: 7\r\n") == 2
    assert answer.endswith(b"\r\n\r\nend")


async def test_answer_delimited_by_close(world: World, helpers: Helpers) -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")

    world.public("a")
    world.route("a", await world.backend(old))
    answer = await world.send(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nall of it")


async def test_expect_100_continue(world: World, helpers: Helpers) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"]})

    world.public("a")
    world.route("a", await world.asgi(application))
    reader, writer = await world.connect()
    writer.write(
        b"PUT /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    assert b" 100 " in await asyncio.wait_for(helpers.read_head(reader), 5)
    writer.write(b"ok")
    assert b" 200 " in await asyncio.wait_for(helpers.read_head(reader), 5)
    writer.close()


async def test_early_answer_to_an_unfinished_body(world: World, helpers: Helpers) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nbig!")
        await reader.read(-1)

    world.public("a")
    world.route("a", await world.backend(early))
    reader, writer = await world.connect()
    writer.write(b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
    answer = await asyncio.wait_for(reader.read(-1), 5)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"Connection: close" in answer
    assert answer.endswith(b"big!")
    writer.close()


async def test_event_stream_is_not_held_back(world: World, helpers: Helpers) -> None:
    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n")
        await reader.read(-1)

    world.public("a")
    world.route("a", await world.backend(events))
    reader, writer = await world.connect()
    writer.write(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"data: 1\n\r\n"), 5)
    writer.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"",
    ],
)
async def test_broken_answers_are_502(world: World, helpers: Helpers, answer: bytes) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(answer)

    world.public("a")
    world.route("a", await world.backend(broken))
    assert (await world.get("/a/"))[0] == 502


async def test_answer_that_breaks_off_is_not_completed(world: World, helpers: Helpers) -> None:
    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    world.public("a")
    world.route("a", await world.backend(short))
    answer = await world.send(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nhalf")


async def test_app_cannot_set_our_cookie(world: World, helpers: Helpers) -> None:
    async def hostile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: moorage_session=x; Path=/\r\n"
            b"Set-Cookie: own=1\r\nService-Worker-Allowed: /\r\nClear-Site-Data: *\r\n\r\n"
        )

    world.public("a")
    world.route("a", await world.backend(hostile))
    status, headers, _ = await world.get("/a/")
    assert (status, headers["set-cookie"]) == (200, "own=1; Path=/a/")
    assert "service-worker-allowed" not in headers
    assert "clear-site-data" not in headers


async def test_sticky_clients_stay(world: World, helpers: Helpers) -> None:
    def named(name: bytes) -> Any:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await helpers.read_head(reader)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name)

        return answer

    addresses = [await world.backend(named(b"1")), await world.backend(named(b"2"))]
    world.public("a")
    world.route("a", *addresses, sticky=True)
    _, headers, first = await world.get("/a/")
    cookie = headers["set-cookie"]
    assert "Path=/a/;" in cookie
    assert "HttpOnly" in cookie
    for _ in range(6):
        _, again, body = await world.get("/a/", "Cookie: " + cookie.split(";")[0])
        assert body == first
        assert "set-cookie" not in again
    assert {(await world.get("/a/"))[2] for _ in range(6)} == {b"1", b"2"}


async def test_states_without_target_are_503(world: World) -> None:
    assert (await world.get("/nothing/"))[0] == 404
    world.public("a")
    for state, words in (
        ("empty", b"no release yet"),
        ("starting", b"is starting"),
        ("stopped", b"is stopped"),
        ("crashed", b"exit status 3"),
    ):
        world.route("a", state=state, reason="exit status 3", revision=len(state))
        status, headers, body = await world.get("/a/")
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert int(headers["retry-after"]) > 0
        assert words in body
    status, headers, body = await world.get("/a/", "Accept: text/html")
    assert (status, headers["content-type"]) == (503, "text/html; charset=utf-8")
    world.route("a", "127.0.0.1:1", revision=99)
    assert (await world.get("/a/"))[0] == 503


async def test_who_may_open(world: World, helpers: Helpers) -> None:
    address = await world.backend(helpers.echo)
    world.keys()
    world.person("ann")
    world.person("bob")
    world.access("a", "restricted", owner="ann")
    world.route("a", address)
    status, headers, _ = await world.get("/a/x?y=1", "Accept: text/html")
    assert (status, headers["location"]) == (303, "/-/auth/login?next=/a/x%3Fy%3D1")
    assert (await world.get("/a/"))[0] == 401
    assert (await world.get("/a/", "Cookie: " + world.cookie("bob")))[0] == 403
    status, _, body = await world.get("/a/", "Cookie: " + world.cookie("ann"))
    assert status == 200
    assert b"X-Moorage-User: ann\r\nX-Moorage-Email: ann@example.org\r\n" in body
    signed = body.split(b"X-Moorage-Identity: ")[1].split(b"\r\n")[0].decode()
    assert world.identity(signed, "a")["sub"] == "ann"
    token = world.token("ann", "open")
    status, _, body = await world.get("/a/", f"Authorization: Bearer {token}")
    assert status == 200
    assert token.encode() not in body
    world.token("ann", "read")
    assert (await world.get("/a/", f"Authorization: Bearer {token}"))[0] == 403
    assert (await world.get("/a/", "Authorization: Bearer mrg_wrong"))[0] == 401
    world.person("ann", active=False)
    assert (await world.get("/a/", "Cookie: " + world.cookie("ann")))[0] == 401


async def test_git_is_asked_for_a_password(world: World, helpers: Helpers) -> None:
    world.service("git_ingest", await world.backend(helpers.echo))
    world.keys()
    world.person("ann", role="developer")
    path = "/-/git/sales.git/info/refs?service=git-receive-pack"
    status, headers, body = await world.get(path)
    assert (status, headers["content-type"]) == (401, "text/plain; charset=utf-8")
    assert headers["www-authenticate"].startswith('Basic realm="Moorage"')
    wrong = base64.b64encode(b"x:mrg_wrong").decode()
    assert b"unknown, expired" in (await world.get(path, f"Authorization: Basic {wrong}"))[2]
    token = world.token("ann", "write")
    right = base64.b64encode(f"any:{token}".encode()).decode()
    status, _, body = await world.get(path, f"Authorization: Basic {right}")
    assert status == 200
    signed = body.split(b"X-Moorage-Identity: ")[1].split(b"\r\n")[0].decode()
    claims = world.identity(signed, "platform")
    assert (claims["sub"], claims["app"], claims["app_role"]) == ("ann", "sales", "none")
    assert claims["scopes"] == ["write"]


async def test_platform_unsafe_methods_need_same_origin(world: World, helpers: Helpers) -> None:
    world.service("portal", await world.backend(helpers.echo))
    world.keys()
    world.person("ann")
    head = "POST /-/api/v1/apps HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: "
    head += world.cookie("ann") + "\r\n"
    cases = {
        "": 403,
        "Origin: http://evil\r\n": 403,
        "Origin: http://h\r\n": 200,
        "Sec-Fetch-Site: same-origin\r\n": 200,
        "Sec-Fetch-Site: same-site\r\nOrigin: http://h\r\n": 403,
    }
    for extra, expected in cases.items():
        answer = await world.send((head + extra + "\r\n").encode())
        assert helpers.parse(answer)[0] == expected, extra
    token = world.token("ann", "read")
    bare = "POST /-/api/v1/apps HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
    answer = await world.send((bare + f"Authorization: Bearer {token}\r\n\r\n").encode())
    assert helpers.parse(answer)[0] == 403
    assert (await world.get("/-/api/v1/apps", f"Authorization: Bearer {token}"))[0] == 200


async def test_next_process_of_a_service(world: World, helpers: Helpers) -> None:
    world.service("auth", f"127.0.0.1:{helpers.free_port()}", "dead", started=9)
    assert (await world.get("/-/auth/login"))[0] == 503
    world.service("auth", await world.backend(helpers.echo), "live", started=1)
    for _ in range(4):
        assert (await world.get("/-/auth/login"))[0] == 200
    world.hear("targets", "auth.live", None)
    assert (await world.get("/-/auth/login"))[0] == 200
    world.hear("targets", "auth.dead", None)
    assert (await world.get("/-/auth/login"))[0] == 200


async def test_own_probes(world: World) -> None:
    assert (await world.get("/-/livez"))[0] == 200
    status, _, body = await world.get("/-/readyz")
    assert (status, body) == (503, b'{"ready":false}')
    for bucket in BUCKETS:
        world.gateway.news.synced(bucket)
    assert (await world.get("/-/readyz"))[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /a/ HTTP/1.1\nHost: h\n\n",
        b"\r\nGET /a/ HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /a/ HTTP/1.1\r\nHost: h\r\nA: b\nC: d\r\n\r\n",
        b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /a/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"GET /a/ HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
        b"GET /a/ HTTP/1.1\r\nX: " + b"y" * 70_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_malformed_requests_reach_no_app(
    world: World, helpers: Helpers, request_: bytes
) -> None:
    seen = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1

    world.public("a")
    world.route("a", await world.backend(count))
    answer = await world.send(request_)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert seen == 0


async def test_broken_chunks_do_not_become_a_request(world: World, helpers: Helpers) -> None:
    got = b""

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        while data := await reader.read(65536):
            got += data

    world.public("a")
    world.route("a", await world.backend(collect))
    answer = await world.send(
        b"POST /a/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"zz\r\nGET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"smuggled" not in got


async def test_a_target_that_stops_reading_holds_back_the_client(
    world: World, helpers: Helpers
) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        await over.wait()

    over = asyncio.Event()
    world.public("a")
    world.route("a", await world.backend(deaf))
    _, writer = await world.connect()
    writer.write(b"POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 200000000\r\n\r\n")
    taken, before = 0, -1
    while taken != before:
        before = taken
        for _ in range(200):
            if writer.transport.get_write_buffer_size() > 1_000_000:
                break
            writer.write(b"x" * 65536)
            taken += 65536
        await asyncio.sleep(0.2)
    assert taken < 60_000_000
    writer.transport.abort()
    over.set()
    await helpers.until(lambda: not world.gateway.gate.clients)


async def test_half_closed_client_still_gets_its_answer(world: World, helpers: Helpers) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    world.public("a")
    world.route("a", await world.backend(slow))
    reader, writer = await world.connect()
    writer.write(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
    writer.write_eof()
    assert (await asyncio.wait_for(reader.read(-1), 5)).endswith(b"ok")
    writer.close()


async def test_client_that_leaves_is_noticed_by_the_target(world: World, helpers: Helpers) -> None:
    left = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await helpers.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            left.set()

    world.public("a")
    world.route("a", await world.backend(endless))
    reader, writer = await world.connect()
    writer.write(b"GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
    await helpers.read_head(reader)
    writer.close()
    await asyncio.wait_for(left.wait(), 5)
    pool = world.gateway.gate.pools.find("a.web.1-0")
    await helpers.until(lambda: pool is None or pool.load == 0)


async def test_websocket_of_another_sites_page_is_refused(world: World, helpers: Helpers) -> None:
    world.keys()
    world.person("ann")
    world.access("a", "signed-in")
    world.route("a", await world.backend(helpers.echo))
    session = world.cookie("ann")
    _, opened, _ = await world.get("/a/", f"Cookie: {session}", "Sec-Fetch-Site: none", NAVIGATES)
    own_pass = opened["set-cookie"].partition(";")[0]
    head = "GET /a/ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    for origin, cookies, status in (
        ("http://evil", f"{session}; {own_pass}", 403),
        ("http://h", session, 403),  # a page of another app of this host, never opened by Ann
        ("http://h", own_pass, 401),
        ("http://h", f"{session}; {own_pass}", 200),
    ):
        lines = f"{head}Cookie: {cookies}\r\nOrigin: {origin}\r\n\r\n"
        answer = await world.send(lines.encode())
        assert helpers.parse(answer)[0] == status, (origin, cookies)
