"""Settings of the portal."""

from pathlib import Path

from shared.settings import Settings


class PortalSettings(Settings):
    """What the portal needs beyond every process."""

    openapi_file: Path = Path(__file__).parent / "openapi.json"
    """The platform's OpenAPI document, merged from every service's own by `deploy/generate.py`."""
    activity_days: int = 30
