"""What may be set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.secrets.variables import (
    DOCUMENT_BYTES,
    VALUE_BYTES,
    apply_patch,
    empty_document,
    read_patch,
)
from shared.errors import Conflict, Invalid

CANARY = "canary-value"


@pytest.mark.parametrize("name", ["A", "_a", "db_URL", "X9", "A" * 128, "PORTAL", "MY_PATH"])
def test_good_names(name):
    assert read_patch({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "name",
    [
        *("", "9A", "A-B", "A B", "Ä", "A\n", "A=", "A" * 129),
        *("PORT", "port", "PATH", "HOME", "MOORAGE_X", "moorage_token", "PYTHONPATH", "PYTHONHOME"),
        *("LD_PRELOAD", "SCRIPT_NAME", "DASH_URL_BASE_PATHNAME", "STREAMLIT_SERVER_BASE_URL_PATH"),
    ],
)
def test_bad_names_are_refused_with_a_sentence(name):
    with pytest.raises(Invalid) as caught:
        read_patch({name: CANARY})
    assert caught.value.detail.endswith(".")
    assert CANARY not in caught.value.detail


@pytest.mark.parametrize(
    "value", [1, True, ["x"], {"a": "b"}, "a\0b", "\ud800", "x" * (VALUE_BYTES + 1), "é" * 40_000]
)
def test_bad_values_are_refused_without_being_repeated(value):
    with pytest.raises(Invalid) as caught:
        read_patch({"KEY": value})
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize("body", [None, [], {}, "x", 7])
def test_bodies_that_are_no_patch(body):
    with pytest.raises(Invalid):
        read_patch(body)


def test_largest_value_fits():
    assert read_patch({"KEY": "x" * VALUE_BYTES})


def test_document_has_a_limit():
    full = {f"V{number}": "x" * VALUE_BYTES for number in range(DOCUMENT_BYTES // VALUE_BYTES)}
    with pytest.raises(Invalid, match="in all"):
        apply_patch(empty_document(), "config", full)


def test_other_section_keeps_its_names():
    document = {"config": {"A": "1"}, "secrets": {}}
    with pytest.raises(Conflict):
        apply_patch(document, "secrets", {"A": "2"})
    assert apply_patch(document, "secrets", {"A": None}) == (document, [])


names = st.text("ABC", min_size=1, max_size=2)
patches = st.dictionaries(names, st.none() | st.text(max_size=3))


@given(st.dictionaries(names, st.text(max_size=3)), patches)
def test_patch_law(before, patch):
    document = {"config": before, "secrets": {}}
    after, changed = apply_patch(document, "config", patch)
    for name, value in patch.items():
        assert after["config"].get(name) == value
    for name in before.keys() - patch.keys():
        assert after["config"][name] == before[name]
    assert changed == sorted(
        name
        for name in before.keys() | after["config"].keys()
        if before.get(name) != after["config"].get(name)
    )
    assert apply_patch(after, "config", patch) == (after, [])
