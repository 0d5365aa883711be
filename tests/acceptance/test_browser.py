"""A person with a browser: signs in, finds the app, uses it."""

import os
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.harness.apps import dash_app
from tests.harness.platform import repository

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

if BROWSER is None and not os.environ.get("CI"):
    pytest.skip(
        "no Chromium on this machine: install the package 'chromium' to run the browser tests",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def page():
    assert BROWSER, "CI needs a Chromium; .ci/run installs one"
    # Chromium refuses to lock itself in as root.
    arguments = [*QUIET, *(["--no-sandbox"] if os.getuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=arguments)
        context = browser.new_context()
        opened = context.new_page()
        yield opened
        browser.close()


def test_a_person_signs_in_finds_the_app_and_uses_it(platform, page, tmp_path):
    source = repository(tmp_path / "src", dash_app("browser"))
    pushed = platform.push(source, "seen")
    assert pushed.returncode == 0, pushed.stdout

    page.goto(f"{platform.url}/seen/")
    assert "/-/auth/login" in page.url
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    assert "/-/auth/login" in page.url
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(platform.layout.admin_password.read_text().strip())
    page.get_by_role("button", name="Sign in").click()

    page.wait_for_url("**/seen/")
    complaints: list[str] = []  # from here on: the refusal of the wrong password is one as well
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.reload()
    expect(page.locator("#title")).to_have_text("Version browser")
    page.locator("#name").fill("Grace")
    expect(page.locator("#greeting")).to_have_text("Hello, Grace, from browser")

    page.goto(f"{platform.url}/")
    card = page.get_by_role("link", name="seen")
    expect(card.first).to_be_visible()
    card.first.click()
    page.wait_for_url("**/seen/")
    assert complaints == []

    page.goto(f"{platform.url}/")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{platform.url}/seen/")
    assert "/-/auth/login" in page.url
