"""The head of an answer as the client gets it, and how its body is framed."""

from gateway.bodies import Body, ChunkedBody, LengthBody, UnboundedBody
from gateway.cookies import of_host, of_path
from gateway.door import Forward
from gateway.requests import Request
from gateway.responses import Response

# Only an app's own pages may frame it, and windows of apps that share an origin do not hold on to
# each other.
_DOCUMENT = b"Content-Security-Policy: frame-ancestors 'self'\r\n"
_SHARED_DOCUMENT = _DOCUMENT + b"Cross-Origin-Opener-Policy: noopener-allow-popups\r\n"


def framing(request: Request, response: Response) -> tuple[bytes, Body | None]:
    """The header that frames the answer, and its body; None if it has none (RFC 9112, 6.3)."""
    fields, status = response.fields, response.status
    if status == 204:
        return b"", None
    length = fields.length_line
    if request.method == b"HEAD" or status == 304:
        return length, None
    if fields.chunked:
        if request.minor == 0:
            return b"", ChunkedBody(plain=True)
        return b"Transfer-Encoding: chunked\r\n", ChunkedBody()
    if fields.length is None:
        return b"", UnboundedBody()
    return length, LengthBody(fields.length) if fields.length else None


def start(forward: Forward, response: Response) -> bytes:
    """The status line and what goes on of the header block, without framing."""
    kind = 0 if forward.route is None else 1 if forward.shared else 2
    text = response.starts[kind] or _form(response, kind)
    if kind and response.fields.cookies:
        text += _cookies(forward, response.fields.cookies)
    return text + forward.cookie if forward.cookie else text


def _form(response: Response, kind: int) -> bytes:
    fields = response.fields
    kept = (fields.from_platform, fields.from_path, fields.from_app)[kind]
    if kind and fields.html:
        kept += _SHARED_DOCUMENT if kind == 1 else _DOCUMENT
    text = b"HTTP/1.1 %d %b\r\n%b" % (response.status, response.reason, kept)
    response.starts[kind] = text
    return text


def _cookies(forward: Forward, lines: tuple[bytes, ...]) -> bytes:
    if forward.route is None or not forward.shared:
        return b"".join(of_host(line) + b"\r\n" for line in lines)
    prefix = b"/%b/" % forward.route.app.encode()
    return b"".join(of_path(line, prefix) + b"\r\n" for line in lines)
