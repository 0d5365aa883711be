"""Who knocks: the address that the gateway saw."""

from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import Request

UNKNOWN = "unknown"


def client_address(request: Request) -> str:
    """The client's address as the gateway wrote it last into X-Forwarded-For.

    One household or machine has a whole /64 of IPv6, so that network counts as one address.
    """
    said = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        address = ip_address(said.strip("[]"))
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address.packed, 64), strict=False))
    return str(address)
