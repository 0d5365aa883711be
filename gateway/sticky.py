"""Browsers that stay with one instance, for apps that keep a session in their process."""

import hashlib

from gateway.cookies import CookieNames, set_cookie


def mark(instance: str) -> bytes:
    """What the cookie says of an instance."""
    return hashlib.sha256(instance.encode()).hexdigest()[:16].encode()


def cookie(names: CookieNames, instance: str, app: str, secure: bool) -> bytes:
    """The Set-Cookie line that keeps a browser with `instance`."""
    return set_cookie(names.instance, mark(instance), b"/%b/" % app.encode(), secure)
