"""The first administrator, made when there is nobody yet."""

from pathlib import Path
from typing import Any

from services.auth import store
from services.auth.passwords import Hasher, check_password
from services.auth.tokens import add_token, is_token
from shared.database import Database
from shared.logs import get_logger

logger = get_logger(__name__)

ADMIN = "admin"


async def make_first_admin(
    database: Database, hasher: Hasher, password_file: Path | None, token_file: Path | None
) -> bool:
    """Make `admin` with the password and the API token of these files; True if it was needed.

    Raises `RuntimeError` when a file is missing or holds no token, `Invalid` for a weak password.
    """
    if not await store.nobody_exists(database):
        return False
    if password_file is None:
        logger.error(
            "there is no user yet: set MOORAGE_ADMIN_PASSWORD_FILE to a file with the first "
            "administrator's password and start again"
        )
        return False
    password = check_password(_read(password_file), ADMIN)
    token = _read_token(token_file) if token_file else None
    hashed = await hasher.hash(password)
    async with database.transaction() as tx:
        await store.lock_people(tx)
        if not await store.nobody_exists(tx):
            return False
        await _add(tx, hashed, token)
    logger.info("first administrator made", extra={"user": ADMIN})
    return True


async def _add(tx: Any, hashed: str, token: str | None) -> None:
    row = {
        "name": ADMIN,
        "email": "",
        "display_name": "Administrator",
        "role": "admin",
        "groups": [],
    }
    await store.add_person(tx, row, hashed)
    if token:
        await add_token(tx, ADMIN, token, "first token", ["all"], None)


def _read_token(path: Path) -> str:
    text = _read(path)
    if not is_token(text):
        raise RuntimeError(f"{path} holds no API token (mrg_ and 43 characters of base64url).")
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RuntimeError(f"The file {path} for the first administrator: {error}.") from error
