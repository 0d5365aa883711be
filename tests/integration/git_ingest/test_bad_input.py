"""Whatever is wrong with a push: one clear sentence, the branch unmoved, nothing left behind."""

import os

import pytest

from shared.events.catalogue import Grant
from tests.integration.git_ingest.stage import Stage, pipe


async def refused(stage: Stage, folder, sentence: str, app: str = "sales") -> None:
    """Push to an app that is live, and see the push refused with `sentence`."""
    await stage.make_app(app)
    result = await stage.push(folder, app, "+main")
    said = [line for line in result.text.splitlines() if line.startswith("remote: ")]
    assert result.status == 1, result.text
    assert any(sentence in line for line in said), result.text
    assert await stage.remote_main(app) == ""
    assert stage.pushed == []
    assert await stage.rows() == []
    assert stage.leftovers() == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "inside/../../outside"])
async def test_symlink_that_leads_outside(stage: Stage, target):
    folder = await stage.work()
    os.symlink(target, folder / "link")
    await stage.commit(folder)
    await refused(stage, folder, "The symbolic link 'link' points outside the repository")


async def test_symlink_that_stays_inside_is_fine(stage: Stage):
    async def live(stage, event):
        await stage.succeed(event)

    stage.answer = live
    folder = await stage.work()
    os.symlink("app.py", folder / "wsgi.py")
    await stage.commit(folder)
    assert (await stage.push(folder)).status == 0


async def test_submodule(stage: Stage):
    folder = await stage.work()
    head = await stage.rev(folder, "HEAD")
    await stage.git("update-index", "--add", "--cacheinfo", f"160000,{head},vendor", cwd=folder)
    await stage.git("commit", "-qm", "Add it", cwd=folder)
    await refused(stage, folder, "The repository has a submodule at 'vendor'")


async def test_path_of_five_thousand_characters(stage: Stage):
    folder = await stage.work()
    tree = await pipe(folder, b"", "git", "mktree")
    blob = await stage.blob(folder, "x")
    tree = await pipe(folder, f"100644 blob {blob}\tf\0".encode(), "git", "mktree", "-z")
    for _ in range(50):
        entry = f"040000 tree {tree}\t{'d' * 99}\0".encode()
        tree = await pipe(folder, entry, "git", "mktree", "-z")
    commit = await pipe(folder, b"deep", "git", "commit-tree", tree)
    await stage.git("update-ref", "refs/heads/main", commit, cwd=folder)
    await refused(stage, folder, "is longer than 1,024 characters; shorten it.")


@pytest.mark.parametrize("name", [".git", ".GIT", "..", "git~1"])
async def test_names_that_git_keeps_for_itself(stage: Stage, name):
    folder = await stage.work()
    blob = await stage.blob(folder, "x")
    await stage.commit_tree(folder, ("100644", blob, name))
    await refused(stage, folder, f"cannot be accepted because of the part '{name}'")


async def test_dangerous_names_are_refused_on_other_branches_too(stage: Stage):
    folder = await stage.work()
    blob = await stage.blob(folder, "x")
    await stage.commit_tree(folder, ("100644", blob, ".git"))
    await stage.make_app("sales")
    result = await stage.push(folder, "sales", "+main:feature")
    assert result.status == 1
    assert "cannot be accepted because of the part '.git'" in result.text
    assert await stage.remote_main(branch="feature") == ""


async def test_no_files(stage: Stage):
    folder = await stage.work()
    await stage.commit_tree(folder)
    await refused(stage, folder, "There are no files in what was pushed")


async def test_too_many_files(stage_for):
    stage = await stage_for(max_files="20")
    folder = await stage.work(**{f"f{i}": "" for i in range(21)})
    await refused(stage, folder, "The repository has more than 20 files")


async def test_tree_bomb(stage: Stage):
    """Ten levels of ten times the same folder: a few objects, ten thousand million paths."""
    folder = await stage.work()
    blob = await stage.blob(folder, "x")
    kind, oid = "100644 blob", blob
    for _ in range(10):
        lines = "".join(f"{kind} {oid}\tn{i}\0" for i in range(10))
        kind, oid = "040000 tree", await pipe(folder, lines.encode(), "git", "mktree", "-z")
    commit = await pipe(folder, b"bomb", "git", "commit-tree", oid)
    await stage.git("update-ref", "refs/heads/main", commit, cwd=folder)
    await refused(stage, folder, "The repository has more than 50,000 files")


async def test_files_that_unpack_to_too_much(stage_for):
    stage = await stage_for(max_source="1MiB")
    folder = await stage.work(zeros="0" * 2_000_000)
    await refused(stage, folder, "The files of the repository take more than 1 MiB")


@pytest.mark.parametrize("size", [1_200_000, 30_000_000])
async def test_push_above_the_limit(stage_for, size):
    """With and without a length said beforehand: git sends what is above 1 MiB in chunks."""
    stage = await stage_for(max_push="1MiB" if size > 2_000_000 else "500000")
    folder = await stage.work()
    (folder / "noise").write_bytes(os.urandom(size if size > 2_000_000 else 900_000))
    await stage.commit(folder)
    await stage.make_app("sales")
    result = await stage.push(folder)
    print(result.text)
    assert result.status != 0
    assert "remote: The push is larger than the" in result.text
    assert await stage.remote_main() == ""
    assert await stage.until(stage.leftovers, lambda found: found == []) == []


async def test_broken_objects(stage: Stage):
    folder = await stage.work()
    blob = await stage.blob(folder, "x")
    raw = b"tree " + b"0" * 40 + b"\nauthor x\n\nbroken"
    broken = await pipe(
        folder, raw, "git", "hash-object", "-w", "-t", "commit", "--literally", "--stdin"
    )
    assert blob
    (folder / ".git/refs/heads/main").write_text(broken + "\n")
    await stage.make_app("sales")
    result = await stage.push(folder, "sales", "+main")
    assert result.status != 0
    assert await stage.remote_main() == ""


@pytest.mark.parametrize("ref", ["refs/notes/x", "refs/moorage/x"])
async def test_only_branches_and_tags(stage: Stage, ref):
    folder = await stage.work()
    result = await stage.push(folder, "sales", f"main:{ref}")
    assert result.status == 1
    assert "deny updating a hidden ref" in result.text


@pytest.mark.parametrize(
    ("app", "sentence"),
    [
        ("Sales", "'Sales' cannot be the name of an app"),
        ("my_app", "'my_app' cannot be the name of an app"),
        ("a" * 64, "cannot be the name of an app"),
        ("taken", "The name taken is reserved; choose another."),
    ],
)
async def test_names_that_cannot_be(stage: Stage, app, sentence):
    result = await stage.push(await stage.work(), app)
    assert result.status == 128
    assert f"remote: {sentence}" in result.text or sentence in result.text
    assert list((stage.home / "git").glob("*.git")) == []


async def test_who_may_push_and_clone(stage: Stage):
    async def live(stage, event):
        await stage.succeed(event)

    stage.answer = live
    folder = await stage.work()
    await stage.make_app(
        "sales",
        "ann",
        Grant(kind="user", name="col", role="collaborator"),
        Grant(kind="user", name="vic", role="viewer"),
        Grant(kind="group", name="data", role="collaborator"),
    )
    refusal = "may not push to sales: ask its owner, ann, to make you a collaborator."
    for user in ("vic", "eve"):
        result = await stage.push(folder, user=user)
        assert f"remote: {user} {refusal}" in result.text
        clone = await stage.git("clone", stage.url("sales"), f"{user}-copy", user=user)
        assert f"{user} may not clone sales" in clone.text
    assert (await stage.push(folder, user="col")).status == 0
    await stage.commit(folder)
    assert (await stage.push(folder, user="bob", groups=("data",))).status == 0
    await stage.commit(folder)
    assert (await stage.push(folder, user="root", role="admin")).status == 0
    assert [event.data.pusher for event in stage.pushed] == ["col", "bob", "root"]


async def test_who_may_create(stage: Stage):
    result = await stage.push(await stage.work(), "fresh", user="vic", role="viewer")
    assert result.status == 128
    assert "remote: There is no app fresh, and vic may not create apps" in result.text
    assert stage.created == []


async def test_clone_creates_nothing(stage: Stage):
    result = await stage.git("clone", stage.url("fresh"), "copy")
    assert result.status == 128
    assert "There is no app fresh" in result.text
    assert stage.created == []


async def test_without_identity(stage: Stage):
    import httpx

    async with httpx.AsyncClient() as client:
        address = stage.url("sales") + "/info/refs?service=git-receive-pack"
        answer = await client.get(address)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        forged = await client.get(address, headers={"X-Moorage-Identity": "a.b.c"})
        assert forged.status_code == 401
        name, _, token = stage.header().partition(": ")
        dumb = await client.get(stage.url("sales") + "/HEAD", headers={name: token})
        assert dumb.status_code == 404
        plain = await client.get(stage.url("sales") + "/info/refs", headers={name: token})
        assert plain.status_code == 400
        up = await client.get(
            f"http://127.0.0.1:{stage.port}/-/git/%2e%2e%2fx.git/info/refs?service=git-upload-pack",
            headers={name: token},
        )
        assert up.status_code == 404


async def test_portal_away(stage: Stage):
    await stage.buses["portal"].close()
    folder = await stage.work()
    result = await stage.push(folder, "fresh")
    assert result.status == 128
    assert (
        "remote: The platform cannot create apps at the moment; existing apps can be pushed;"
        " try again in a minute." in result.text
    )


async def test_deleted_app(stage: Stage):
    async def live(stage, event):
        await stage.succeed(event)

    stage.answer = live
    folder = await stage.work()
    await stage.push(folder)
    await stage.delete_app("sales")
    repository = stage.home / "git" / "sales.git"
    await stage.until(repository.exists, lambda there: not there)
    assert "There is no app sales" in (await stage.git("clone", stage.url("sales"), "c")).text
    assert (await stage.push(folder)).status == 0
    assert len(stage.created) == 2


async def test_zipped_request(stage: Stage):
    """git's client zips what it has to say in a fetch when that is long."""
    import gzip

    import httpx

    await stage.make_app("sales")
    name, _, token = stage.header().partition(": ")
    headers = {
        name: token,
        "content-encoding": "gzip",
        "content-type": "application/x-git-upload-pack-request",
        "git-protocol": "version=2",
    }
    body = gzip.compress(b"0014command=ls-refs\n0000")
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            stage.url("sales") + "/git-upload-pack", headers=headers, content=body
        )
    assert (answer.status_code, answer.content) == (200, b"0000")
