"""Is this a NATS server that keeps what it acknowledges?

Older servers silently ignore what they do not know (per-key expiry, several filters of a consumer),
so a version below the one we test with is refused. And with the default `sync_interval` a power
failure loses messages that were acknowledged up to two minutes before (Jepsen's analysis of NATS
2.12.1), so the server must run with `sync_interval: always`.

The server's own answer about its settings comes from the system account, which exports that one
request to the platform's account as `platform.server`.
"""

import orjson
from nats.aio.client import Client
from nats.errors import Error

MINIMUM = (2, 14)
SERVER_SUBJECT = "platform.server"


class UnsuitableServer(Exception):
    """A server that would lose what it acknowledges; the message says what to change."""


async def check_server(client: Client) -> None:
    """Raises `UnsuitableServer`."""
    version = client.connected_server_version
    if (version.major, version.minor) < MINIMUM:
        raise UnsuitableServer(
            f"This NATS server is {version.major}.{version.minor}; the platform needs "
            f"{MINIMUM[0]}.{MINIMUM[1]} or newer. Upgrade the server and start again."
        )
    if not await _syncs_always(client):
        raise UnsuitableServer(
            "This NATS server does not sync every write: set 'sync_interval: always' in its "
            "jetstream block and restart it, or acknowledged events are lost on a power failure."
        )


async def _syncs_always(client: Client) -> bool:
    try:
        reply = await client.request(SERVER_SUBJECT, b"", timeout=5)
    except Error as error:
        raise UnsuitableServer(
            f"This NATS server does not answer '{SERVER_SUBJECT}': export "
            "$SYS.REQ.SERVER.PING.VARZ from the system account under that name "
            "(docs/reference/configuration.md)."
        ) from error
    varz = orjson.loads(reply.data)
    config = varz.get("data", {}).get("jetstream", {}).get("config", {})
    return bool(config.get("sync_always"))
