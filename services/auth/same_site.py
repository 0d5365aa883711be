"""Forms that another site sends in somebody's name are refused.

Otherwise a page elsewhere could sign its reader out, or into the account of its author.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from shared.errors import Forbidden


def check_same_origin(request: Request) -> None:
    """Raise `Forbidden` for a form of another origin.

    Browsers say where a request comes from in Sec-Fetch-Site (W3C Fetch Metadata), older ones only
    in Origin (RFC 6454); what sends neither is no browser that carries somebody's cookie.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
    if foreign:
        raise Forbidden("This form was sent by another site; open the sign-in page itself.")
