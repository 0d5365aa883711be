"""What every engine must do; each is run through the same tests, at each level it can lock in."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from pathlib import Path

import pytest

from deploy.embedded.credentials import free_ports
from services.scheduler.engines import logfiles
from services.scheduler.engines.process import ProcessEngine
from services.scheduler.engines.protocol import InstanceSpec, Limits
from shared.errors import NotFound

APP = """\
import http.server, json, os, signal, socket, subprocess, sys, threading

def tried(what):
    try:
        return what()
    except Exception as error:
        return f"refused: {type(error).__name__}"

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        code = self.path[1:]
        if code.startswith("exit"):
            os._exit(int(code[4:]))
        answer = json.dumps(tried(lambda: eval(bytes.fromhex(code)))).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        print("asked", flush=True)

def stop(*_):
    print("asked to stop", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, stop)
print("hello from the app", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

SECRET = "canary-3f1b"
LIMITS = Limits(memory_bytes=512 * 1024 * 1024, processes=100, open_files=512)


class Bench:
    """A data folder with one image, and an engine on it."""

    def __init__(self, home: Path, level: str) -> None:
        self.home = home
        self.level = level
        self.engine = self.another_engine()
        python = home / "environments" / "plain" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(os.path.realpath(sys.executable))
        (home / "keys").mkdir(mode=0o700)
        (home / "keys" / "seal").write_text(SECRET)
        (home / "apps" / "other" / "data").mkdir(parents=True)
        (home / "apps" / "other" / "data").chmod(0o700)
        (home / "apps" / "other" / "data" / "theirs").write_text(SECRET)

    def another_engine(self) -> ProcessEngine:
        """The engine as a scheduler that was started anew would make it."""
        return ProcessEngine(self.home, bubblewrap=self.level == "bubblewrap")

    def image(self, text: str = APP) -> str:
        manifest = {
            "kind": "custom",
            "environment": "plain",
            "source": hashlib.sha256(text.encode()).hexdigest(),
            "process_types": {"web": "exec python app.py"},
            "health": {"path": "/", "expect": {"status": 200, "contains": None, "json": False}},
            "prefix_mode": "keep",
            "prefix_env": {},
            "sticky": False,
            "python": "3.11",
        }
        raw = json.dumps(manifest, sort_keys=True).encode()
        digest = hashlib.sha256(raw).hexdigest()
        code = self.home / "images" / digest / "app"
        code.mkdir(parents=True, exist_ok=True)
        (code / "app.py").write_text(text)
        (code.parent / "manifest.json").write_bytes(raw)
        return f"sha256:{digest}"

    def spec(self, number: int = 1, app: str = "sales", text: str = APP) -> InstanceSpec:
        port = free_ports(1)[0]
        return InstanceSpec(
            instance=f"{app}.web.1-{number}",
            app=app,
            process_type="web",
            image=self.image(text),
            command="exec python app.py",
            environment={"PORT": str(port), "TOKEN": SECRET},
            port=port,
            limits=LIMITS,
        )

    async def ask(self, spec: InstanceSpec, expression: str) -> object:
        """What an expression gives inside the app."""
        return json.loads(await self.get(spec, expression.encode().hex()))

    async def get(self, spec: InstanceSpec, path: str) -> bytes:
        def fetch() -> bytes:
            with urllib.request.urlopen(f"http://127.0.0.1:{spec.port}/{path}", timeout=10) as got:
                return got.read()

        return await asyncio.to_thread(fetch)

    async def up(self, spec: InstanceSpec) -> dict:
        reference = await self.engine.start(spec)
        await until(lambda: self._answers(spec))
        return reference

    async def _answers(self, spec: InstanceSpec) -> bool:
        try:
            return await self.ask(spec, "1 + 1") == 2
        except OSError:
            return False


async def until(condition, seconds: float = 20.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition was never met"
        await asyncio.sleep(0.02)


@pytest.fixture(params=["bubblewrap", "without"])
async def bench(request):
    if request.param == "bubblewrap" and not shutil.which("bwrap"):
        if os.environ.get("CI"):
            pytest.fail("CI needs bubblewrap; .ci/run installs it")
        pytest.skip("bubblewrap is not installed on this machine")
    home = Path(tempfile.mkdtemp(prefix="mrg-engine-"))
    home.chmod(0o711)
    made = Bench(home, request.param)
    yield made
    for reference in (await made.engine.adopt()).values():
        await made.engine.stop(reference, 0.1)
    for folder in (home / "run" / "instances").glob("*"):
        await made.engine.remove(folder.name)
    shutil.rmtree(home, ignore_errors=True)


async def test_an_instance_runs_and_is_started_once(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    assert await bench.engine.start(spec) == reference
    assert (await bench.engine.poll(reference)).state == "running"
    assert list(await bench.engine.adopt()) == [spec.instance]
    json.dumps(reference)


async def test_it_is_asked_to_stop_before_it_is_ended(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    await bench.engine.stop(reference, 10)
    assert (await bench.engine.poll(reference)).state == "exited"
    assert "asked to stop" in await bench.engine.last_lines(spec.instance, 5)
    await bench.engine.stop(reference, 10)
    assert await bench.engine.adopt() == {}


async def test_what_does_not_stop_is_ended(bench):
    deaf = APP.replace("    os._exit(0)\n\nsignal", "    pass\n\nsignal")
    reference = await bench.up(bench.spec(text=deaf))
    began = asyncio.get_running_loop().time()
    await bench.engine.stop(reference, 0.3)
    assert asyncio.get_running_loop().time() - began < 10
    assert (await bench.engine.poll(reference)).state == "exited"


async def test_the_exit_status_is_known_to_an_engine_that_did_not_start_it(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    with pytest.raises(OSError):
        await bench.get(spec, "exit7")
    other = bench.another_engine()

    async def ended():
        return (await other.poll(reference)).state == "exited"

    await until(ended)
    assert (await other.poll(reference)).exit_code == 7


async def test_an_engine_that_did_not_start_it_finds_it_and_stops_it(bench):
    spec = bench.spec()
    await bench.up(spec)
    other = bench.another_engine()
    (reference,) = (await other.adopt()).values()
    assert reference["instance"] == spec.instance
    await other.stop(reference, 5)
    assert (await bench.engine.poll(reference)).state == "exited"


async def test_killed_from_outside_it_has_exited(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    for pid in await bench.engine.processes(reference):
        os.kill(pid, signal.SIGKILL)

    async def ended():
        return (await bench.engine.poll(reference)).state == "exited"

    await until(ended)


async def test_it_is_started_again_under_its_name_and_goes_on_with_its_log(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    await bench.engine.stop(reference, 5)
    await bench.up(spec)
    said = await bench.engine.last_lines(spec.instance, 100)
    assert said.count("hello from the app") == 2


async def test_after_a_restart_of_the_machine_nobody_knows_how_it_ended(bench):
    reference = await bench.up(bench.spec())
    await bench.engine.stop(reference, 5)
    (bench.home / "run" / "instances" / reference["instance"] / "exit").unlink()
    before = {**reference, "boot": "another boot"}
    assert (await bench.engine.poll(before)).state == "unknown"


async def test_values_of_the_environment_are_in_no_argument_and_no_file(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    assert await bench.ask(spec, "os.environ['TOKEN']") == SECRET
    for pid in {reference["pid"], *await bench.engine.processes(reference)}:
        assert SECRET not in Path(f"/proc/{pid}/cmdline").read_text()
    note = bench.home / "run" / "instances" / spec.instance / "instance.json"
    assert SECRET not in note.read_text()
    assert SECRET not in repr(spec)
    assert note.stat().st_mode & 0o077 == 0


async def test_logs_are_followed(bench):
    spec = bench.spec()
    await bench.up(spec)
    lines = bench.engine.logs(spec.instance, 100, follow=True)
    await bench.ask(spec, "print('a new line', flush=True)")

    async def heard():
        async for line in lines:
            if line == "a new line":
                return True
        return False

    assert await asyncio.wait_for(heard(), 10)
    await lines.aclose()


async def test_a_log_that_has_grown_is_cut(bench):
    path = bench.home / "log"
    path.write_text("".join(f"line {n}\n" for n in range(1000)))
    assert logfiles.trim(path, largest=2000)
    assert path.stat().st_size == 0
    assert (bench.home / "log.1").read_text().endswith("line 999\n")
    assert not logfiles.trim(path, largest=2000)


async def test_what_programs_take_for_granted_is_there(bench):
    spec = bench.spec()
    await bench.up(spec)
    for expression in (
        "bool(__import__('multiprocessing').Lock())",
        "bool(__import__('pwd').getpwnam('root'))",
        "__import__('mimetypes').guess_type('a.css')[0] == 'text/css'",
        "bool(__import__('tempfile').mkdtemp())",
    ):
        assert await bench.ask(spec, expression) in (True, 1), expression
    if bench.engine.level == "bubblewrap":  # Landlock looks at the log's own place
        assert await bench.ask(spec, "open('/dev/stdout', 'a').write('x')") == 1


async def test_what_it_listens_on_and_what_it_uses(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    assert spec.port in [port for _, port in await bench.engine.listening(reference)]
    used = await bench.engine.stats(reference)
    assert used.memory_bytes > 1_000_000
    assert used.processes >= 1


async def test_a_command_is_run_once(bench):
    lines = [
        line
        async for line in bench.engine.execute(
            bench.spec(), ["sh", "-c", "echo $TOKEN; echo oops >&2; exit 3"]
        )
    ]
    assert lines == [SECRET, "oops", "exit-status: 3"]


async def test_a_command_ends_with_whoever_asked(bench):
    spec = bench.spec()
    asked = bench.engine.execute(spec, ["sh", "-c", "echo begun; exec sleep 12345"])
    assert await anext(asked) == "begun"
    await asked.aclose()

    async def gone():
        return not _running("sleep\x0012345")

    await until(gone)


async def test_an_image_that_is_not_there_is_said(bench):
    with pytest.raises(NotFound, match="push again"):
        await bench.engine.image("sha256:" + "0" * 64)


async def test_nothing_is_left_of_a_removed_instance(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    await bench.engine.stop(reference, 5)
    await bench.engine.remove(spec.instance)
    left = [str(path) for path in bench.home.rglob("*") if spec.instance in path.name]
    assert left == []
    assert not any(folder.exists() for folder in bench.engine._cgroups.folders(spec.instance))


async def test_its_data_folder_is_its_own_and_stays(bench):
    spec = bench.spec()
    reference = await bench.up(spec)
    written = "open(os.environ['MOORAGE_DATA'] + '/kept', 'w').write('x')"
    assert await bench.ask(spec, written) == 1
    await bench.engine.stop(reference, 5)
    await bench.engine.remove(spec.instance)
    assert (bench.home / "apps" / "sales" / "data" / "kept").exists()


async def test_a_locked_in_app_reaches_nothing_that_is_not_its_own(bench):
    """A hostile app tries; what it could reach is the answer."""
    if bench.engine.level != "bubblewrap":
        assert bench.engine.warning
        return
    spec = bench.spec()
    reference = await bench.up(spec)
    reads = [
        bench.home / "keys" / "seal",
        bench.home / "apps" / "other" / "data" / "theirs",
        bench.home / "run" / "instances" / spec.instance / "instance.json",
        Path("/etc/shadow"),
    ]
    for path in reads:
        said = await bench.ask(spec, f"open({str(path)!r}).read()")
        assert str(said).startswith("refused"), path
    for path in ("/app/app.py", "/usr/x", "/etc/x"):
        said = await bench.ask(spec, f"open({path!r}, 'a').write('x')")
        assert str(said).startswith("refused"), path
    await bench.ask(spec, f"open('{bench.home}/x', 'a').write('x')")
    assert not (bench.home / "x").exists()
    assert await bench.ask(spec, "open('/tmp/x', 'w').write('x')") == 1
    seen = await bench.ask(spec, "[int(p) for p in os.listdir('/proc') if p.isdigit()]")
    assert len(seen) < 10
    assert str(os.getpid()) not in map(str, seen) or os.getpid() < 10
    outside = await bench.ask(spec, f"os.kill({reference['pid']}, 0)")
    assert str(outside).startswith("refused")
    status = await bench.ask(spec, "open('/proc/self/status').read()")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(facts["CapEff"], 16) == 0
    assert int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    if os.getuid() == 0:
        assert Path(f"/proc/{max(await bench.engine.processes(reference))}").stat().st_uid != 0


def _running(text: str) -> bool:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if text in (folder / "cmdline").read_text():
                    return True
            except OSError:
                continue
    return False
