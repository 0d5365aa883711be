"""The certificates of a site's own authorities, which every image is to trust.

A site that looks into its TLS connections, or signs its own servers, has such an authority; without
it nothing can be fetched there, in a build or by an app.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.errors import Invalid

ADDED = ("usr/local/share/ca-certificates/**/*.crt", "etc/pki/ca-trust/source/anchors/*")
"""Where an administrator adds authorities to a machine, on Debian and on Red Hat's systems."""
SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""What the system makes of them and of its own: images have the like themselves."""
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)


def of_site(
    ca_file: Path | None, environ: Mapping[str, str], root: Path = Path("/")
) -> dict[str, bytes]:
    """File names and certificates (PEM), one in each file, as update-ca-certificates wants it."""
    if ca_file:
        return _split([_readable(ca_file)])
    named = environ.get("SSL_CERT_FILE") or environ.get("PIP_CERT") or ""
    if named and named not in SYSTEM:
        return _split([_readable(Path(named))])
    return _split(file.read_text() for pattern in ADDED for file in sorted(root.glob(pattern)))


def _readable(file: Path) -> str:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"The certificates in {file} cannot be read: {error}.") from error
    if not _CERTIFICATE.search(text):
        raise Invalid(f"There is no certificate in {file}; it has to be PEM.")
    return text


def _split(texts: Iterable[str]) -> dict[str, bytes]:
    found = (match.encode() + b"\n" for text in texts for match in _CERTIFICATE.findall(text))
    return {f"site-{hashlib.sha256(one).hexdigest()[:16]}.crt": one for one in found}
