"""The environment variables that an instance starts with."""

from collections.abc import Mapping
from typing import Any


def environment_of(
    instance: Any,
    prefix_env: Mapping[str, str],
    values: Mapping[str, str],
    public_url: str,
    bind: str,
) -> dict[str, str]:
    """What the platform sets, then the app's own config, which may override none of it.

    `instance` is a row; `prefix_env` maps variables to templates with {app}, {port} and {host},
    the latter being the address to listen on, `bind`.
    """
    app, port = instance["app"], instance["port"]
    address = {"app": app, "port": port or "", "host": bind}
    ours = {name: template.format(**address) for name, template in prefix_env.items()}
    ours |= {
        "HOST": bind,
        "MOORAGE_APP": app,
        "MOORAGE_INSTANCE": instance["instance"],
        "MOORAGE_RELEASE": str(instance["release"]),
        "MOORAGE_URL": f"{public_url}/{app}/",
        "PYTHONUNBUFFERED": "1",
        # Only the gateway reaches an instance, and it overwrites what clients send of these.
        "FORWARDED_ALLOW_IPS": "*",
    }
    if port is not None:
        ours["PORT"] = str(port)
    return {**values, **ours}
