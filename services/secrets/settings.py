"""Settings of the secrets service."""

from pathlib import Path

from shared.settings import Settings


class SecretsSettings(Settings):
    """Where the store answers and how we sign in to it."""

    vault_address: str
    """"https://host:port" of OpenBao or another server with the same API."""
    vault_ca_file: Path | None = None
    vault_role_file: Path
    """JSON {"role_id", "secret_id"} of the AppRole with the policy in `policy.hcl`."""
    vault_timeout: float = 5.0
    """Seconds after which a slow store counts as away."""
    secrets_repair_seconds: float = 5.0
    """How often changes and removals that were cut short are finished."""
