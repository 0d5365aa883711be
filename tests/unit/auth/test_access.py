import pytest

from services.auth.access import checked
from shared.errors import Invalid
from shared.events.catalogue import Grant


def grant(kind: str, name: str, role: str = "viewer") -> Grant:
    return Grant.model_validate({"kind": kind, "name": name, "role": role})


def test_a_user_and_a_group_may_share_a_name() -> None:
    rows = checked([grant("user", "sales"), grant("group", "sales", "owner")])
    assert rows == [
        {"kind": "user", "name": "sales", "role": "viewer"},
        {"kind": "group", "name": "sales", "role": "owner"},
    ]


def test_nobody_is_named_twice() -> None:
    with pytest.raises(Invalid, match="name it once"):
        checked([grant("user", "ann"), grant("user", "ann", "owner")])


@pytest.mark.parametrize(
    "bad", [grant("user", "No Name"), grant("group", ""), grant("group", "a,b")]
)
def test_names_must_be_names(bad: Grant) -> None:
    with pytest.raises(Invalid):
        checked([bad])
