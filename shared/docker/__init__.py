"""Docker's engine, as far as the scheduler and the builder both need it.

The scheduler runs apps in containers, the builder installs packages in containers; both lock them
in the same way, name what they make after the platform, and keep it from the host's network.
"""
