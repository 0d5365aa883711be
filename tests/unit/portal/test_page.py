"""The page as text: what a template makes of names that people chose."""

import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from services.portal.catalogue import App
from services.portal.links import Links
from services.portal.page import HERE, _templates, _words
from services.portal.states import States
from shared.identity import Caller

LINKS = Links("https://apps.example.org")


def app(name: str, title: str = "") -> App:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return App(name, "ada", title, "<b>bold</b>", ("t&c",), now, 1, now, None, "public", ())


def rendered(*apps: App, query: str = "", role: str = "viewer") -> str:
    states = States(None)
    states.change("crashing", {"state": "crashed", "reason": "exit 1"})
    rooms = SimpleNamespace(states=states, links=LINKS)
    who = Caller(user="ada", platform_role=role)
    words = _words(rooms, who, list(apps), query)
    return _templates().get_template("home.html").render(words)


def test_everything_people_wrote_is_escaped():
    html = rendered(app("sales", '"><script>x</script>'))
    assert "<script>x" not in html
    assert "<b>" not in html
    assert "t&amp;c" in html


def test_search_without_a_script():
    html = rendered(app("sales"), app("costs"), query="cost")
    assert re.search(r'<li data-text="sales[^"]*" hidden>', html)
    assert re.search(r'<li data-text="costs[^"]*">', html)
    assert "1 of 2" in html


def test_states_are_words_not_only_colours():
    html = rendered(app("crashing"), app("new"))
    assert "Crashed" in html
    assert "Nothing pushed yet" in html


@pytest.mark.parametrize(
    ("role", "shown"), [("developer", "git push moorage main"), ("viewer", "Nobody has shared")]
)
def test_empty_states_teach(role, shown):
    assert shown in rendered(role=role)


def test_commands_name_this_platform():
    assert "https://apps.example.org/-/git/my-app.git" in LINKS.commands("my-app")[1]


def test_no_inline_script_style_or_foreign_address():
    html = rendered(app("sales"), role="developer")
    assert " style=" not in html
    assert "<style" not in html
    assert not re.search(r"<script(?! src=)", html)
    assert not re.search(r"\son[a-z]+=", html)
    sources = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert all(source.startswith(("/", "#")) for source in sources)
    for name in ("portal.css", "portal.js"):
        assert "http" not in (HERE / "static" / name).read_text()


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two colours "#rrggbb"."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_contrast_in_both_themes():
    css = (HERE / "static" / "portal.css").read_text()
    themes = [dict(re.findall(r"--([a-z-]+): (#\w{6});", part)) for part in css.split("@media")[:2]]
    for theme in themes:
        for ink in ("ink", "soft", "good", "wait", "bad", "accent"):
            for ground in ("page", "paper"):
                assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
        assert contrast(theme["accent"], theme["accent-ink"]) >= 4.5
    for shade in re.findall(r"\.shade-\d \{ background: (#\w{6})", css):
        assert contrast(shade, "#ffffff") >= 4.5, shade
