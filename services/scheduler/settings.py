"""What an operator may set for the scheduler."""

from shared.docker.settings import DockerSettings
from shared.settings import Settings


class SchedulerSettings(DockerSettings, Settings):
    """Settings of the scheduler; times in seconds."""

    engine: str = "process"
    """The engine that runs instances, by its registered name."""
    health_timeout: float = 60.0
    """How long a new instance may take until it answers its health check."""
    stop_grace: float = 30.0
    """Between SIGTERM and SIGKILL (as Heroku and Kubernetes have it)."""
    rollouts: int = 4
    """Rollouts that this process works on at a time, each of another app."""
    releases_kept: int = 20
    """The last releases of each app whose images are kept, so that they can be rolled back to."""
    image_hours: float = 24.0
    """How long an image, or an environment, is kept that nothing needs."""
    memory_limit_mb: int | None = 2048
    """Memory of one instance; none: unlimited."""
    cpu_limit: float | None = None
    """CPUs of one instance; none: unlimited."""
    process_limit: int | None = 256
    open_files_limit: int | None = 4096
