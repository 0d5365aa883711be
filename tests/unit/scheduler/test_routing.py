"""Where traffic goes, as a function of rows."""

from services.scheduler.routing import routing_of


def app(**columns):
    return {"live_release": 3, "live_generation": 7, "formation": {"web": 1}, **columns}


def instance(name="sales.web.7-1", state="healthy", **columns):
    return {
        "instance": name,
        "process_type": "web",
        "generation": 7,
        "state": state,
        "port": 20001,
        "reference": {"pid": 4711, "proof": "process:4711:123"},
        "reason": "",
        **columns,
    }


def test_traffic_goes_to_healthy_web_instances_of_the_live_generation():
    rows = [
        instance(),
        instance("sales.web.8-1", generation=8, state="starting", port=20002),
        instance("sales.worker.7-1", process_type="worker", port=None),
        instance("sales.web.6-1", generation=6, state="draining", port=20003),
    ]
    found = routing_of(app(), rows, {"prefix_mode": "strip", "sticky": True})
    assert found["state"] == "running"
    assert found["targets"] == [
        {
            "instance": "sales.web.7-1",
            "address": "127.0.0.1:20001",
            "proof": "process:4711:123",
        }
    ]
    assert found["retiring"] == ["sales.web.6-1"]
    assert (found["prefix_mode"], found["sticky"]) == ("strip", True)


def test_an_app_without_a_target_says_why():
    crashed = instance(state="crashed", reason="exit status 1")
    assert routing_of(app(live_release=None), [], {})["state"] == "empty"
    assert routing_of(app(formation={"web": 0}), [], {})["state"] == "stopped"
    assert routing_of(app(), [instance(state="starting")], {})["state"] == "starting"
    found = routing_of(app(), [crashed], {})
    assert (found["state"], found["reason"]) == ("crashed", "exit status 1")


def test_a_crashed_instance_beside_a_healthy_one_takes_nothing_away():
    rows = [instance(), instance("sales.web.7-2", state="crashed", reason="out of memory")]
    found = routing_of(app(), rows, {})
    assert found["state"] == "running"
    assert len(found["targets"]) == 1


def test_targets_come_in_the_order_of_their_names_and_may_lack_a_proof():
    """An instance that was started by an earlier version of the platform has none."""
    rows = [
        instance("sales.web.7-2", port=20002, reference=None),
        instance("sales.web.7-1", reference={"pid": 1}),
    ]
    targets = routing_of(app(), rows, {})["targets"]
    assert [target["instance"] for target in targets] == ["sales.web.7-1", "sales.web.7-2"]
    assert [target["proof"] for target in targets] == ["", ""]


def test_an_instance_that_was_started_again_has_another_proof():
    before = routing_of(app(), [instance()], {})
    again = instance(reference={"proof": "process:4712:999"})
    assert routing_of(app(), [again], {}) != before
