"""Settings of the builder."""

from shared.docker.settings import DockerSettings
from shared.settings import Settings


class BuilderSettings(DockerSettings, Settings):
    """What a build may take. Where packages come from is uv's own environment (`uv.py`)."""

    engine: str = "process"
    """The engine that images are for, by its registered name."""
    builder_concurrency: int = 2
    """Builds that one builder runs at a time."""
    builder_poll_seconds: float = 2.0
    """How often the queue is looked at, were no notification ever to arrive."""
    builder_timeout_seconds: float = 1800.0
    """The longest that one build may take."""
    builder_tidy_seconds: float = 30.0
    """How often what dead builders left behind is looked for."""
    builder_memory_mb: int = 8192
    """Address space of each child process of a build; memory of each container of a build."""
    builder_disk_mb: int = 8192
    """The most that a container of a build may write."""
    builder_cpu: float | None = None
    """CPUs of each container of a build; none: unlimited."""
    builder_source_mb: int = 2048
    """The most that a repository may hold, unpacked."""
    builder_source_files: int = 100_000
    """The most files and folders that a repository may hold."""
    builder_sandbox_uid: int = 61001
    """The user and group that foreign code runs as when the builder itself runs as root."""
