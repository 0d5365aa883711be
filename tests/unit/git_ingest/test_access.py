import pytest

from services.git_ingest.access import check_may, role_of
from services.git_ingest.store import Repository
from shared.errors import Forbidden
from shared.identity import AppRole, Caller

GRANTS = [
    {"kind": "user", "name": "vic", "role": "viewer"},
    {"kind": "group", "name": "data", "role": "collaborator"},
    {"kind": "group", "name": "vic", "role": "owner"},
]
SALES = Repository("sales", "ann", GRANTS, None)


@pytest.mark.parametrize(
    ("caller", "role"),
    [
        (Caller("ann"), AppRole.OWNER),
        (Caller("root", platform_role="admin"), AppRole.OWNER),
        (Caller("vic"), AppRole.VIEWER),
        (Caller("vic", groups=("data",)), AppRole.COLLABORATOR),
        (Caller("eve", platform_role="developer"), AppRole.NONE),
        (Caller("data"), AppRole.NONE),
        # What the gateway says of the path's app is not asked: our own copy of the rule is.
        (Caller("eve", app="sales", app_role=AppRole.OWNER), AppRole.NONE),
    ],
)
def test_role_of(caller, role):
    assert role_of(caller, SALES) == role


def test_sentence():
    with pytest.raises(Forbidden, match="vic may not push to sales: ask its owner, ann"):
        check_may(Caller("vic"), SALES, "push to")
