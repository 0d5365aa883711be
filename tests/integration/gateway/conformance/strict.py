"""Cases of requests that parsers disagree about: they are refused, not passed on."""

from tests.integration.gateway.conformance.case import CHUNKED, Case, Other, get, post

_HIDDEN = get(path="/a/hidden")
_SAME = None


def _refused(
    name: str, request: bytes, nginx: Other | None = _SAME, status: int = 400, says: str = ""
) -> Case:
    """Answered once, closed, and nothing of it reaches the app."""
    return Case(name, client=(request,), says=says or f"{status} closed", app=(), nginx=nginx)


def _taken(why: str, *app: str, says: str = "200", holds: bool = True) -> Other:
    """nginx takes it."""
    return Other(why, says=says, app=app or ("GET /a/",), holds=holds)


_POST = "POST /a/"

FRAMING = (
    _refused(
        "Content-Length with Transfer-Encoding",
        post("Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG" + _HIDDEN),
    ),
    _refused(
        "Transfer-Encoding with Content-Length",
        post(CHUNKED, "Content-Length: 6", body=b"0\r\n\r\nG" + _HIDDEN),
    ),
    _refused(
        "two lengths that differ",
        post("Content-Length: 0", "Content-Length: 44", body=_HIDDEN),
    ),
    _refused(
        "two lengths that agree",
        post("Content-Length: 5", "Content-Length: 5", body=b"hello"),
    ),
    _refused("a list of lengths", post("Content-Length: 5, 5", body=b"hello")),
    _refused("a length with a sign", post("Content-Length: +5", body=b"hello")),
    _refused("a negative length", post("Content-Length: -5", body=b"hello")),
    _refused("a hexadecimal length", post("Content-Length: 0x5", body=b"hello")),
    _refused("a length with a fraction", post("Content-Length: 5.0", body=b"hello")),
    _refused("an empty length", post("Content-Length:", body=b"hello")),
    _refused("a length of twenty digits", post("Content-Length: " + "9" * 20, body=b"hello")),
    _refused("chunked in HTTP/1.0", post(CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n", version="1.0")),
    _refused("chunked twice", post(CHUNKED, CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n")),
    _refused(
        "chunked, and something else",
        post("Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
        status=501,
    ),
    _refused("a coding that nobody knows", post("Transfer-Encoding: xchunked"), status=501),
    _refused(
        "a coding with a vertical tab",
        post("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
        nginx=Other("It calls that a coding nobody knows.", says="501 closed"),
    ),
    _refused(
        "Connection names Content-Length",
        post("Connection: close, Content-Length", "Content-Length: 5", body=b"hello"),
        _taken("It does not drop what Connection names.", _POST, says="200 closed"),
    ),
)


def _chunks(name: str, body: bytes, nginx: Other | None = _SAME) -> Case:
    return Case(
        name,
        client=(post(CHUNKED, body=body),),
        says="400 closed",
        app=(),
        nginx=nginx,
    )


CHUNKS = (
    _chunks("a chunk size that is no number", b"zz\r\nhello\r\n0\r\n\r\n"),
    _chunks("a chunk size with a sign", b"+5\r\nhello\r\n0\r\n\r\n"),
    _chunks("a chunk size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    _chunks("no chunk size", b"\r\nhello\r\n0\r\n\r\n"),
    _chunks("a chunk size beyond all numbers", b"F" * 17 + b"\r\nhello\r\n0\r\n\r\n"),
    _chunks("a chunk size with a space before it", b" 5\r\nhello\r\n0\r\n\r\n"),
    _chunks(
        "a chunk size that ends with LF",
        b"5\nhello\r\n0\r\n\r\n",
        nginx=_taken("It takes LF for CRLF.", "POST /a/"),
    ),
    _chunks(
        "a chunk that ends with LF",
        b"5\r\nhello\n0\r\n\r\n",
        nginx=_taken("It takes LF for CRLF.", "POST /a/"),
    ),
    _chunks("a chunk longer than its size", b"5\r\nhello, world\r\n0\r\n\r\n"),
    _chunks("an extension with a bare LF in it", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    _chunks("an extension with a bare CR in it", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    _chunks(
        "an extension with a NUL in it",
        b"5;a\0\r\nhello\r\n0\r\n\r\n",
        nginx=_taken("It skips extensions.", "POST /a/"),
    ),
    _chunks(
        "an extension of a megabyte",
        b"5;" + b"x" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n",
        nginx=_taken("It skips extensions, however long.", "POST /a/"),
    ),
    _chunks(
        "a trailer that is no header",
        b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
        nginx=_taken("It skips trailers.", "POST /a/"),
    ),
    _chunks(
        "a trailer that ends with LF",
        b"5\r\nhello\r\n0\r\nX: y\n\r\n",
        nginx=_taken("It takes LF for CRLF.", "POST /a/"),
    ),
    _chunks(
        "trailers without end",
        b"0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        nginx=_taken("It skips trailers, however long.", "POST /a/"),
    ),
)

LINES = (
    _refused("a folded line", get("X-A: b\r\n c")),
    _refused("a line folded with a tab", get("X-A: b\r\n\tc")),
    _refused("a first header line that is folded", b"GET /a/ HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n"),
    _refused("a space before the colon", get("X-A : b")),
    _refused(
        "a space before the colon of Transfer-Encoding",
        post("Transfer-Encoding : chunked", body=b"0\r\n\r\n" + _HIDDEN),
    ),
    _refused("a header without a name", get(": b")),
    _refused("a line without a colon", get("nonsense"), nginx=_taken("It leaves such lines out.")),
    _refused(
        "a name with a byte that names do not have",
        get("X(A): b"),
        nginx=_taken("It leaves such lines out."),
    ),
    _refused(
        "a name that is not ASCII", get("X\xe4: b"), nginx=_taken("It leaves such lines out.")
    ),
    _refused("a NUL in a value", get("X-A: b\0c")),
    _refused(
        "a control character in a value",
        get("X-A: b\x01c"),
        nginx=_taken("It hands on all but NUL, CR and LF."),
    ),
    _refused(
        "DEL in a value", get("X-A: b\x7fc"), nginx=_taken("It hands on all but NUL, CR and LF.")
    ),
    _refused("a bare CR in a value", get("X-A: b\rX-C: d")),
    _refused(
        "a bare LF after a header", get("X-A: b\nX-C: d"), nginx=_taken("It takes LF for CRLF.")
    ),
    _refused(
        "bare LFs everywhere",
        b"GET /a/ HTTP/1.1\nHost: h\n\n",
        nginx=_taken("It takes LF for CRLF."),
    ),
    _refused(
        "a bare LF after the request line",
        b"GET /a/ HTTP/1.1\nHost: h\r\n\r\n",
        nginx=_taken("It takes LF for CRLF."),
    ),
    _refused("bare CRs for line ends", b"GET /a/ HTTP/1.1\rHost: h\r\r\n\r\n"),
    _refused(
        "an empty line before the request",
        b"\r\n" + get(),
        nginx=_taken("It skips empty lines, as it may."),
    ),
    _refused(
        "a value of 70,000 bytes",
        get("X-A: " + "y" * 70_000),
        status=431,
        nginx=Other("It calls that a bad request.", says="400 closed"),
    ),
    _refused(
        "a head of 70,000 bytes",
        get(*["X-A: yyyyyyyyyyyy"] * 4000),
        status=431,
        nginx=Other("It calls that a bad request.", says="400 closed"),
    ),
    _refused(
        "three hundred headers",
        get(*["X: y"] * 300),
        status=431,
        nginx=_taken("It counts bytes alone."),
    ),
    _refused(
        "a target of 70,000 bytes",
        get(path="/a/" + "y" * 70_000),
        status=431,
        nginx=Other("It has a status for that.", says="414 closed"),
    ),
)

TARGETS = (
    _refused(
        "no version",
        b"GET /a/\r\nHost: h\r\n\r\n",
        nginx=Other("It answers in HTTP/0.9.", says="garbled", app=("GET /a/",)),
    ),
    _refused(
        "HTTP/2.0", get(version="2.0"), nginx=Other("It has a status for that.", says="505 closed")
    ),
    _refused("HTTP/1.2", get(version="1.2"), nginx=_taken("It takes it for HTTP/1.1, as it may.")),
    _refused("a method in lower case", b"get /a/ HTTP/1.1\r\nHost: h\r\n\r\n"),
    _refused("a version in lower case", b"GET /a/ http/1.1\r\nHost: h\r\n\r\n"),
    _refused(
        "two spaces", b"GET  /a/ HTTP/1.1\r\nHost: h\r\n\r\n", nginx=_taken("It skips spaces.")
    ),
    _refused("a tab", b"GET\t/a/\tHTTP/1.1\r\nHost: h\r\n\r\n"),
    _refused(
        "a space behind the version",
        b"GET /a/ HTTP/1.1 \r\nHost: h\r\n\r\n",
        nginx=_taken("It skips spaces."),
    ),
    _refused("a space in the target", get(path="/a/b c")),
    _refused(
        "a fragment",
        get(path="/a/#x"),
        nginx=_taken("It hands the target on as it came.", "GET /a/#x"),
    ),
    _refused(
        "a target that is not ASCII",
        get(path="/a/\xe4"),
        nginx=Other("It hands the target on as it came.", says="502", app=("not HTTP",)),
    ),
    _refused("a control character in the target", get(path="/a/\x01")),
    _refused("a target without a slash", get(path="a/")),
    _refused("a method with a byte that methods do not have", get(method="G(T")),
    _refused(
        "CONNECT",
        get(method="CONNECT", path="h:80"),
        status=405,
        nginx=Other("It calls that a bad request.", says="400 closed"),
    ),
    _refused("TRACE", get(method="TRACE"), status=405),
    _refused("no Host", b"GET /a/ HTTP/1.1\r\n\r\n"),
    _refused("an empty Host", b"GET /a/ HTTP/1.1\r\nHost:\r\n\r\n"),
    _refused("two Hosts", get("Host: other")),
    _refused("a Host that is no host", b"GET /a/ HTTP/1.1\r\nHost: h/x\r\n\r\n"),
    _refused(
        "a Host with user information",
        b"GET /a/ HTTP/1.1\r\nHost: me@h\r\n\r\n",
        nginx=_taken("It looks for bytes that are never good, not for a host name."),
    ),
    _refused("a Host with a list", b"GET /a/ HTTP/1.1\r\nHost: h, other\r\n\r\n"),
    Case(
        "the absolute form that agrees with Host",
        client=(get(path="http://h/a/"),),
        carries=(b"GET /a/ HTTP/1.1\r\n",),
    ),
    _refused(
        "the absolute form that does not agree with Host",
        get(path="http://other/a/"),
        nginx=_taken("The target counts, Host does not."),
    ),
    _refused("the absolute form with user information", get(path="http://me@h/a/")),
    _refused(
        "the absolute form of another scheme",
        get(path="ftp://h/a/"),
        nginx=_taken("The target counts, Host does not."),
    ),
    _refused(
        "..",
        get(path="/a/../b/"),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /a/../b/"
        ),
    ),
    _refused(
        ".. at the end",
        get(path="/a/.."),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /a/.."
        ),
    ),
    _refused(
        "a single dot",
        get(path="/./a/"),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /./a/"
        ),
    ),
    _refused(
        "an encoded ..",
        get(path="/a/%2e%2E/b/"),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /a/%2e%2E/b/"
        ),
    ),
    _refused(
        "a half encoded ..",
        get(path="/a/.%2e/b/"),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /a/.%2e/b/"
        ),
    ),
    _refused(
        "an encoded slash in the first segment",
        get(path="/a%2fb/"),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /a%2fb/"
        ),
    ),
    _refused(
        "an encoded backslash in the first segment",
        get(path="/a%5cb/"),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /a%5cb/"
        ),
    ),
    _refused(
        "a backslash in the first segment",
        get(path="/a\\b/"),
        nginx=_taken(
            "It chooses by the resolved path and hands on the one that came.", "GET /a\\b/"
        ),
    ),
    _refused("an encoded NUL in the first segment", get(path="/a%00/")),
    Case(
        "an encoded slash further on goes on as it is",
        client=(get(path="/a/b%2Fc"),),
        app=("GET /a/b%2Fc",),
    ),
    Case(
        "percent signs, dots in names and a query go on as they are",
        client=(get(path="/a/%41%zz/.x/y..z?q=%2e%2e/../&&"),),
        app=("GET /a/%41%zz/.x/y..z?q=%2e%2e/../&&",),
        nginx=Other(
            "It decodes paths, so it refuses what it cannot decode.", says="400 closed", app=()
        ),
    ),
    Case(
        "two slashes go on as they are",
        client=(get(path="/a//b//"),),
        app=("GET /a//b//",),
    ),
    Case(
        "an unknown method goes on",
        client=(get(method="PURGE"),),
        app=("PURGE /a/",),
    ),
)
