"""Settings of git_ingest."""

from pydantic import ByteSize

from shared.settings import Settings

MEBIBYTE = 1024 * 1024


class GitIngestSettings(Settings):
    """Sizes are in bytes, or text like "512MiB"; times are in seconds."""

    max_push: ByteSize = ByteSize(512 * MEBIBYTE)
    """The most that one push may send."""
    max_source: ByteSize = ByteSize(2048 * MEBIBYTE)
    """The most that the pushed files may take when they are unpacked."""
    max_files: int = 50_000
    max_transfers: int = 64
    """Pushes and clones at the same time; a push counts until it is live."""
    push_timeout: float = 1800.0
    """How long a push is held open before it is given up."""
    superseded_grace: float = 5.0
    """How long a superseded push waits to learn whether it went live after all."""
    keep_sources_days: float = 7.0
    """How long a source stays in the object store after the last push that used it."""
