"""What a request says of where it comes from."""

import pytest
from starlette.requests import Request

from services.auth.client_address import client_address
from services.auth.same_site import check_same_origin
from shared.errors import Forbidden


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").lower().encode(), v.encode()) for name, v in headers.items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("10.0.0.1, 192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_address_the_gateway_saw(said: str, address: str) -> None:
    assert client_address(request(X_Forwarded_For=said)) == address


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec_Fetch_Site": "same-origin", "Origin": "null"},
        {"Sec_Fetch_Site": "none"},
        {"Origin": "http://here:8080", "Host": "here:8080"},
    ],
)
def test_our_own_forms_pass(headers: dict[str, str]) -> None:
    check_same_origin(request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://evil:8080", "Host": "here:8080"},
        {"Origin": "null", "Host": "here:8080"},
    ],
)
def test_forms_of_other_sites_do_not(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        check_same_origin(request(**headers))
