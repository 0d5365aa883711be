"""Cases of headers that end here, and of those that the app gets from us alone."""

from tests.integration.gateway.conformance.case import (
    CLOSE,
    END_OF_HEAD,
    Case,
    Other,
    get,
    ok,
    post,
    sized,
)

_HANDS_ON = "It hands on what it is not told to leave out."

HOPS = (
    Case(
        "hop-by-hop headers of a request end here",
        client=(
            get(
                "Connection: keep-alive",
                "Keep-Alive: timeout=5",
                "TE: trailers",
                "Trailer: X-After",
                "Proxy-Authorization: Basic eDp5",
                "Proxy-Connection: keep-alive",
                "X-Stays: 1",
            ),
        ),
        carries=(b"\r\nX-Stays: 1\r\n",),
        lacks=(b"timeout=5", b"trailers", b"X-After", b"eDp5", b"Proxy-Connection"),
        nginx=Other(_HANDS_ON, holds=False),
    ),
    Case(
        "Connection: close, X-Some-Header names a header to leave out",
        client=(get("Connection: close, X-Some-Header", "X-Some-Header: 1", "X-Stays: 1"),),
        says="200 closed",
        carries=(b"\r\nX-Stays: 1\r\n",),
        lacks=(b"X-Some-Header",),
        nginx=Other("It does not look into Connection.", holds=False),
    ),
    Case(
        "hop-by-hop headers of an answer end here",
        client=(get(),),
        app_says=(
            END_OF_HEAD,
            sized(
                b"ok",
                "Connection: keep-alive, X-Named",
                "Keep-Alive: timeout=5",
                "X-Named: 1",
                "Proxy-Connection: keep-alive",
                "Trailer: X-After",
                "Upgrade: h2c",
                "X-Stays: 1",
            ),
        ),
        brings=(b"\r\nX-Stays: 1\r\n",),
        spares=(b"X-Named", b"timeout=5", b"Proxy-Connection", b"X-After", b"h2c"),
        nginx=Other(_HANDS_ON, holds=False),
    ),
    Case(
        "an answer's Connection must not name its length",
        client=(get(),),
        app_says=(END_OF_HEAD, sized(b"ok", "Connection: Content-Length")),
        says="502",
        nginx=Other("It does not look into Connection.", says="200"),
    ),
)

FORGED = (
    Case(
        "X-Forwarded-*, Forwarded and their like are ours to say",
        client=(
            get(
                "X-Forwarded-For: 6.6.6.6",
                "X-Forwarded-Host: forged",
                "X-Forwarded-Proto: gopher",
                "X-Forwarded-Prefix: /forged",
                "X-Forwarded-Anything: forged",
                "Forwarded: for=6.6.6.6;host=forged",
                "X-Real-IP: 6.6.6.6",
                "X-Original-URL: /forged",
                "X-Rewrite-URL: /forged",
                "Script-Name: /forged",
            ),
        ),
        carries=(
            b"\r\nX-Forwarded-For: 127.0.0.1\r\n",
            b"\r\nX-Forwarded-Proto: http\r\n",
            b"\r\nX-Forwarded-Host: h\r\n",
            b'\r\nForwarded: for=127.0.0.1;proto=http;host="h"\r\n',
        ),
        lacks=(b"6.6.6.6", b"forged", b"gopher"),
        nginx=Other(_HANDS_ON, holds=False),
    ),
    Case(
        "X-Moorage-* is ours to say, however it is written",
        client=(get("X-Moorage-User: root", "x-moorage-identity: root", "X_Moorage_User: root"),),
        lacks=(b"root",),
        nginx=Other("It does not know the platform.", holds=False),
    ),
    Case(
        "names with an underscore end here",
        client=(get("X_Forwarded_For: 6.6.6.6", "Content_Length: 5", "A_B: c", "X-Stays: 1"),),
        carries=(b"\r\nX-Stays: 1\r\n",),
        lacks=(b"6.6.6.6", b"Content_Length", b"A_B"),
    ),
    Case(
        "the platform's cookies end here, the app's own go on",
        client=(
            get(
                "Cookie: a=1; moorage_session=secret; b=2; __Host-moorage_session=secret",
                "Cookie: MOORAGE_APP=secret; c=3",
            ),
        ),
        carries=(b"\r\nCookie: a=1; b=2; c=3\r\n",),
        lacks=(b"secret", b"oorage_"),
        nginx=Other("It does not know the platform.", holds=False),
    ),
    Case(
        "an app does not set the platform's cookies",
        client=(get(),),
        app_says=(
            END_OF_HEAD,
            sized(
                b"ok",
                "Set-Cookie: moorage_session=forged; Path=/",
                "Set-Cookie: =moorage_session=forged",
                "Set-Cookie: own=1; Path=/; Domain=example.org",
            ),
        ),
        brings=(b"\r\nSet-Cookie: own=1; Path=/a/\r\n",),
        spares=(b"forged", b"example.org"),
        nginx=Other("It does not know the platform.", holds=False),
    ),
    Case(
        "an app does not speak for the whole host",
        client=(get(),),
        app_says=(
            END_OF_HEAD,
            sized(
                b"ok",
                "Strict-Transport-Security: max-age=1",
                "Clear-Site-Data: *",
                "Service-Worker-Allowed: /",
                "Alt-Svc: h3=x",
            ),
        ),
        spares=(b"Strict-", b"Clear-Site", b"Service-Worker", b"Alt-Svc"),
        nginx=Other("It does not know that apps share the host.", holds=False),
    ),
    Case(
        "lengths are passed on in one form",
        client=(post("content-length:   005  ", body=b"hello"),),
        app=("POST /a/",),
        carries=(b"\r\nContent-Length: 5\r\n",),
        brings=(b"|hello",),
    ),
    Case(
        "chunked is passed on in one form",
        client=(post("TRANSFER-ENCODING:  Chunked ", body=b"5\r\nhello\r\n0\r\n\r\n"),),
        app=("POST /a/",),
        carries=(b"\r\nTransfer-Encoding: chunked\r\n",),
        nginx=Other("It hands the word on as it came.", holds=False),
        brings=(b"|hello",),
    ),
    Case(
        "a request of HTTP/1.0 without Host goes on as one of HTTP/1.1 that has it",
        client=(b"GET /a/ HTTP/1.0\r\n\r\n",),
        says="200 closed",
        carries=(b"GET /a/ HTTP/1.1\r\n", b"\r\nHost: "),
    ),
    Case(
        "an answer's version is ours",
        client=(get(CLOSE),),
        app_says=(END_OF_HEAD, ok("Content-Length: 2", body=b"ok", version="1.0")),
        says="200 closed",
        brings=(b"HTTP/1.1 200 OK\r\n",),
    ),
)
