import pytest

from shared.errors import Invalid
from shared.names import check_app_name, printable


@pytest.mark.parametrize("name", ["a", "sales", "sales-2", "a" * 63])
def test_dns_labels_are_names(name):
    assert check_app_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "2a", "Sales", "a_b", "a.b", "a/b", "..", "a" * 64, "é", "a\n", "-"]
)
def test_other_names_are_refused_with_what_to_do(name):
    with pytest.raises(Invalid, match="lower-case letters"):
        check_app_name(name)


def test_what_is_shown_of_a_strange_name_is_harmless():
    assert printable("a\x1b[31m\n") == "a?[31m?"
    assert len(printable("x" * 500)) == 83
