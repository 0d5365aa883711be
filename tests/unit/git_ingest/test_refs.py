import pytest

from services.git_ingest.refs import Update, going_live
from shared.errors import Invalid

A, B, NONE = "a" * 40, "b" * 40, "0" * 40


def update(ref: str, new: str = B, old: str = A) -> Update:
    return Update.parse(f"{old} {new} {ref}")


MAIN, MASTER = update("refs/heads/main"), update("refs/heads/master")
FEATURE, TAG = update("refs/heads/feature"), update("refs/tags/main")


@pytest.mark.parametrize(
    ("updates", "deploy_branch", "live"),
    [
        ([FEATURE, MAIN, MASTER], None, MAIN),
        ([FEATURE, MASTER], None, MASTER),
        ([FEATURE, MASTER], "main", None),
        ([MAIN, MASTER], "master", MASTER),
        ([TAG, FEATURE], "main", None),
        ([update("refs/heads/main", NONE)], None, None),
        ([], "main", None),
    ],
)
def test_going_live(updates, deploy_branch, live):
    assert going_live(updates, deploy_branch) == live


def test_deleting_the_deploy_branch():
    with pytest.raises(Invalid, match="The branch main cannot be deleted"):
        going_live([update("refs/heads/main", NONE)], "main")


@pytest.mark.parametrize("line", [f"{A} --upload-pack=x refs/heads/main", f"{A[:39]} {B} r"])
def test_ids_that_are_none(line):
    with pytest.raises(Invalid):
        Update.parse(line)


def test_titles():
    assert (FEATURE.title, TAG.title, TAG.branch) == ("branch feature", "main", None)
    assert update("refs/heads/x", NONE).deletes
    assert update("refs/heads/x", old=NONE).creates
