"""Where the parts of the auth service meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from argon2 import PasswordHasher

from services.auth import store
from services.auth.access import Access
from services.auth.api import Parts, application
from services.auth.attempts import Attempts
from services.auth.bootstrap import make_first_admin
from services.auth.copies import copies
from services.auth.handlers import HANDLERS
from services.auth.housekeeping import keep_house
from services.auth.keys import Keys
from services.auth.passwords import Hasher
from services.auth.people import People
from services.auth.sealing import Seal
from services.auth.sessions import Sessions
from services.auth.settings import AuthSettings
from services.auth.sign_in import SignIn
from services.auth.tokens import Tokens
from shared.bus.copies import Copies
from shared.identity import Callers
from shared.process import Ground, Service


@asynccontextmanager
async def build(ground: Ground) -> AsyncIterator[Service]:
    """The auth service: with keys and a first administrator before it says that it is ready."""
    yield await assemble(ground, Hasher(PasswordHasher()))


async def assemble(ground: Ground, hasher: Hasher) -> Service:
    """The parts put together around a way to hash passwords."""
    settings: AuthSettings = ground.settings
    database = ground.database
    seal = Seal.from_file(settings.auth_key_file)
    keys = Keys(database, seal, settings.key_seconds, settings.session_seconds)
    await keys.ensure()
    await make_first_admin(
        database, hasher, settings.admin_password_file, settings.admin_token_file
    )

    attempts = Attempts(database)
    copied = Copies(
        database,
        store.CHANNEL,
        copies(database, ground.bus, keys),
        ground.bus.ensure_topology,
        settings.auth_compare_seconds,
    )
    ground.bus.on_reconnect(copied.compare_soon)
    callers = Callers(ground.bus.bucket("signing-keys"))
    secure = settings.public_url.startswith("https://")
    parts = Parts(
        sign_in=SignIn(database, hasher, attempts),
        sessions=Sessions(database, keys, settings.session_seconds, secure),
        keys=keys,
        people=People(database, hasher),
        tokens=Tokens(database),
        access=Access(database),
        login_token_days=settings.auth_login_token_days,
    )
    return Service(
        api=application(parts, callers),
        handlers=HANDLERS,
        duties=[
            copied.follow,
            callers.watch,
            keys.keep_fresh,
            partial(keep_house, database, attempts),
        ],
    )
