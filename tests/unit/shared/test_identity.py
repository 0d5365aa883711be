"""Who is asking: what the gateway signs is believed, and nothing else."""

import time

import jwt
import pytest

from shared.errors import Forbidden, Unauthenticated
from shared.identity import (
    AppRole,
    Caller,
    KeyRing,
    Signer,
    caller_of,
    identity_claims,
    new_key,
    public_part,
)


def ring_of(key, use="identity"):
    ring = KeyRing("identity")
    ring.change(key["kid"], {"kid": key["kid"], "use": use, "jwk": public_part(key)})
    return ring


ADA = Caller(
    "ada", "ada@example.com", "Ada", ("quants",), "developer", "sales", AppRole.COLLABORATOR
)


def test_a_caller_survives_the_way_through_a_token():
    key = new_key()
    token = Signer(key).sign(identity_claims(ADA, "platform"))
    assert caller_of(ring_of(key).verify(token, "platform")) == ADA


def test_an_app_learns_who_looks_and_not_what_they_may_do_elsewhere():
    claims = identity_claims(ADA, "sales")
    assert claims["sub"] == "ada"
    assert not {"role", "app_role", "scopes"} & claims.keys()


def test_a_token_for_one_app_opens_no_other():
    key = new_key()
    token = Signer(key).sign(identity_claims(ADA, "sales"))
    with pytest.raises(Unauthenticated):
        ring_of(key).verify(token, "platform")


def test_an_old_token_is_refused():
    key = new_key()
    token = Signer(key).sign(identity_claims(ADA, "platform", now=time.time() - 3600))
    with pytest.raises(Unauthenticated):
        ring_of(key).verify(token, "platform")


def test_a_key_of_another_use_or_a_stranger_signs_nothing():
    key = new_key()
    token = Signer(key).sign(identity_claims(ADA, "platform"))
    for ring in (ring_of(key, use="session"), ring_of(new_key())):
        with pytest.raises(Unauthenticated):
            ring.verify(token, "platform")


def test_an_unsigned_token_is_refused():
    claims = identity_claims(ADA, "platform")
    key = new_key()
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": key["kid"]})
    with pytest.raises(Unauthenticated):
        ring_of(key).verify(unsigned, "platform")


def test_a_withdrawn_key_opens_nothing_any_more():
    key = new_key()
    ring = ring_of(key)
    token = Signer(key).sign(identity_claims(ADA, "platform"))
    ring.change(key["kid"], None)
    with pytest.raises(Unauthenticated):
        ring.verify(token, "platform")


def test_roles_include_those_below_them():
    ADA.require(AppRole.VIEWER)
    ADA.require(AppRole.COLLABORATOR)
    with pytest.raises(Forbidden, match="its owner"):
        ADA.require(AppRole.OWNER)
    Caller("root", platform_role="admin").require(AppRole.OWNER)


def test_the_public_part_of_a_key_is_public():
    assert "d" not in public_part(new_key())
