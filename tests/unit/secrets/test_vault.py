"""Every failure of the store becomes one sentence without a trace of what was sent."""

import json
import traceback

import hvac.exceptions
import pytest
import requests

from services.secrets.vault import MISSING, REFUSED, Vault
from shared.errors import Unavailable

CANARY = "canary-value"


@pytest.fixture
def vault(tmp_path):
    role = tmp_path / "role.json"
    role.write_text(json.dumps({"role_id": "r", "secret_id": "s"}))
    made = Vault("https://127.0.0.1:1", None, role, timeout=0.5)
    made._client.token = "t"
    made._sign_in = lambda stale: "t"
    return made


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (hvac.exceptions.VaultDown, Unavailable),
        (hvac.exceptions.Forbidden, Unavailable),
        (hvac.exceptions.InternalServerError, Unavailable),
        (hvac.exceptions.RateLimitExceeded, Unavailable),
        (requests.exceptions.ReadTimeout, Unavailable),
        (requests.exceptions.SSLError, Unavailable),
        (hvac.exceptions.InvalidPath, MISSING),
        (hvac.exceptions.InvalidRequest, REFUSED),
    ],
)
async def test_failures_say_nothing_of_what_was_sent(vault, raised, expected):
    def request(_client):
        raise raised(f"cannot store {CANARY}")

    with pytest.raises(expected) as caught:
        await vault.call(request)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.asyncio
async def test_forbidden_once_means_a_new_sign_in(vault):
    answers = iter([hvac.exceptions.Forbidden(), "fine"])

    def request(_client):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await vault.call(request) == "fine"


@pytest.mark.asyncio
async def test_missing_role_file_is_a_sentence(tmp_path):
    vault = Vault("https://127.0.0.1:1", None, tmp_path / "none.json", timeout=0.5)
    with pytest.raises(Unavailable, match="role"):
        await vault.call(lambda client: client.sys.read_health_status())


def test_a_policy_reads_one_document():
    from services.secrets.documents import policy_text

    assert policy_text("sales") == 'path "apps/data/sales" {\n  capabilities = ["read"]\n}\n'
