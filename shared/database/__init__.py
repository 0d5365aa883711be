"""PostgreSQL, the truth of the platform: pool, migrations, leases, outbox and inbox."""

from shared.database.pool import Database

__all__ = ["Database"]
