from pathlib import Path

import pytest

from services.auth.sealing import Seal
from shared.identity import new_key


def seal(tmp_path: Path, digits: str) -> Seal:
    path = tmp_path / "auth-key"
    path.write_text(digits)
    return Seal.from_file(path)


def test_what_is_closed_opens_again_and_shows_nothing(tmp_path: Path) -> None:
    sealer, jwk = seal(tmp_path, "ab" * 32 + "\n"), new_key()
    sealed = sealer.close(jwk)
    assert sealer.open(jwk["kid"], sealed) == jwk
    assert jwk["d"].encode() not in sealed
    assert sealed != sealer.close(jwk)


def test_another_key_or_another_row_does_not_open_it(tmp_path: Path) -> None:
    jwk = new_key()
    sealed = seal(tmp_path, "ab" * 32).close(jwk)
    with pytest.raises(RuntimeError, match="MOORAGE_AUTH_KEY_FILE"):
        seal(tmp_path, "cd" * 32).open(jwk["kid"], sealed)
    with pytest.raises(RuntimeError):
        seal(tmp_path, "ab" * 32).open("another", sealed)


@pytest.mark.parametrize("digits", ["", "ab" * 31, "xy" * 32])
def test_a_wrong_key_file_is_named(tmp_path: Path, digits: str) -> None:
    with pytest.raises(RuntimeError, match="auth-key"):
        seal(tmp_path, digits)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nowhere"):
        Seal.from_file(tmp_path / "nowhere")
