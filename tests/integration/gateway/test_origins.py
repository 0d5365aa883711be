"""What a hostile app can do to its neighbours in a real browser, attack by attack, mode by mode.

Ann is signed in. She has opened the app `b`, which holds a secret of hers, and now looks at a page
of the app `a`, whose author is hostile. `MATRIX` says for every attack in which modes it works; a
cell that changes, for better or for worse, fails the test, so that the page of the documentation
that shows this table stays true.

- path: one host for the platform and all apps, as without any setting.
- apart: the platform has a host of its own, the apps share another.
- own: every app has a host of its own.
"""

import datetime
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from playwright.async_api import Browser, BrowserContext, Error, Page, async_playwright

from gateway.client import ClientConnection
from tests.integration.gateway.conftest import World, free_port

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
MODES = ("path", "apart", "own")
SECRET = "the secret of b for ann"

# attack -> the modes in which it works
MATRIX: dict[str, tuple[str, ...]] = {
    "read b by fetch": ("path", "apart"),
    "read b by fetch, never opened": (),
    "post to b": ("path", "apart"),
    "post to b by a form": ("path", "apart"),
    "frame b and read it": (),
    "frame b with a forged referrer and read it": ("path", "apart"),
    "open b in a window and read it": (),
    "speak to b over a websocket": ("path", "apart"),
    "speak to b over a websocket, never opened": (),
    "read what b keeps in the browser": ("path", "apart"),
    "serve b from a service worker": (),
    "sign ann out with a script's cookies": (),
    "sign ann out with a response's cookies": (),
    "empty what the browser keeps for b": (),
    "ask the platform who ann is": ("path",),
    "make a token of the platform for ann": ("path",),
}


@dataclass
class Site:
    """One mode, running: addresses without a slash at the end."""

    world: World
    mode: str
    platform: str
    a: str
    b: str
    posts: list[str]
    tokens: list[str]


pytestmark = pytest.mark.timeout(180)


def certificate(folder: Path, *hosts: str) -> ssl.SSLContext:
    """A server context with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "moorage.test")])
    now = datetime.datetime.now(datetime.UTC)
    names = [*(x509.DNSName(host) for host in hosts), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "own.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def victim(posts: list[str]) -> Any:
    """The app `b`: a secret, an act that counts, a WebSocket, something kept in the browser."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        user = dict(scope["headers"]).get(b"x-moorage-user", b"").decode()
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": f"{SECRET} {user}"})
            await receive()
            return
        if scope["method"] == "POST":
            posts.append(user)
        page = (
            f"<title>b</title><body>{SECRET} {user}<script>"
            f"localStorage.setItem('b','{SECRET}')</script>"
        )
        await answer(send, page if user else "who are you?")

    return application


def hostile() -> Any:
    """The app `a`: an empty page, and headers that reach for more than its own path."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        headers: list[tuple[bytes, bytes]] = []
        if path.endswith("/sw.js"):
            script = "onfetch=e=>e.respondWith(new Response('from the worker of a'))"
            headers = [(b"service-worker-allowed", b"/"), (b"content-type", b"text/javascript")]
            await answer(send, script, headers)
            return
        if path.endswith("/cookies"):
            for name in OURS:
                for rest in (b"Path=/", b"Path=/b/", b"Path=/; Secure", b"Path=/; Domain=own.test"):
                    headers.append((b"set-cookie", name.encode() + b"=x; " + rest))
        if path.endswith("/clear"):
            headers = [(b"clear-site-data", b'"cookies", "storage"')]
        await answer(send, "<title>a</title><body>a", headers)

    return application


OURS = [
    prefix + name
    for prefix in ("", "__Host-", "__Secure-")
    for name in ("moorage_session", "moorage_door", "moorage_app")
]


async def answer(send: Any, text: str, headers: Any = ()) -> None:
    kinds = [name for name, _ in headers]
    extra = [] if b"content-type" in kinds else [(b"content-type", b"text/html")]
    start = {"type": "http.response.start", "status": 200, "headers": [*headers, *extra]}
    await send(start)
    await send({"type": "http.response.body", "body": text.encode()})


def platform_service(tokens: list[str]) -> Any:
    """What stands for the platform's API: it believes the gateway's identity alone."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        user = dict(scope["headers"]).get(b"x-moorage-user", b"").decode()
        if scope["method"] == "POST":
            tokens.append(user)
        await answer(send, f"you are {user}")

    return application


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    assert BROWSER, "the package 'chromium' is missing: apt-get install chromium"
    arguments = [
        "--host-resolver-rules=MAP * 127.0.0.1",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        *(["--no-sandbox"] if os.getuid() == 0 else []),
    ]
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        yield opened
        await opened.close()


@pytest_asyncio.fixture(params=MODES)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    mode = request.param
    port = free_port()
    platform = f"https://platform.test:{port}"
    hosts: dict[str, Any] = {"public_url": platform}
    a = b = platform
    if mode != "path":
        hosts["platform_host"] = "platform.test"
    if mode == "apart":
        hosts["apps_host"] = "apps.test"
        a = b = f"https://apps.test:{port}"
    if mode == "own":
        hosts["apps_domain"] = "own.test"
        a, b = (f"https://{app}.own.test:{port}" for app in "ab")
    world = World(tmp_path)
    await world.start(**hosts)
    context = certificate(tmp_path, "platform.test", "apps.test", "*.own.test")
    gate = world.gateway.gate
    server = await world.loop.create_server(
        lambda: ClientConnection(gate, "https"), "127.0.0.1", port, ssl=context
    )
    posts: list[str] = []
    tokens: list[str] = []
    world.keys()
    world.person("ann", role="developer")
    world.route("a", await world.asgi(hostile()))
    world.route("b", await world.asgi(victim(posts)), prefix_mode="strip")
    for app in "ab":
        world.access(app, "signed-in")
    service = await world.asgi(platform_service(tokens))
    for name in ("auth", "portal"):
        world.service(name, service)
    yield Site(world, mode, platform, a, b, posts, tokens)
    server.close()
    await world.close()


@pytest_asyncio.fixture
async def ann(site: Site, browser: Browser) -> AsyncIterator[BrowserContext]:
    """Ann's browser: signed in to the platform, nothing opened."""
    context = await browser.new_context(ignore_https_errors=True)
    name, _, value = site.world.cookie("ann").partition("=")
    await context.add_cookies(
        [
            {
                "name": f"__Host-{name}",
                "value": value,
                "url": f"{site.platform}/",
                "httpOnly": True,
                "secure": True,
                "sameSite": "Lax",
            }
        ]
    )
    yield context
    await context.close()


async def opened(context: BrowserContext, url: str, title: str) -> Page:
    page = await context.new_page()
    await page.goto(url)
    assert await page.title() == title, await page.content()
    return page


async def test_every_cell(site: Site, ann: BrowserContext) -> None:
    wrong: dict[str, bool] = {}
    page = await opened(ann, f"{site.a}/a/", "a")
    for name in ("read b by fetch, never opened", "speak to b over a websocket, never opened"):
        works = await ATTACKS[name](site, page)
        if works is not (site.mode in MATRIX[name]):
            wrong[name] = works
    await opened(ann, f"{site.b}/b/", "b")
    for name, attack in ATTACKS.items():
        if name.endswith("never opened"):
            continue
        page = await opened(ann, f"{site.a}/a/page", "a")
        works = await attack(site, page)
        if works is not (site.mode in MATRIX[name]):
            wrong[name] = works
        await page.close()
    assert wrong == {}


async def test_the_victim_itself_works(site: Site, ann: BrowserContext) -> None:
    page = await opened(ann, f"{site.b}/b/", "b")
    assert SECRET in await page.evaluate(FETCH, f"{site.b}/b/data")
    assert SECRET in await page.evaluate(WEBSOCKET, f"{site.b}/b/ws".replace("https", "wss"))
    assert await page.evaluate(FRAME, f"{site.b}/b/frame") == f"{SECRET} ann"
    assert await page.evaluate("localStorage.getItem('b')") == SECRET
    assert await page.evaluate("document.cookie") == ""


def test_the_matrix_names_every_attack() -> None:
    assert MATRIX.keys() == ATTACKS.keys()


# -- attacks: each says whether it worked

FETCH = "url => fetch(url, {credentials: 'include'}).then(r => r.text()).catch(String)"
POST = """url => fetch(url, {method: 'POST', credentials: 'include', body: 'x',
    headers: {'Content-Type': 'text/plain'}}).then(r => r.text()).catch(String)"""
WEBSOCKET = """url => new Promise(tell => {
    const socket = new WebSocket(url);
    socket.onmessage = said => { tell(said.data); socket.close(); };
    socket.onclose = socket.onerror = () => tell('');
})"""
FRAME = """url => new Promise(tell => {
    const frame = document.createElement('iframe');
    const look = () => { try { return frame.contentDocument.body.innerText } catch { return '' } };
    frame.onload = () => tell(look());
    setTimeout(() => tell(look()), 4000);
    frame.src = url;
    document.body.append(frame);
})"""
WINDOW = """url => new Promise(tell => {
    const other = window.open(url);
    const end = Date.now() + 3000;
    const look = () => {
        let text = '';
        try { text = other.document.body.innerText } catch {}
        if (text || Date.now() > end) tell(text); else setTimeout(look, 50);
    };
    look();
})"""
FORM = """url => {
    const form = document.createElement('form');
    form.method = 'POST'; form.action = url; form.target = 'elsewhere';
    document.body.append(form);
    form.submit();
}"""
WORKER = """async ([script, scope]) => {
    try { await navigator.serviceWorker.register(script, {scope}); return 'registered' }
    catch (error) { return String(error) }
}"""


async def read_by_fetch(site: Site, page: Page) -> bool:
    return SECRET in await page.evaluate(FETCH, f"{site.b}/b/data")


async def post(site: Site, page: Page) -> bool:
    site.posts.clear()
    await page.evaluate(POST, f"{site.b}/b/act")
    return "ann" in site.posts


async def post_by_form(site: Site, page: Page) -> bool:
    site.posts.clear()
    async with page.context.expect_page() as other:
        await page.evaluate(FORM, f"{site.b}/b/act")
    shown = await other.value
    await shown.wait_for_load_state()
    await shown.close()
    return "ann" in site.posts


async def frame(site: Site, page: Page) -> bool:
    return SECRET in await page.evaluate(FRAME, f"{site.b}/b/")


async def frame_forged(site: Site, page: Page) -> bool:
    if site.a == site.b:
        await page.evaluate("history.replaceState(null, '', '/b/x')")
    return SECRET in await page.evaluate(FRAME, f"{site.b}/b/")


async def window(site: Site, page: Page) -> bool:
    return SECRET in await page.evaluate(WINDOW, f"{site.b}/b/")


async def websocket(site: Site, page: Page) -> bool:
    return SECRET in await page.evaluate(WEBSOCKET, f"{site.b}/b/ws".replace("https", "wss"))


async def storage(site: Site, page: Page) -> bool:
    return await page.evaluate("localStorage.getItem('b')") == SECRET


async def worker(site: Site, page: Page) -> bool:
    """Registered for the whole origin it would serve b's pages where apps share one."""
    return await page.evaluate(WORKER, [f"{site.a}/a/sw.js", f"{site.a}/"]) == "registered"


async def toss(site: Site, page: Page) -> bool:
    for name in OURS:
        for rest in ("path=/", "path=/b/", "path=/b/x", "path=/;secure", "path=/;domain=own.test"):
            await page.evaluate("line => { document.cookie = line }", f"{name}=x;{rest}")
    return await is_signed_out(site, page)


async def toss_by_response(site: Site, page: Page) -> bool:
    await page.evaluate(FETCH, f"{site.a}/a/cookies")
    return await is_signed_out(site, page)


async def clear(site: Site, page: Page) -> bool:
    await page.evaluate(FETCH, f"{site.a}/a/clear")
    if await is_signed_out(site, page):
        return True
    own = await opened(page.context, f"{site.b}/b/", "b")
    kept = await own.evaluate("localStorage.getItem('b')")
    await own.close()
    return kept != SECRET


async def is_signed_out(site: Site, page: Page) -> bool:
    """Is b, opened as people open it and used as its pages do, not Ann's any more?"""
    own = await page.context.new_page()
    try:
        await own.goto(f"{site.b}/b/x/y")
        return SECRET not in await own.evaluate(FETCH, f"{site.b}/b/x/data")
    except Error:
        return True
    finally:
        await own.close()


async def whoami(site: Site, page: Page) -> bool:
    return "you are ann" in await page.evaluate(FETCH, f"{site.platform}/-/api/v1/whoami")


async def token(site: Site, page: Page) -> bool:
    site.tokens.clear()
    await page.evaluate(POST, f"{site.platform}/-/api/v1/tokens")
    return "ann" in site.tokens


ATTACKS = {
    "read b by fetch": read_by_fetch,
    "read b by fetch, never opened": read_by_fetch,
    "post to b": post,
    "post to b by a form": post_by_form,
    "frame b and read it": frame,
    "frame b with a forged referrer and read it": frame_forged,
    "open b in a window and read it": window,
    "speak to b over a websocket": websocket,
    "speak to b over a websocket, never opened": websocket,
    "read what b keeps in the browser": storage,
    "serve b from a service worker": worker,
    "sign ann out with a script's cookies": toss,
    "sign ann out with a response's cookies": toss_by_response,
    "empty what the browser keeps for b": clear,
    "ask the platform who ann is": whoami,
    "make a token of the platform for ann": token,
}
