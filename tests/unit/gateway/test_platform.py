"""The platform's paths."""

import pytest

from gateway.platform import find


@pytest.mark.parametrize(
    ("path", "service", "app"),
    [
        ("/", "portal", ""),
        ("/-/static/app.css", "portal", ""),
        ("/-/auth/login", "auth", ""),
        ("/-/auth/jwks.json", "auth", ""),
        ("/-/git/sales.git/info/refs", "git_ingest", "sales"),
        ("/-/git/Sales.git/info/refs", "git_ingest", ""),
        ("/-/api/v1/login", "auth", ""),
        ("/-/api/v1/whoami", "auth", ""),
        ("/-/api/v1/password", "auth", ""),
        ("/-/api/v1/tokens/7", "auth", ""),
        ("/-/api/v1/users/ann", "auth", ""),
        ("/-/api/v1/apps", "portal", ""),
        ("/-/api/v1/apps/sales", "portal", "sales"),
        ("/-/api/v1/apps/sales/access", "auth", "sales"),
        ("/-/api/v1/apps/sales/builds", "builder", "sales"),
        ("/-/api/v1/apps/sales/builds/7/log", "builder", "sales"),
        ("/-/api/v1/apps/sales/rollback", "scheduler", "sales"),
        ("/-/api/v1/apps/sales/logs", "scheduler", "sales"),
        ("/-/api/v1/apps/sales/config", "secrets", "sales"),
        ("/-/api/v1/apps/sales/secrets", "secrets", "sales"),
        ("/-/api/v1/dead-letters/7/replay", "portal", ""),
        ("/-/api/v1/openapi.json", "portal", ""),
    ],
)
def test_found(path: str, service: str, app: str) -> None:
    place = find(path)
    assert place is not None
    assert (place.service, place.app) == (service, app)


@pytest.mark.parametrize(
    "path",
    [
        "/-",
        "/-/",
        "/-/api/v1/apps/Sales",
        "/-/api/v1/apps/sales/",
        "/-/api/v1/apps/sales/else",
        "/-/git/sales/info/refs",
        "/-/api/v2/apps",
        "/x",
    ],
)
def test_not_found(path: str) -> None:
    assert find(path) is None


def test_only_signing_in_and_static_files_are_open_to_anybody() -> None:
    for path in ("/-/auth/login", "/-/api/v1/login", "/-/static/x"):
        place = find(path)
        assert place is not None
        assert place.anonymous
    for path in ("/", "/-/api/v1/whoami", "/-/git/a.git/info/refs", "/-/api/v1/apps/a/access"):
        place = find(path)
        assert place is not None
        assert not place.anonymous
