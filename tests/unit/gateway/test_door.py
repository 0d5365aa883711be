"""What becomes of a request, by host, page and credentials."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.arrival import Trusted, arrive
from gateway.door import Door, Forward
from gateway.identity import IdentityHeaders, Visitors
from gateway.origins import Origins
from gateway.ownkey import OwnKey
from gateway.pages import Reply
from gateway.passes import Passes
from gateway.requests import Request, RequestReader
from gateway.table import Table
from shared.identity import Signer, new_key, public_part

NAVIGATION = ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
FETCH = ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
FRAME = ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")
WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket")


class House:
    """A door, the keys to it, and what its table says."""

    def __init__(self, origins: Origins) -> None:
        self.origins = origins
        self.table = Table()
        self.session_key = new_key()
        own = new_key()
        self.key = OwnKey()
        self.key.use(own)
        for key, use in ((self.session_key, "session"), (own, "identity")):
            document = {"kid": key["kid"], "use": use, "jwk": public_part(key)}
            self.table.set("signing-keys", key["kid"], document)
        self.person("ann")
        for app in ("a", "b"):
            self.route(app)
            self.access(app, "signed-in")
        self.door = Door(
            self.table,
            origins,
            Passes(self.table, self.key),
            Visitors(self.table),
            IdentityHeaders(self.key),
        )

    def person(self, user: str, **more: Any) -> None:
        self.table.set("people", user, {"user": user, "role": "viewer", "active": True} | more)

    def access(self, app: str, mode: str) -> None:
        self.table.set("access", app, {"app": app, "mode": mode, "owner": "olga"})

    def route(self, app: str, **more: Any) -> None:
        document = {
            "app": app,
            "revision": 1,
            "state": "running",
            "targets": [{"instance": f"{app}.1", "address": "127.0.0.1:1"}],
        }
        self.table.set("routes", app, document | more)

    def session(self, sid: str = "s1", user: str = "ann") -> str:
        now = int(time.time())
        claims = {"iss": "moorage", "sub": user, "sid": sid, "iat": now, "exp": now + 600}
        name = self.door.names.session.decode()
        return f"{name}={Signer(self.session_key).sign(claims)}"

    def request(self, path: str, *lines: str, host: str = "h", method: str = "GET") -> Request:
        head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines]) + "\r\n"
        return RequestReader().read(head.encode())

    def ask(self, path: str, *lines: str, host: str = "h", method: str = "GET") -> Forward | Reply:
        request = self.request(path, *lines, host=host, method=method)
        scheme = self.origins.scheme
        return self.door.decide(
            request, arrive("1.1.1.1", scheme, request.fields.host, None, Trusted())
        )

    def status(self, *args: str, **more: str) -> int:
        outcome = self.ask(*args, **more)
        return outcome.status if isinstance(outcome, Reply) else 200

    def opened(self, path: str, *lines: str, **more: str) -> str:
        """The pass that opening an app in a window brings."""
        outcome = self.ask(path, *NAVIGATION, *lines, **more)
        assert isinstance(outcome, Forward), outcome
        return outcome.cookie.decode().removeprefix("Set-Cookie: ").partition(";")[0]


@pytest.fixture
def house() -> House:
    return House(Origins("http://h"))


def cookies(*values: str) -> str:
    return "Cookie: " + "; ".join(values)


# -- one host, apps by path


def test_opening_an_app_brings_its_pass_once(house: House) -> None:
    session = house.session()
    outcome = house.ask("/a/", *NAVIGATION, cookies(session))
    assert isinstance(outcome, Forward)
    assert outcome.user == "ann"
    assert b"; Path=/a/; HttpOnly; SameSite=Lax" in outcome.cookie
    own = house.opened("/a/", cookies(session))
    again = house.ask("/a/", *NAVIGATION, cookies(session, own))
    assert isinstance(again, Forward)
    assert again.cookie == b""


def test_pages_of_other_apps_cannot_use_an_app_that_was_never_opened(house: House) -> None:
    session = house.session()
    pass_a, pass_b = (house.opened(f"/{app}/", cookies(session)) for app in "ab")
    assert house.status("/b/", *FETCH, cookies(session)) == 403
    assert house.status("/b/", *FETCH, cookies(session, pass_a)) == 403
    assert house.status("/b/", *FETCH, cookies(session, pass_b)) == 200
    assert house.status("/b/", *WEBSOCKET, "Origin: http://h", cookies(session)) == 403
    assert house.status("/b/", *WEBSOCKET, "Origin: http://h", cookies(session, pass_b)) == 200


def test_a_pass_holds_for_its_own_sign_in_alone(house: House) -> None:
    own = house.opened("/a/", cookies(house.session("s1")))
    assert house.status("/a/", *FETCH, cookies(house.session("s2"), own)) == 403
    assert house.status("/a/", *FETCH, cookies(own)) == 401
    assert house.status("/a/", *FETCH, cookies("moorage_app=junk", house.session("s1"), own)) == 200
    forged = own.replace("moorage_app=", "moorage_session=")
    assert house.status("/a/", *NAVIGATION, cookies(forged)) == 401


def test_programs_need_no_pass(house: House) -> None:
    assert house.status("/a/", cookies(house.session())) == 200
    assert house.status("/a/x", cookies(house.session()), method="POST") == 200
    assert house.status("/a/x", *WEBSOCKET, cookies(house.session())) == 200


def test_what_a_browser_only_prepares_brings_no_pass(house: House) -> None:
    ahead = (*NAVIGATION, "Sec-Purpose: prefetch")
    assert house.status("/a/", *ahead, cookies(house.session())) == 403


def test_frames_belong_to_pages_of_the_same_app(house: House) -> None:
    held = cookies(house.session(), house.opened("/a/", cookies(house.session())))
    assert house.status("/a/x", *FRAME, held, "Referer: http://h/a/page") == 200
    assert house.status("/a/x", *FRAME, held, "Referer: http://h/b/") == 403
    assert house.status("/a/x", *FRAME, held) == 403
    assert (
        house.status("/a/x", *(line.replace("same-origin", "cross-site") for line in FRAME)) == 403
    )


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_other_sites_may_link_and_nothing_else(house: House, site: str) -> None:
    held = cookies(house.session(), house.opened("/a/", cookies(house.session())))
    here = f"Sec-Fetch-Site: {site}"
    assert house.status("/a/", here, "Sec-Fetch-Mode: navigate", held) == 200
    assert house.status("/a/", here, "Sec-Fetch-Mode: navigate", held, method="POST") == 403
    assert house.status("/a/", here, "Sec-Fetch-Mode: no-cors", held) == 403
    assert house.status("/a/", here, "Sec-Fetch-Mode: cors", held) == 403
    house.access("a", "public")
    assert house.status("/a/", here, "Sec-Fetch-Mode: cors", held) == 403
    anonymous = house.status("/a/", here, "Sec-Fetch-Mode: cors")
    assert anonymous == (200 if site == "cross-site" else 403)


def test_revocation_reaches_what_was_remembered(house: House) -> None:
    held = cookies(house.session(), house.opened("/a/", cookies(house.session())))
    request = house.request("/a/", *FETCH, held)
    arrival = arrive("1.1.1.1", "http", b"h", None, Trusted())
    for change in (
        lambda: house.access("a", "restricted"),
        lambda: house.person("ann", active=False),
        lambda: house.table.set("ended-sessions", "s1", {"ends": time.time() + 10}),
    ):
        assert isinstance(house.door.decide(request, arrival), Forward)
        assert house.door.still_admits(request, arrival, "a")
        change()
        assert isinstance(house.door.decide(request, arrival), Reply)
        assert not house.door.still_admits(request, arrival, "a")
        house.access("a", "signed-in")
        house.person("ann")
        house.table.delete("ended-sessions", "s1")


def test_isolated_app_without_hosts_for_apps(house: House) -> None:
    house.route("a", isolated=True)
    assert house.status("/a/", cookies(house.session())) == 503


# -- hosts of their own


def location(reply: Forward | Reply) -> str:
    assert isinstance(reply, Reply), reply
    return dict(reply.headers)["Location"]


def set_cookie(reply: Forward | Reply) -> str:
    assert isinstance(reply, Reply), reply
    return dict(reply.headers)["Set-Cookie"]


def value(line: str) -> str:
    return line.partition(";")[0]


@pytest.fixture
def hosts() -> House:
    return House(Origins("https://p.test", "p.test", "apps.test", "own.test"))


@pytest.mark.parametrize("host", ["apps.test", "a.own.test"])
def test_the_way_in_to_a_host_of_apps(hosts: House, host: str) -> None:
    asked = hosts.ask("/a/x?y=1&z", *NAVIGATION, "Accept: text/html", host=host)
    state = set_cookie(asked)
    assert state.startswith("__Host-moorage_state=")
    assert "; Path=/; " in state
    assert state.endswith("; Secure")
    way = location(asked).removeprefix("https://p.test")
    unknown = hosts.ask(way, *NAVIGATION, host="p.test")
    assert location(unknown).startswith("/-/auth/login?next=/-/enter")
    ticket = location(hosts.ask(way, *NAVIGATION, cookies(hosts.session()), host="p.test"))
    assert ticket.startswith(f"https://{host}/-/enter?ticket=")
    rest = ticket.removeprefix(f"https://{host}")

    stranger = hosts.ask(rest, *NAVIGATION, cookies("__Host-moorage_state=other"), host=host)
    assert "Set-Cookie" not in dict(stranger.headers) if isinstance(stranger, Reply) else False
    assert hosts.status(rest, *NAVIGATION, host=host) == 400
    entered = hosts.ask(rest, *NAVIGATION, cookies(value(state)), host=host)
    assert location(entered) == "/a/x?y=1&z"
    door = set_cookie(entered)
    assert door.startswith("__Host-moorage_door=")
    inside = hosts.ask("/a/x", *NAVIGATION, cookies(value(door)), host=host)
    assert isinstance(inside, Forward)
    assert inside.user == "ann"
    assert inside.shared is (host == "apps.test")


def enter(house: House, app: str, host: str) -> str:
    """The cookie with which somebody has come in."""
    asked = house.ask(f"/{app}/", *NAVIGATION, "Accept: text/html", host=host)
    way = location(asked).removeprefix(house.origins.platform)
    ticket = location(house.ask(way, cookies(house.session()), host="p.test"))
    rest = ticket[ticket.index("/-/") :]
    return value(set_cookie(house.ask(rest, cookies(value(set_cookie(asked))), host=host)))


def test_a_door_cookie_is_good_for_its_host_alone(hosts: House) -> None:
    own = enter(hosts, "a", "a.own.test")
    assert hosts.status("/a/", *FETCH, cookies(own), host="a.own.test") == 200
    assert hosts.status("/b/", *FETCH, cookies(own), host="b.own.test") == 401
    assert hosts.status("/a/", *FETCH, cookies(own), host="apps.test") == 401
    assert hosts.status("/-/api/v1/whoami", cookies(own), host="p.test") == 401
    session = own.replace("door=", "session=")
    assert hosts.status("/-/api/v1/whoami", cookies(session), host="p.test") == 401


def test_the_platforms_session_has_no_power_on_hosts_of_apps(hosts: House) -> None:
    assert hosts.status("/a/", *FETCH, cookies(hosts.session()), host="a.own.test") == 401
    assert hosts.status("/-/api/v1/whoami", cookies(hosts.session()), host="apps.test") == 404
    assert hosts.status("/-/api/v1/whoami", cookies(hosts.session()), host="p.test") == 200


def test_apps_are_not_served_on_the_platforms_host(hosts: House) -> None:
    assert location(hosts.ask("/a/x?y", host="p.test")) == "https://apps.test/a/x?y"
    assert hosts.status("/a/x", host="p.test", method="POST") == 421
    hosts.route("a", isolated=True)
    assert location(hosts.ask("/a/x", host="p.test")) == "https://a.own.test/a/x"
    assert location(hosts.ask("/a/x", host="apps.test")) == "https://a.own.test/a/x"


def test_hosts_of_apps_serve_one_app(hosts: House) -> None:
    assert location(hosts.ask("/", host="a.own.test")) == "/a/"
    assert location(hosts.ask("/", host="apps.test")) == "https://p.test/"
    assert hosts.status("/b/", host="a.own.test") == 404
    assert hosts.status("/", host="elsewhere") == 421


def test_tickets_lead_to_our_own_hosts_only(hosts: House) -> None:
    state = "state=" + "0" * 64
    for to in ("https://evil.test/", "https://p.test/", "//evil.test", "", "https://x@apps.test/"):
        way = f"/-/enter?{state}&to={to}"
        assert hosts.status(way, cookies(hosts.session()), host="p.test") == 400, to
    framed = hosts.status(
        f"/-/enter?{state}&to=https://apps.test/a/", *FRAME, cookies(hosts.session()), host="p.test"
    )
    assert framed == 403


def test_coming_in_ends_at_a_path_of_the_host(hosts: House) -> None:
    asked = hosts.ask("/a/", *NAVIGATION, "Accept: text/html", host="apps.test")
    way = urlsplit(location(asked))
    ticket = location(hosts.ask(f"{way.path}?{way.query}", cookies(hosts.session()), host="p.test"))
    signed = parse_qs(urlsplit(ticket).query)["ticket"][0]
    for to in ("//evil", "/%5Cevil", "https://evil", "/a%0d%0aX:1"):
        outcome = hosts.ask(
            f"/-/enter?ticket={signed}&to={to}",
            cookies(value(set_cookie(asked))),
            host="apps.test",
        )
        assert location(outcome) == "/"
