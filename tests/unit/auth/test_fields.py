import pytest

from services.auth.fields import check_email, check_groups, check_line, check_user_name
from shared.errors import Invalid


@pytest.mark.parametrize("name", ["a", "0", "admin", "ann.b-c_d", "x" * 63])
def test_good_user_names(name: str) -> None:
    assert check_user_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Ann", ".ann", "-a", "_a", "ann b", "ann\n", "ä", "x" * 64, "a/b", "a\x00"]
)
def test_bad_user_names(name: str) -> None:
    with pytest.raises(Invalid, match="cannot be a user name"):
        check_user_name(name)


@pytest.mark.parametrize("email", ["", "ann@example.com", "a+b@x"])
def test_good_addresses(email: str) -> None:
    assert check_email(email) == email


@pytest.mark.parametrize("email", ["ann", "@", "a@b c", "a@b@c", "a@b\x07", "a@" + "b" * 200])
def test_bad_addresses(email: str) -> None:
    with pytest.raises(Invalid):
        check_email(email)


@pytest.mark.parametrize("text", ["two\nlines", "nul\x00", "\ud800", "x" * 101])
def test_a_line_is_one_printable_line(text: str) -> None:
    with pytest.raises(Invalid, match="A token's name must be one line"):
        check_line(text, "A token's name")


def test_groups_are_sorted_and_each_once() -> None:
    assert check_groups(["sales", " finance ", "sales"]) == ["finance", "sales"]


@pytest.mark.parametrize("group", ["", "a,b", "a\nb"])
def test_a_group_fits_a_header(group: str) -> None:
    with pytest.raises(Invalid):
        check_groups([group])
