"""What a process may do on the bus follows from the catalogue."""

from shared.bus.permissions import permissions
from shared.events.catalogue import BUCKETS, CATALOGUE, PROCESSES


def published(process):
    return permissions(process)["publish"]["allow"]


def test_an_event_is_published_by_its_publisher_alone():
    for entry in CATALOGUE:
        subject = f"evt.{entry.model.TYPE}.*"
        holders = {process for process in PROCESSES if subject in published(process)}
        assert holders == {entry.publisher}


def test_a_bucket_is_written_by_its_writers_alone():
    for bucket in BUCKETS:
        holders = {p for p in PROCESSES if f"$KV.{bucket.name}.>" in published(p)}
        assert holders == set(bucket.writers)


def test_private_keys_are_read_by_the_gateway_alone():
    reading = "$JS.API.DIRECT.GET.KV_gateway-keys.>"
    assert {p for p in PROCESSES if reading in published(p)} == {"gateway", "auth"}


def test_nobody_hears_the_inbox_of_another_or_changes_a_stream():
    for process in PROCESSES:
        heard = permissions(process)["subscribe"]["allow"]
        assert [s for s in heard if s.startswith("_INBOX")] == [f"_INBOX_{process}.>"]
        assert ">" not in heard
        forbidden = ("STREAM.UPDATE", "STREAM.DELETE", "STREAM.RESTORE")
        assert not [s for s in published(process) for verb in forbidden if verb in s]
