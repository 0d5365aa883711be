"""Which user an app runs as: one of its own, where the platform may give it one."""

import hashlib
import os

FIRST_UID, UIDS = 200_000, 50_000
"""Users of apps where the platform runs as root: one for each, none of them in /etc/passwd."""


def uid_of(app: str) -> int:
    """User and group of an app; the platform's own user where that is not root."""
    if os.geteuid():
        return os.geteuid()
    return FIRST_UID + int.from_bytes(hashlib.sha256(app.encode()).digest()[:4]) % UIDS
