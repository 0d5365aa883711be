from services.git_ingest.reception import parse_commit

RAW = """tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904
parent 1111111111111111111111111111111111111111
author Ann Lee <ann@example.org> 1700000000 +0100
committer Bob <bob@example.org> 1700000001 +0100
gpgsig -----BEGIN PGP SIGNATURE-----
 author Mallory <m@example.org> 1 +0000

Make it\x1b[31m faster

And explain why.
"""


def test_parse_commit():
    commit = parse_commit("c" * 40, RAW.encode())
    assert (commit.author, commit.message) == ("Ann Lee <ann@example.org>", "Make it faster")


def test_odd_commits():
    commit = parse_commit("c" * 40, b"tree x\n\n\xff\n")
    assert (commit.author, commit.message) == ("", "\ufffd")
