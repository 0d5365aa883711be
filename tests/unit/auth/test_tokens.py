import hashlib

import pytest

from services.auth.tokens import check_scopes, digest, is_token, may_hand_on, new_text
from shared.errors import Invalid


def test_a_token_has_the_prefix_and_43_characters() -> None:
    text = new_text()
    assert text.startswith("mrg_")
    assert len(text) == 47
    assert is_token(text)
    assert text != new_text()


@pytest.mark.parametrize(
    "text", ["", "mrg_", "mrg_" + "x" * 42, "xyz_" + "x" * 43, "mrg_" + "!" * 43]
)
def test_other_texts_are_no_tokens(text: str) -> None:
    assert not is_token(text)


def test_its_digest_is_the_sha256_that_the_gateway_computes() -> None:
    assert digest("mrg_abc") == hashlib.sha256(b"mrg_abc").hexdigest()


def test_scopes_are_sorted_and_all_swallows_the_rest() -> None:
    assert check_scopes(["write", "open", "write"]) == ["open", "write"]
    assert check_scopes(["read", "all"]) == ["all"]


@pytest.mark.parametrize("scopes", [[], ["admin"], ["read", ""]])
def test_unknown_scopes_are_refused(scopes: list[str]) -> None:
    with pytest.raises(Invalid, match="scopes open, read, write, all"):
        check_scopes(scopes)


@pytest.mark.parametrize(
    ("held", "wanted", "allowed"),
    [
        (["all"], ["all"], True),
        (["write"], ["read", "write"], True),
        (["write"], ["all"], False),
        (["write"], ["open"], False),
        (["read"], ["write"], False),
        ([], ["read"], False),
    ],
)
def test_a_token_hands_on_no_more_than_it_has(
    held: list[str], wanted: list[str], allowed: bool
) -> None:
    assert may_hand_on(held, wanted) is allowed
