"""`make bench-push`: how long a push takes, what it costs those who look, and what idling costs.

Every time is compared with what the app itself needs, measured beside it in the same run, because
the machines that run this are shared.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx
import psutil

from deploy.embedded import postgres
from deploy.embedded.credentials import free_ports
from deploy.embedded.layout import CHECKOUT
from deploy.embedded.platform import servers, services
from shared.events.catalogue import ALL_SERVICES
from tests.bench.load import Load, Sockets, background, until
from tests.bench.report import Report, median, percentile
from tests.harness.apps import dash_app, live_app
from tests.harness.platform import Platform, commit, repository

CODE_PUSHES = 7
DEPLOYS_UNDER_LOAD = int(os.environ.get("BENCH_DEPLOYS", "20"))
DRAIN_SECONDS = 8.0
UV = str(Path(sys.executable).with_name("uv"))


def main() -> None:
    report = Report("push")
    platform = Platform({"MOORAGE_DRAIN_SECONDS": str(DRAIN_SECONDS)})
    folder = Path(tempfile.mkdtemp(prefix="mrg-bench-"))
    try:
        platform.up()
        print("Idle memory (PSS)")
        measure_memory(report, platform)
        print("\nPushes of a Dash app")
        measure_pushes(report, platform, folder)
        print(f"\n{DEPLOYS_UNDER_LOAD} deploys under load")
        asyncio.run(measure_deploys_under_load(report, platform, folder))
        print("\nEvents")
        asyncio.run(measure_event_hop(report, platform))
        report.write()
    finally:
        platform.remove()
        shutil.rmtree(folder, ignore_errors=True)


def measure_memory(report: Report, platform: Platform) -> None:
    """PSS of every process of the platform, children included, a line each."""
    time.sleep(5)  # a platform that has just started is not idle yet
    names = ["supervisor"]
    names += [child.name for child in (*servers(platform.layout), *services(platform.layout))]
    total = 0.0
    for name in names:
        process = psutil.Process(platform.pid(name))
        tree = [process] if name == "supervisor" else [process, *process.children(recursive=True)]
        megabytes = sum(p.memory_full_info().pss for p in tree) / 1e6
        total += megabytes
        report.add(f"memory_{name}_mb", megabytes, unit="MB")
    report.add("memory_idle_total_mb", total, 700, "MB")


def measure_pushes(report: Report, platform: Platform, folder: Path) -> None:
    """First push with empty caches, then code-only pushes, each beside the bare app."""
    source = repository(folder / "app", dash_app("0"))
    install, environment = bare_install(folder, source / "requirements.txt")
    starts = [cold_start(environment, source)]
    first = push_until_live(platform, source, "bench-dash", "0")
    starts += [cold_start(environment, source)]
    cold = median(starts)
    report.add("uv_pip_install_s", install, unit="s")
    report.add("app_cold_start_s", cold, unit="s")
    report.add("first_push_s", first, 1.3 * install + cold + 2, "s")
    report.add("first_push_ratio", first / (1.3 * install + cold + 2), 1.0)
    pushes: list[float] = []
    starts = []
    for number in range(1, CODE_PUSHES + 1):
        commit(source, dash_app(str(number)))
        pushes.append(push_until_live(platform, source, "bench-dash", str(number)))
        starts.append(cold_start(environment, source))
    cold = median(starts)
    report.add("code_push_s", median(pushes), unit="s")
    report.add("code_push_slowest_s", max(pushes), unit="s")
    report.add("code_push_cold_start_s", cold, unit="s")
    report.add("code_push_over_cold_start_s", median(pushes) - cold, 1.5, "s")
    report.add("code_push_ratio", median(pushes) / (cold + 1.5), 1.0)


def bare_install(folder: Path, requirements: Path) -> tuple[float, Path]:
    """Seconds of `uv pip install` with an empty cache, and the environment it made."""
    environment = folder / "bare"
    variables = {**os.environ, "UV_CACHE_DIR": str(folder / "cache")}
    subprocess.run([UV, "venv", "-q", str(environment)], env=variables, check=True)
    began = time.perf_counter()
    subprocess.run(
        [
            UV,
            "pip",
            "install",
            "-q",
            "--python",
            str(environment / "bin" / "python"),
            "-r",
            str(requirements),
            "gunicorn",
        ],
        env=variables,
        check=True,
    )
    took = time.perf_counter() - began
    # The first import writes byte code; what is compared is the start after it.
    subprocess.run([str(environment / "bin" / "python"), "-c", "import dash, gunicorn"], check=True)
    return took, environment


def cold_start(environment: Path, source: Path) -> float:
    """Seconds from starting `gunicorn` alone to its first 200."""
    port = free_ports(1)[0]
    client = httpx.Client(timeout=5)
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            str(environment / "bin" / "python"),
            "-m",
            "gunicorn",
            "app:server",
            "--bind",
            f"127.0.0.1:{port}",
            "--log-level",
            "error",
        ],
        cwd=source,
        env={**os.environ, "DASH_URL_BASE_PATHNAME": "/bench-dash/"},
    )
    try:
        wait_for_version(client, f"http://127.0.0.1:{port}/bench-dash/version", None)
        return time.perf_counter() - began
    finally:
        process.terminate()
        process.wait()


def push_until_live(platform: Platform, source: Path, app: str, version: str) -> float:
    """Seconds from the start of `git push` to the first 200 that carries the new version."""
    client = httpx.Client(headers={"Authorization": f"Bearer {platform.token}"}, timeout=5)
    began = time.perf_counter()
    pushing = platform.start_push(source, app)
    wait_for_version(client, f"{platform.url}/{app}/version", version, pushing)
    took = time.perf_counter() - began
    output, _ = pushing.communicate(timeout=120)
    assert pushing.returncode == 0, output
    return took


def wait_for_version(
    client: httpx.Client,
    url: str,
    version: str | None,
    pushing: subprocess.Popen[str] | None = None,
) -> None:
    """Poll every 10 ms until `url` answers 200 with `version` (None: with anything)."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            answer = client.get(url)
            if answer.status_code == 200 and version in (None, answer.text):
                return
        except httpx.HTTPError:
            pass
        if pushing and pushing.poll() not in (None, 0):
            raise AssertionError(pushing.communicate()[0])
        time.sleep(0.01)
    raise TimeoutError(url)


async def measure_deploys_under_load(report: Report, platform: Platform, folder: Path) -> None:
    """Deploy again and again while 100 requests a second and 20 WebSockets go on."""
    source = repository(folder / "live", live_app("0"))
    pushed = await asyncio.to_thread(platform.push, source, "bench-live")
    assert pushed.returncode == 0, pushed.stdout
    with platform.client() as client:
        client.put("/-/api/v1/apps/bench-live/access", json={"mode": "public"}).raise_for_status()
    load, sockets = Load(platform.port, "bench-live"), Sockets(platform.port, "bench-live")
    switched: list[tuple[float, float]] = []
    async with background(load.run(), sockets.run()):
        try:
            await until(lambda: sockets.open == sockets.count, 30)
            for number in range(1, DEPLOYS_UNDER_LOAD + 1):
                commit(source, live_app(str(number)))
                began = time.time()
                pushed = await asyncio.to_thread(platform.push, source, "bench-live")
                assert pushed.returncode == 0, pushed.stdout
                switched.append((began, time.time()))
                await asyncio.sleep(1)
            await asyncio.sleep(DRAIN_SECONDS + 2)
        finally:
            load.stopping = sockets.stopping = True
    early = [one for one in sockets.closed if closed_early(one, switched)]
    report.add("load_requests", load.requests)
    report.add("load_slow_requests", load.slow)
    report.add("load_failed_requests", len(load.failures), 0)
    report.add("load_p50_ms", median(load.latencies) * 1000, unit="ms")
    report.add("load_p99_ms", percentile(load.latencies, 99) * 1000, unit="ms")
    report.add("load_slowest_ms", max(load.latencies) * 1000, unit="ms")
    report.add("websocket_echoes", sockets.echoes)
    report.add("websockets_closed", len(sockets.closed))
    report.add("websockets_closed_before_deadline", len(early), 0)
    report.add("websockets_closed_not_1012", sum(c[2] != 1012 for c in sockets.closed), 0)
    report.add("deploy_under_load_s", median([end - start for start, end in switched]), unit="s")
    for failure in load.failures[:5]:
        print("   failed:", failure)
    for one in early[:5]:
        print("   closed early:", one)


def closed_early(closed: tuple[float, float, int], switched: list[tuple[float, float]]) -> bool:
    """Was the connection closed sooner than the drain deadline after the deploy that ended it?

    The switch happens somewhere within a push; the connection belongs to the release before the
    first push that ended after it was opened.
    """
    opened, ended, _ = closed
    began = next((start for start, end in switched if end > opened), None)
    return began is None or ended - began < DRAIN_SECONDS


async def measure_event_hop(report: Report, platform: Platform) -> None:
    """From the start of the publisher's transaction to the start of the handler's, by one clock."""
    password = (platform.layout.keys / "postgres-postgres").read_text()
    connection = await asyncpg.connect(postgres.url(platform.layout, "postgres"), password=password)
    hops: list[float] = []
    for publisher in ALL_SERVICES:
        for listener in ALL_SERVICES:
            rows = await connection.fetch(
                f"select extract(epoch from i.handled_at - o.recorded_at)::float8 as hop"
                f' from "{publisher}".outbox o join "{listener}".inbox i using (event_id)'
            )
            hops += [row["hop"] for row in rows]
    await connection.close()
    report.add("event_hops", len(hops))
    report.add("event_hop_p50_ms", median(hops) * 1000, 10, "ms")
    report.add("event_hop_p99_ms", percentile(hops, 99) * 1000, unit="ms")


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    main()
