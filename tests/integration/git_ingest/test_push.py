"""From `git push` to the line that says where the app lives, and back by `git clone`."""

import hashlib
import tarfile

from tests.integration.git_ingest.stage import Stage


async def go_live(stage, event):
    await stage.progress(event, "installing dash")
    await stage.progress(event, "\x1b[32mgreen\x1b[0m \x07bell")
    await stage.succeed(event)


async def test_first_push_creates_the_app_and_ends_with_its_url(stage: Stage):
    stage.answer = go_live
    folder = await stage.work(app__py="print(1)\n", requirements__txt="dash\n")
    result = await stage.push(folder)
    print(result.text)
    assert result.status == 0, result.text
    assert stage.created == [{"name": "sales", "owner": "ann"}]
    assert "remote: installing dash" in result.text
    assert "remote: green bell" in result.text
    assert "remote: sales is live: http://localhost:8080/sales/" in result.text
    assert await stage.remote_main() == await stage.rev(folder, "HEAD")
    assert stage.leftovers() == []
    (row,) = await stage.until(stage.rows, lambda rows: rows and rows[0]["ended_at"])
    assert (row["outcome"], row["pusher"], row["branch"]) == ("succeeded", "ann", "main")


async def test_event_names_a_source_that_lies_in_the_object_store(stage: Stage, tmp_path):
    stage.answer = go_live
    folder = await stage.work(app__py="print(1)\n")
    await stage.push(folder)
    data = stage.pushed[0].data
    archive = tmp_path / "source.tar"
    await stage.buses["builder"].objects.get(f"sources/{data.source}.tar", archive)
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == data.source
    assert archive.stat().st_size == data.size
    with tarfile.open(archive) as tar:
        assert tar.getnames() == ["app.py"]
    assert data.commit == await stage.rev(folder, "HEAD")
    assert (data.author, data.message) == ("Ann Lee <ann@example.org>", "Change it")


async def test_equal_files_make_an_equal_source(stage: Stage):
    stage.answer = go_live
    folder = await stage.work(app__py="print(1)\n")
    await stage.push(folder)
    await stage.commit(folder)
    assert (await stage.push(folder)).status == 0
    assert stage.pushed[0].data.source == stage.pushed[1].data.source
    assert stage.pushed[0].data.commit != stage.pushed[1].data.commit


async def test_failed_build_refuses_the_push(stage: Stage):
    stage.answer = go_live
    folder = await stage.work()
    await stage.push(folder)
    before = await stage.remote_main()

    async def fail(stage, event):
        await stage.fail_build(event, "requirements.txt asks for dash 99, which does not exist")

    stage.answer = fail
    await stage.commit(folder, app__py="print(2)\n")
    result = await stage.push(folder)
    assert result.status == 1, result.text
    assert "remote: Not deployed: requirements.txt asks for dash 99" in result.text
    assert "remote: The version that was running is untouched." in result.text
    assert await stage.remote_main() == before
    assert stage.leftovers() == []


async def test_failed_first_deploy_leaves_no_branch(stage: Stage):
    async def crash(stage, event):
        await stage.fail_deploy(event, "the app exited with status 1")

    stage.answer = crash
    folder = await stage.work()
    result = await stage.push(folder)
    assert result.status == 1
    assert "the app exited with status 1" in result.text
    assert "untouched" not in result.text
    assert await stage.remote_main() == ""


async def test_other_branches_and_tags_are_stored_only(stage: Stage):
    stage.answer = go_live
    folder = await stage.work()
    await stage.push(folder)
    await stage.git("tag", "v1", cwd=folder)
    result = await stage.push(folder, "sales", "main:feature", "v1", "main:master")
    assert result.status == 0, result.text
    assert "remote: branch feature is stored and not deployed: only main goes live" in result.text
    assert "remote: branch master is stored and not deployed" in result.text
    assert len(stage.pushed) == 1
    assert await stage.remote_main(branch="feature") == await stage.rev(folder, "HEAD")


async def test_several_branches_in_one_push_deploy_once(stage: Stage):
    stage.answer = go_live
    folder = await stage.work()
    result = await stage.push(folder, "sales", "main", "main:master", "main:other")
    assert result.status == 0, result.text
    assert [event.data.branch for event in stage.pushed] == ["main"]


async def test_master_is_the_deploy_branch_of_an_app_that_begins_with_it(stage: Stage):
    stage.answer = go_live
    folder = await stage.work(branch="master")
    result = await stage.push(folder, "sales", "master")
    assert result.status == 0, result.text
    assert stage.pushed[0].data.branch == "master"
    clone = await stage.git("clone", "-q", stage.url("sales"), "copy")
    assert clone.status == 0, clone.text
    assert (stage.folder / "copy" / "app.py").exists()


async def test_deploy_branch_cannot_be_deleted(stage: Stage):
    stage.answer = go_live
    folder = await stage.work()
    await stage.push(folder)
    await stage.push(folder, "sales", "main:feature")
    result = await stage.push(folder, "sales", ":main")
    assert result.status == 1
    assert "remote: The branch main cannot be deleted because it is what runs" in result.text
    assert (await stage.push(folder, "sales", ":feature")).status == 0
    assert await stage.remote_main() != ""


async def test_clone_and_fetch(stage: Stage):
    stage.answer = go_live
    folder = await stage.work()
    await stage.push(folder)
    assert (await stage.git("clone", "-q", stage.url("sales"), "copy")).status == 0
    await stage.commit(folder, app__py="print(2)\n")
    await stage.push(folder)
    pulled = await stage.git("pull", "-q", cwd=stage.folder / "copy")
    assert pulled.status == 0, pulled.text
    assert (stage.folder / "copy" / "app.py").read_text() == "print(2)\n"


async def test_silence_is_filled(stage: Stage):
    async def slow(stage, event):
        import asyncio

        await asyncio.sleep(6)
        await stage.succeed(event)

    stage.answer = slow
    result = await stage.push(await stage.work())
    assert result.status == 0
    assert "remote: still waiting for the builder to begin (5 s)" in result.text
