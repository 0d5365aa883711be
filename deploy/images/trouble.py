"""What went wrong, out of what a program said of it, in one sentence."""

import re
from pathlib import Path

from shared.errors import Unavailable

_KNOWN = (
    (
        re.compile(r"no space left on device|enough free space", re.IGNORECASE),
        "the disk is full; make room and try again",
    ),
    (
        re.compile(
            r"Could not resolve|Temporary failure resolving|Could not connect|Unable to connect|"
            r"Connection (?:failed|refused|timed out)|dns error|error sending request|"
            r"Failed to fetch|failed to lookup address",
            re.IGNORECASE,
        ),
        "the server that has them is not reached; MOORAGE_DEBIAN_MIRROR, UV_DEFAULT_INDEX and the "
        "proxies say where to look",
    ),
    (
        re.compile(r"certificate verif\w+|UnknownIssuer|self.signed certificate", re.IGNORECASE),
        "a certificate is signed by an authority that is not trusted here; name its file in "
        "MOORAGE_CA_FILE",
    ),
    (
        re.compile(r"newuidmap|/etc/subuid|cannot unshare|unshare.*not permitted", re.IGNORECASE),
        "mmdebstrap needs root, or 'uidmap' and a line for you in /etc/subuid and /etc/subgid",
    ),
)
_SAYS = re.compile(r"^(?:E:|error:)\s*(.+)$", re.IGNORECASE | re.MULTILINE)


def explained(what: str, log: Path) -> Unavailable:
    """The error to raise; `what` says what was not done, `log` has all that was said of it."""
    text = log.read_text(errors="replace")
    for pattern, sentence in _KNOWN:
        if pattern.search(text):
            return Unavailable(f"{what}: {sentence} (all that was said: {log}).")
    said = _SAYS.findall(text)
    reason = " ".join(said[0].split())[:200] if said else "it does not say why"
    return Unavailable(f"{what}: {reason.rstrip('.')} (all that was said: {log}).")
