"""Passwords: what one must be like, and hashing that does not hold up the loop.

Hashes are argon2id (RFC 9106) in PHC form. A check costs the same whether or not there is a hash to
check against, so that time tells nobody which user names exist.
"""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from shared.errors import Invalid, Unavailable

MIN_LENGTH = 10
MAX_LENGTH = 1024
PARALLEL = 2
"""Each hash takes 64 MiB while it is computed."""
MAX_WAITING = 100

Result = TypeVar("Result")


def check_password(password: str, user: str) -> str:
    """Return a password that `user` may take, or raise `Invalid`."""
    if len(password) < MIN_LENGTH:
        raise Invalid(f"Choose a password of at least {MIN_LENGTH} characters.")
    if not is_hashable(password):
        raise Invalid(f"Choose a password of at most {MAX_LENGTH} ordinary characters.")
    if password.strip().lower() == user or len(set(password)) < 3:
        raise Invalid("This password is too easy to guess; choose another.")
    return password


def is_hashable(password: str) -> bool:
    """False for what nobody can have as a password: it is refused before any work is done."""
    if not 0 < len(password) <= MAX_LENGTH:
        return False
    return not any("\ud800" <= char <= "\udfff" for char in password)


class Hasher:
    """Hashes and verifies in threads, a few at a time."""

    def __init__(self, argon: argon2.PasswordHasher) -> None:
        self._argon = argon
        self._decoy = argon.hash(secrets.token_hex(16))
        self._slots = asyncio.Semaphore(PARALLEL)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash to store."""
        return await self._run(lambda: self._argon.hash(_normal(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `stored` was made of `password`; False, as slowly, when there is no `stored`."""
        matches = await self._run(lambda: self._matches(stored or self._decoy, password))
        return matches and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """True when the hash was made with other parameters than we use now."""
        return self._argon.check_needs_rehash(stored)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._argon.verify(stored, _normal(password))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many people are signing in at the moment; try again shortly.")
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _normal(password: str) -> str:
    """The same characters typed on different systems are the same password (RFC 8265, 4.2)."""
    return unicodedata.normalize("NFC", password)
