import pytest

from services.git_ingest.links import check_links, stays_inside
from shared.errors import Invalid


@pytest.mark.parametrize(
    ("links", "inside"),
    [
        ({"l": "app.py"}, True),
        ({"a/b/l": "../../app.py"}, True),
        ({"l": "."}, True),
        ({"l": "missing/file"}, True),
        ({"l": "/etc/passwd"}, False),
        ({"l": ".."}, False),
        ({"a/l": "../../x"}, False),
        ({"l": "a/../../x"}, False),
        ({"l": "l"}, False),
        ({"l": "m", "m": "l"}, False),
        # The text stays inside, the way does not: a/up is the root, and its parent is outside.
        ({"l": "a/up/../x", "a/up": ".."}, False),
        # "deep/.." is the folder a, not the root.
        ({"l": "deep/../x", "deep": "a/b"}, True),
        ({"l": "m", "m": "/etc"}, False),
    ],
)
def test_stays_inside(links, inside):
    assert stays_inside("a/l" if "a/l" in links else next(iter(links)), links) is inside


def test_sentence_names_link_and_target():
    with pytest.raises(Invalid, match="'conf' points outside the repository \\(to '/etc'\\)"):
        check_links({"ok": "app.py", "conf": "/etc"})
