import argon2
import pytest

from services.auth.passwords import Hasher, check_password, is_hashable
from shared.errors import Invalid

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Counting(argon2.PasswordHasher):
    """Counts verifications."""

    verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.verified += 1
        return super().verify(hash, password)


@pytest.mark.parametrize("password", ["", "short", "123456789"])
def test_a_short_password_is_refused(password: str) -> None:
    with pytest.raises(Invalid, match="at least 10 characters"):
        check_password(password, "ann")


@pytest.mark.parametrize("password", ["aaaaaaaaaaaa", "abababababab", "ann.example"])
def test_an_obvious_password_is_refused(password: str) -> None:
    with pytest.raises(Invalid, match="too easy"):
        check_password(password, "ann.example")


@pytest.mark.parametrize("password", ["x1y" * 400, "with a \ud800 surrogate"])
def test_what_cannot_be_hashed_is_refused(password: str) -> None:
    with pytest.raises(Invalid, match="at most"):
        check_password(password, "ann")
    assert not is_hashable(password)


def test_an_ordinary_password_is_taken() -> None:
    assert check_password("correct horse", "ann") == "correct horse"


async def test_a_hash_verifies_its_password_alone() -> None:
    hasher = Hasher(CHEAP)
    stored = await hasher.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await hasher.verify(stored, "correct horse")
    assert not await hasher.verify(stored, "correct horsf")
    assert not await hasher.verify("no hash at all", "correct horse")


async def test_the_same_letters_typed_another_way_are_the_same_password() -> None:
    hasher = Hasher(CHEAP)
    assert await hasher.verify(
        await hasher.hash("Z\u00fcrich Z\u00fcrich"), "Zu\u0308rich Zu\u0308rich"
    )


async def test_an_unknown_user_costs_one_verification_too() -> None:
    counting = Counting(time_cost=1, memory_cost=8, parallelism=1)
    assert not await Hasher(counting).verify(None, "correct horse")
    assert counting.verified == 1


async def test_a_hash_of_weaker_parameters_is_outdated() -> None:
    weak = await Hasher(CHEAP).hash("correct horse")
    assert Hasher(argon2.PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)).is_outdated(
        weak
    )
    assert not Hasher(CHEAP).is_outdated(weak)
