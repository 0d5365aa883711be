"""Where the parts of the data path meet, from what the table and the settings say."""

from math import inf

from gateway.arrival import Trusted
from gateway.door import Door
from gateway.gate import Gate, Ready
from gateway.identity import IdentityHeaders, Visitors
from gateway.ledger import Ledger
from gateway.origins import Origins
from gateway.ownkey import OwnKey
from gateway.passes import Passes
from gateway.pools import Pools
from gateway.settings import GatewaySettings
from gateway.table import Table
from gateway.turnstile import Defaults, Turnstile


def lay(
    settings: GatewaySettings, table: Table, key: OwnKey, pools: Pools, ready: Ready, ledger: Ledger
) -> Gate:
    """The gate that connections come to."""
    origins = Origins(
        settings.public_url, settings.platform_host, settings.apps_host, settings.apps_domain
    )
    passes = Passes(table, key)
    return Gate(
        table=table,
        door=Door(table, origins, passes, Visitors(table), IdentityHeaders(key)),
        pools=pools,
        ready=ready,
        scheme=origins.scheme,
        trusted=Trusted(settings.trusted_proxies.split(",")),
        turnstile=Turnstile(
            Defaults(
                concurrent=settings.app_concurrent or None,
                body_bytes=settings.app_body_bytes or None,
                answer_seconds=settings.app_answer_seconds or inf,
                idle_seconds=settings.app_idle_seconds or inf,
                rate=settings.app_rate or None,
                burst=settings.app_burst or None,
            )
        ),
        ledger=ledger,
    )
