import re

from services.auth.attempts import TooManyAttempts
from services.auth.pages import SignInPage, app_of
from shared.errors import Unauthenticated


def test_the_form_works_without_any_script() -> None:
    page = SignInPage().render("/sales/?a=1")
    text = bytes(page.body).decode()
    assert '<form method="post" action="/-/auth/login">' in text
    assert '<input type="hidden" name="next" value="/sales/?a=1">' in text
    assert "to open <strong>sales</strong>" in text
    assert "<script" not in text
    assert " style=" not in text
    assert not re.search(r"\son\w+=", text)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Cache-Control"] == "no-store"


def test_a_refusal_is_said_with_its_status_and_what_was_typed_is_escaped() -> None:
    page = SignInPage().render("/", '"><script>x</script>', Unauthenticated("Wrong, sorry."))
    text = bytes(page.body).decode()
    assert page.status_code == 401
    assert "Wrong, sorry." in text
    assert "<script" not in text


def test_too_many_attempts_say_when_to_come_back() -> None:
    page = SignInPage().render("/", "ann", TooManyAttempts("Wait.", 8))
    assert page.status_code == 429
    assert page.headers["Retry-After"] == "8"


def test_the_app_of_a_path() -> None:
    assert app_of("/sales/x?y") == "sales"
    assert app_of("/") == ""
    assert app_of("/-/git/x") == ""
    assert app_of("/Sales/") == ""
