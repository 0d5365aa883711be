"""What a Procfile starts and we do not know: the prefix is kept and any answer proves life."""

from services.builder.detect.plan import Framework, Health

FRAMEWORK = Framework(
    kind="custom",
    title="Custom",
    distribution=None,
    prefix_mode="keep",
    prefix_env={"FORWARDED_ALLOW_IPS": "*"},
    health=Health("/{app}/"),
)
