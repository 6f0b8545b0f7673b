"""What the planner says about who comes out, in which order, and down to how many."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from capacity.reference import WHOLE_SITE
from portal.cloud.types import BalancerStatus, Condition, NodeStatus, NodeType
from portal.errors import Refused
from scaledown.candidates import ContactGap, Decay, EventKnown, candidates
from scaledown.less import is_less, same_pool
from scaledown.planner import DRAIN_SPARE_S, build_plan_data, check_choice, propose_target
from scaledown.preview import preview
from scaledown.types import AtLimit, Grade, ImageRule, Order, PlannedBaseline
from tests.scaledown.planner_cases import CHOICE, EVENT, NOW, balancer, known, node, pool, server


def names(members):
    return [member.server.name for member in members]


def reasons(found, name):
    return {why.code for one in found.excluded if one.name == name for why in one.reasons}


def shown(choice=CHOICE, a_pool=None, facts=None):
    a_pool, facts = a_pool or pool(), facts or known()
    return preview(build_plan_data(choice, a_pool, facts), choice, a_pool, facts)


def codes(seen, *, blocking=None):
    return {warning.code for warning in seen.warnings if blocking is None or warning.blocks is blocking}


def test_the_last_server_in_is_the_first_one_out():
    assert names(candidates(CHOICE, pool(), known()).order) == ["web-06", "web-05", "web-04"]


def test_the_record_decides_the_order_even_where_creation_times_say_otherwise():
    facts = known()
    turned = replace(
        facts,
        added=tuple(
            replace(entry, position=position) for position, entry in enumerate(reversed(facts.added), 1)
        ),
    )
    assert names(candidates(CHOICE, pool(), turned).order) == ["web-04", "web-05", "web-06"]


def test_newest_first_goes_by_creation_and_needs_no_record():
    choice = replace(CHOICE, order=Order.NEWEST_FIRST)
    facts = known(added=(), event_starts_at=EVENT)
    assert names(candidates(choice, pool(), facts).order) == ["web-06", "web-05", "web-04"]


def test_a_server_that_existed_before_the_event_stays_until_the_plan_names_it():
    found = candidates(CHOICE, pool(), known())
    assert reasons(found, "web-01") == {"existed_before_event"}
    lifted = candidates(replace(CHOICE, lifted=("srv-01",)), pool(), known())
    assert names(lifted.order) == ["web-06", "web-05", "web-04", "web-01"]


def test_a_lifted_block_is_part_of_the_plan_only_if_the_server_comes_out():
    choice = replace(CHOICE, lifted=("srv-01",))
    assert build_plan_data(choice, pool(), known()).lifted == ()
    lower = replace(choice, target=2, target_reason="Only the shop's back office is left.")
    assert build_plan_data(lower, pool(), known()).lifted == ("srv-01",)


def other_server(**changes):
    return pool(servers=[*(server(n) for n in range(1, 6)), server(6, **changes)])


def other_node(**changes):
    return pool(nodes=[*(node(n) for n in range(1, 6)), node(6, **changes)])


@pytest.mark.parametrize(
    ("seen", "facts", "code"),
    [
        (pool(), known(protected={"srv-06": "licence server"}), "protected"),
        (pool(), known(added=known().added[:2]), "not_in_record"),
        (other_server(metadata={"rax:autoscale:group:id": "g1"}), known(), "autoscaled"),
        (other_server(floating=("203.0.113.9",)), known(), "floating_address"),
        (pool(holders={**pool().holders, "10.0.0.6": ("71", "99")}), known(), "other_balancer"),
        (pool(holders={"10.0.0.5": ("71",)}), known(), "holders_unknown"),
        (other_node(type=NodeType.SECONDARY), known(), "secondary"),
        (other_node(status=NodeStatus.OFFLINE), known(), "not_serving"),
        (other_node(condition=Condition.DRAINING), known(), "not_serving"),
        (other_server(task_state="rebooting"), known(), "busy"),
        (other_server(status="ERROR"), known(), "busy"),
        (other_server(is_locked=True), known(), "locked"),
        (pool(volumes={**pool().volumes, "srv-06": ("vol-1",)}), known(), "volumes"),
    ],
)
def test_each_reason_keeps_a_server_out_of_the_plan(seen, facts, code):
    found = candidates(CHOICE, seen, facts)
    assert code in reasons(found, "web-06")
    assert "web-06" not in names(found.order)


def test_a_node_that_fits_no_server_counts_for_nothing_and_is_shown():
    seen = pool(nodes=[*(node(n) for n in range(1, 7)), node(9)])
    found = candidates(CHOICE, seen, known())
    assert found.serving == 6
    assert [stray.node.address for stray in found.strays] == ["10.0.0.9"]
    assert "node_unmatched" in codes(shown(a_pool=seen))


def test_a_node_that_fits_two_servers_keeps_both_out():
    twin = server(7, addresses=("10.0.0.6",))
    seen = pool(servers=[*(server(n) for n in range(1, 7)), twin])
    found = candidates(CHOICE, seen, known())
    assert "web-06" not in names(found.order)
    assert found.serving == 5


def test_a_server_with_two_nodes_on_a_balancer_is_one_server():
    seen = pool(nodes=[*(node(n) for n in range(1, 7)), node(6, id="206", port=8080)])
    assert candidates(CHOICE, seen, known()).serving == 6
    assert len(build_plan_data(CHOICE, seen, known()).servers[0].nodes) == 2


@pytest.mark.parametrize(
    ("peak", "count"),
    [
        (150.0, 3),  # 2 would lose a host and be at 150 %
        (200.0, 3),  # 3 at 67 %, with one lost exactly at the ceiling
        (201.0, 4),  # one lost would be over the ceiling
        (240.0, 4),
        (500.0, 6),  # not even five carry it: nothing is taken out
    ],
)
def test_the_proposed_size_carries_the_peak_even_without_any_one_host(peak, count):
    facts = known(forecast_peak_rps=peak)
    proposal = propose_target(CHOICE, candidates(CHOICE, pool(), facts), facts)
    assert (proposal.count, proposal.basis) == (count, "sizing")


def test_servers_on_one_host_are_lost_together():
    servers = [server(n, host_id="same" if n in {1, 2} else f"host-{n}") for n in range(1, 7)]
    facts = known(forecast_peak_rps=150.0)
    seen = pool(servers=servers)
    # With 3 left, losing the shared host leaves one at 150 %.
    assert propose_target(CHOICE, candidates(CHOICE, seen, facts), facts).count == 4


def test_without_a_ceiling_the_proposal_is_the_count_before_the_event():
    facts = known(ceiling_rps=None)
    proposal = propose_target(CHOICE, candidates(CHOICE, pool(), facts), facts)
    assert (proposal.count, proposal.basis) == (3, "before_event")


def test_with_nothing_known_nothing_is_proposed():
    facts = known(ceiling_rps=None, added=(), event_starts_at=None)
    choice = replace(CHOICE, order=Order.NEWEST_FIRST)
    proposal = propose_target(choice, candidates(choice, pool(), facts), facts)
    assert (proposal.count, proposal.basis) == (6, "nothing_known")


def test_the_proposal_never_goes_below_the_floor():
    choice = replace(CHOICE, floor=5)
    facts = known(forecast_peak_rps=10.0)
    assert propose_target(choice, candidates(choice, pool(), facts), facts).count == 5


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"balancer_ids": ()}, "no_balancer"),
        ({"balancer_ids": ("71", "72")}, "balancer_missing"),
        ({"floor": 0}, "floor_too_low"),
        ({"target": 1}, "target_below_floor"),
        ({"target": 6}, "nothing_to_do"),
        ({"target": 7}, "nothing_to_do"),
        ({"target": 2}, "too_few_candidates"),
        ({"zeros_needed": 2}, "zeros_too_few"),
        ({"soak_s": 0.0}, "duration_not_positive"),
        ({"drain_limit_s": 0.0}, "duration_not_positive"),
        ({"min_drain_s": 100.0, "drain_limit_s": 99.0}, "drain_never_ends"),
        ({"hold_s": -1.0}, "duration_negative"),
        ({"probe_failures_allowed": 1.0}, "share_out_of_range"),
        ({"guard_share": 1.01}, "share_out_of_range"),
        ({"window_start": NOW, "window_end": NOW}, "window_backwards"),
        ({"balancer_ids": ("71", "72", "71")}, "balancer_twice"),
    ],
)
def test_a_choice_that_makes_no_plan_is_refused_with_its_reason(changes, code):
    with pytest.raises(Refused) as refusal:
        build_plan_data(replace(CHOICE, **changes), pool(), known())
    assert refusal.value.code == code


def test_every_balancer_of_the_plan_keeps_its_floor():
    second = balancer([node(5, id="305"), node(6, id="306")], id="72", name="static")
    seen = pool(
        balancers=(balancer([node(n) for n in range(1, 7)]), second),
        holders={f"10.0.0.{n}": ("71", "72") if n >= 5 else ("71",) for n in range(1, 7)},
    )
    with pytest.raises(Refused) as refusal:
        build_plan_data(replace(CHOICE, balancer_ids=("71", "72")), seen, known())
    assert refusal.value.code == "below_floor"


@pytest.mark.parametrize(("chosen", "planned"), [(None, 7.0), (1.0, 7.0), (6.9, 7.0), (30.0, 30.0)])
def test_the_shortest_drain_is_never_less_than_the_balancers_timeout_and_margin(chosen, planned):
    plan = build_plan_data(replace(CHOICE, min_drain_s=chosen), pool(), known())
    assert plan.min_drain_s == planned


def test_a_drain_limit_leaves_time_to_count_a_server_empty_after_the_shortest_drain():
    plan = build_plan_data(replace(CHOICE, drain_limit_s=1.0), pool(), known())
    assert plan.drain_limit_s == plan.min_drain_s + DRAIN_SPARE_S


def test_the_preview_shows_each_step_with_the_nodes_left_and_the_load_at_the_next_peak():
    seen = shown()
    assert [(step.server_name, step.nodes_left) for step in seen.steps] == [
        ("web-06", 5),
        ("web-05", 4),
        ("web-04", 3),
    ]
    assert [step.peak_share_of_ceiling for step in seen.steps] == pytest.approx([0.3, 0.375, 0.5])
    assert [step.peak_share_one_host_lost for step in seen.steps] == pytest.approx([0.375, 0.5, 0.75])
    assert seen.stays == ("web-01", "web-02", "web-03")


def test_the_load_is_unknown_and_not_zero_without_a_forecast():
    assert [step.peak_share_of_ceiling for step in shown(facts=known(forecast_peak_rps=None)).steps] == [
        None
    ] * 3


def test_the_likely_time_lies_between_all_waits_and_all_limits():
    choice = replace(CHOICE, soak_s=10, hold_s=5, pause_between_s=1, drain_limit_s=60)
    seen = shown(choice)
    assert seen.likely_min_s >= 3 * (7 + 10 + 5) + 2
    assert seen.likely_max_s >= 3 * (60 + 10 + 5) + 2
    assert seen.likely_min_s < seen.likely_max_s


@pytest.mark.parametrize(
    ("half_lives_ago", "half_life_h", "pause_s"),
    [
        (1.0, 8.0, 8 * 3600.0),
        (3.7, 8.0, 0.8 * 3600),
        (4.0, 8.0, 60.0),
        (9.0, 8.0, 60.0),
        (1.0, 40.0, 43_200.0),
    ],
)
def test_servers_leave_no_faster_than_the_traffic_of_the_event(half_lives_ago, half_life_h, pause_s):
    half_life = timedelta(hours=half_life_h)
    facts = known(decay=Decay("“Black week”", NOW - half_lives_ago * half_life, half_life.total_seconds()))
    plan = build_plan_data(CHOICE, pool(), facts)
    assert len(plan.servers) == 3
    assert plan.pause_between_s == pytest.approx(pause_s)
    assert ("traffic_goes_away" in codes(shown(facts=facts))) is (pause_s > 60.0)
    # Whoever knows better says so.
    assert build_plan_data(replace(CHOICE, pause_between_s=5.0), pool(), facts).pause_between_s == 5.0


def test_without_an_event_in_the_traffic_the_pause_is_a_minute():
    assert build_plan_data(CHOICE, pool(), known()).pause_between_s == 60.0


def test_the_preview_of_a_sound_pool_blocks_nothing_and_says_that_a_delete_is_final():
    seen = shown()
    assert not seen.is_blocked
    assert "image_no_backup" in codes(seen)
    assert any("created anew from an image" in line for line in seen.way_back)


def test_without_an_image_the_preview_says_that_there_is_no_way_back():
    seen = shown(replace(CHOICE, images=ImageRule.NONE))
    assert "no_image" in codes(seen)
    assert seen.imaged == ()
    assert any("no way back" in line for line in seen.way_back)


@pytest.mark.parametrize(
    ("rule", "image_ids", "imaged"),
    [
        (ImageRule.ONE_PER_KIND, ("base",) * 6, ("web-06",)),
        (ImageRule.ONE_PER_KIND, ("base",) * 4 + ("other",) * 2, ("web-06", "web-04")),
        (ImageRule.ONE_PER_KIND, (None,) * 6, ("web-06", "web-05", "web-04")),  # who knows how they differ
        (ImageRule.EACH, ("base",) * 6, ("web-06", "web-05", "web-04")),
    ],
)
def test_an_image_is_made_of_the_first_of_each_kind_or_of_each(rule, image_ids, imaged):
    servers = [server(n, image_id=image_ids[n - 1]) for n in range(1, 7)]
    seen = shown(replace(CHOICE, images=rule), pool(servers=servers))
    assert seen.imaged == imaged
    slower = shown(replace(CHOICE, images=ImageRule.NONE), pool(servers=servers))
    assert seen.likely_max_s > slower.likely_max_s


@pytest.mark.parametrize(
    ("count_kind", "chosen", "stop_s", "code"),
    [
        (None, None, 900.0, "stops_first"),
        (None, 0.0, 0.0, "idle_unknown"),
        (None, 60.0, 60.0, "stops_first"),
        ("nginx_stub_status", None, 0.0, None),
        ("nginx_stub_status", 60.0, 60.0, "stops_first"),
    ],
)
def test_a_server_is_stopped_first_where_nothing_can_show_that_it_is_idle(count_kind, chosen, stop_s, code):
    facts, choice = known(count_kind=count_kind), replace(CHOICE, stop_s=chosen)
    assert build_plan_data(choice, pool(), facts).stop_s == stop_s
    seen = shown(choice, facts=facts)
    assert {"stops_first", "idle_unknown"} & codes(seen) == ({code} if code else set())
    assert any("stopped for" in line for line in seen.way_back) is bool(stop_s)


@pytest.mark.parametrize("stop_s", [-1.0, 8 * 86_400.0])
def test_a_stop_lasts_at_most_a_week(stop_s):
    with pytest.raises(Refused):
        check_choice(replace(CHOICE, stop_s=stop_s))


@pytest.mark.parametrize("kept_s", [3600.0, 500 * 86_400.0])
def test_images_are_kept_for_a_day_at_least_and_a_year_at_most(kept_s):
    with pytest.raises(Refused):
        check_choice(replace(CHOICE, images_kept_s=kept_s))
    check_choice(replace(CHOICE, images=ImageRule.NONE, images_kept_s=kept_s))


def test_a_lower_target_needs_a_written_reason_and_shows_the_risk():
    choice = replace(CHOICE, target=3)
    facts = known(forecast_peak_rps=240.0)
    assert "below_proposal" in codes(shown(choice, facts=facts), blocking=True)
    reasoned = replace(choice, target_reason="The shop closes at the end of the week.")
    seen = shown(reasoned, facts=facts)
    warning = next(warning for warning in seen.warnings if warning.code == "below_proposal")
    assert not warning.blocks
    assert "80%" in warning.says
    assert build_plan_data(reasoned, pool(), facts).remaining_reason == reasoned.target_reason


MEASURED = frozenset(f"srv-{number:02}" for number in range(1, 7))
"""All of whose network the provider's monitoring has figures."""


@pytest.mark.parametrize(
    ("seen", "facts", "code"),
    [
        (pool(balancers=(balancer([node(n) for n in range(1, 7)], has_health_monitor=False),)), known(), "no_health_monitor"),
        (pool(balancers=(balancer([node(n) for n in range(1, 7)], session_persistence="HTTP_COOKIE"),)), known(), "session_persistence"),
        (pool(balancers=(balancer([node(n) for n in range(1, 7)], status=BalancerStatus.ERROR),)), known(), "balancer_not_active"),
        (pool(), known(count_kind=None), "evidence_timed"),
        (pool(network=frozenset({"srv-06"})), known(count_kind=None), "evidence_timed"),
        (pool(network=MEASURED), known(count_kind=None), "evidence_timed"),
        (pool(), known(count_kind=None), "load_unmeasured"),
        (pool(), known(count_kind="plain_number"), "load_unmeasured"),
        (pool(), known(), "evidence_measured"),
        (pool(), known(probes=()), "no_probe"),
        (pool(), known(ceiling_rps=None), "no_ceiling"),
        (pool(), known(forecast_peak_rps=None), "no_forecast"),
        (pool(), known(contact_gaps=(ContactGap("no_backup", "There is no backup.", "Add somebody."),)), "contacts_unconfirmed"),
        (pool(volumes={}), known(), "volumes_unknown"),
        (pool(servers=[server(n, host_id="one" if n <= 3 else f"h{n}") for n in range(1, 7)]), known(ceiling_rps=None), "one_host"),
        (pool(servers=[server(n, host_id="one" if n <= 2 else f"h{n}") for n in range(1, 7)]), known(ceiling_rps=None), "host_shared"),
        (pool(servers=[server(n, host_id=None) for n in range(1, 7)]), known(), "host_unknown"),
    ],
)  # fmt: skip
def test_each_warning_is_given_with_what_to_do(seen, facts, code):
    result = shown(a_pool=seen, facts=facts)
    assert code in codes(result)
    assert all(warning.says and warning.what_to_do for warning in result.warnings)


@pytest.mark.parametrize(
    ("grade", "measured", "code", "says"),
    [
        (Grade.MEASURED, MEASURED, "evidence_timed", "what it shows is told then"),
        (Grade.INFERRED, MEASURED, "evidence_inferred", "when a person is asked"),
        (Grade.TIMED, MEASURED, "evidence_inferred", "or 15 min after it began."),
        (Grade.INFERRED, None, "evidence_timed", "accepts no evidence as weak as that"),
        (Grade.INFERRED, frozenset({"srv-06"}), "evidence_timed", "a person is asked"),
        (Grade.TIMED, frozenset(), "evidence_timed", "it ends 15 min after it began."),
    ],
)
def test_the_preview_says_by_what_a_drain_ends_that_nothing_counts(grade, measured, code, says):
    result = shown(replace(CHOICE, accepted_grade=grade), pool(network=measured), known(count_kind=None))
    [told] = [warning for warning in result.warnings if warning.code.startswith("evidence_")]
    assert told.code == code
    assert says in told.says


def test_too_few_candidates_are_told_with_each_server_named_once_and_each_sentence_ended_once():
    facts = known(protected={"srv-06": "the payment cron runs there"})
    with pytest.raises(Refused) as refusal:
        build_plan_data(replace(CHOICE, target=3), pool(), facts)
    assert "web-06 is protected: the payment cron runs there. Choose" in refusal.value.says
    assert "web-01: web-01" not in refusal.value.says
    assert ".." not in refusal.value.says


def test_what_customers_read_in_the_preview_has_no_word_of_the_trade_in_it():
    tied = balancer([node(n) for n in range(1, 7)], session_persistence="HTTP_COOKIE")
    lower = replace(CHOICE, target=3, target_reason="The shop closes at the end of the week.")
    for facts in (
        known(),
        known(forecast_peak_rps=240.0),
        known(ceiling_rps=None),
        known(ceiling_rps=None, added=()),
    ):
        choice = replace(lower, order=Order.NEWEST_FIRST)
        seen = shown(choice, pool(balancers=(tied,)), facts)
        read = [seen.proposal.says, *seen.way_back, *(step.says for step in seen.steps)]
        read += [text for warning in seen.warnings for text in (warning.says, warning.what_to_do)]
        for word in ("ceiling", "HTTP_COOKIE", "floor", "soak", "headroom"):
            assert not [text for text in read if word in text]
        assert any("by a cookie" in text for text in read)


def test_without_a_probe_or_with_a_broken_balancer_the_plan_is_blocked():
    assert "no_probe" in codes(shown(facts=known(probes=())), blocking=True)
    broken = pool(balancers=(balancer([node(n) for n in range(1, 7)], status=BalancerStatus.ERROR),))
    assert shown(a_pool=broken).is_blocked


def test_blocking_warnings_come_first():
    seen = shown(facts=known(probes=(), ceiling_rps=None))
    flags = [warning.blocks for warning in seen.warnings]
    assert flags == sorted(flags, reverse=True)


def test_an_approval_covers_the_same_and_everything_less():
    plan = build_plan_data(CHOICE, pool(), known())
    fewer = build_plan_data(replace(CHOICE, target=4), pool(), known())
    # The servers that stay are the old ones and the one that is spared.
    assert is_less(plan, replace(fewer, target_reason=plan.target_reason))
    for change in (
        {"floor": 3},
        {"soak_s": 900.0},
        {"hold_s": 60.0},
        {"drain_limit_s": 1800.0},
        {"at_limit": AtLimit.PUT_BACK},
        {"guard_share": 0.7},
        {"window_start": NOW},
    ):
        assert is_less(plan, replace(plan, **change)), change


@pytest.mark.parametrize(
    "change",
    [
        {"floor": 1},
        {"soak_s": 1.0},
        {"drain_limit_s": 30.0},
        {"at_limit": AtLimit.CUT},
        {"accepted_grade": Grade.TIMED},
        {"probe_failures_allowed": 0.5},
        {"guard_share": 0.9},
        {"is_unattended": True},
        {"lifted": ("srv-01",)},
        {"region": "ORD"},
        {"tenant": "other"},
        {"probes": ()},
        {"ceiling_rps": 500.0},
        {"servers": ()},
    ],
)
def test_an_approval_covers_nothing_more(change):
    plan = build_plan_data(CHOICE, pool(), known())
    assert not is_less(plan, replace(plan, **change))


def test_another_order_is_not_less():
    plan = build_plan_data(CHOICE, pool(), known())
    assert not is_less(plan, replace(plan, servers=plan.servers[::-1]))


def test_a_pool_that_changed_is_told_by_name():
    plan = build_plan_data(CHOICE, pool(), known())
    assert same_pool(plan, plan) is None
    came = build_plan_data(CHOICE, pool(7), known())
    assert "web-07 joined" in (same_pool(plan, came) or "")
    assert "web-07 left" in (same_pool(came, plan) or "")
    moved = build_plan_data(CHOICE, other_node(port=8080), known())
    assert "web-06 changed" in (same_pool(plan, moved) or "")
    rehosted = build_plan_data(CHOICE, other_server(host_id="elsewhere"), known())
    assert same_pool(plan, rehosted) is None


def test_a_baseline_of_the_whole_site_is_none_of_a_probe():
    whole = PlannedBaseline(
        WHOLE_SITE, 20.0, 80.0, 120.0, 0.0, NOW - timedelta(days=2), "approved baseline 1"
    )
    assert "no_baseline" in codes(shown(facts=known(baselines=(whole,))))
    of_probe = replace(whole, probe="home")
    assert "no_baseline" not in codes(shown(facts=known(baselines=(whole, of_probe))))


@pytest.mark.parametrize(
    ("measured", "changed", "expected"),
    [
        (timedelta(days=2), None, set()),
        (timedelta(days=2), timedelta(days=3), set()),
        (timedelta(days=2), timedelta(days=1), {"baseline_before_change"}),
        (timedelta(days=60), timedelta(days=1), {"baseline_old", "baseline_before_change"}),
    ],
)
def test_a_baseline_from_before_the_last_change_of_the_site_is_a_warning(measured, changed, expected):
    measured_at = NOW - measured
    facts = known(
        baselines=(PlannedBaseline("home", 20.0, 80.0, 120.0, 0.0, measured_at, "measured"),),
        changed_at=None if changed is None else NOW - changed,
    )
    assert {code for code in codes(shown(facts=facts)) if code.startswith("baseline")} == expected


def test_what_speaks_against_the_ceiling_is_a_warning():
    assert "ceiling_doubtful" not in codes(shown())
    (warned,) = [
        one
        for one in shown(facts=known(ceiling_doubts=("A newer run carried 60.", "shop 5 came."))).warnings
        if one.code == "ceiling_doubtful"
    ]
    assert "(100 requests/s) is doubtful. A newer run carried 60. shop 5 came." in warned.says
    assert not warned.blocks


@pytest.mark.parametrize(
    ("starts_in", "ends_in", "code"),
    [
        (timedelta(days=-1), timedelta(hours=1), "event_on"),
        (timedelta(0), timedelta(hours=1), "event_on"),
        (timedelta(days=7), timedelta(days=8), "event_coming"),
        (timedelta(days=7, seconds=1), timedelta(days=8), None),
    ],
)
def test_an_event_that_is_on_or_near_is_a_warning(starts_in, ends_in, code):
    facts = known(events=(EventKnown("Cyber Monday", NOW + starts_in, NOW + ends_in),))
    assert codes(shown(facts=facts)) & {"event_on", "event_coming"} == ({code} if code else set())


@pytest.mark.parametrize(
    ("length", "code"),
    [
        (timedelta(hours=2), None),
        (timedelta(minutes=12), "window_short"),
        (timedelta(minutes=5), "window_too_short"),
    ],
)
def test_a_window_that_is_too_short_for_the_work_is_said_before_it_begins(length, code):
    choice = replace(CHOICE, window_start=NOW, window_end=NOW + length)
    seen = codes(shown(choice)) & {"window_short", "window_too_short"}
    assert seen == ({code} if code else set())
    assert shown(choice).is_blocked == (code == "window_too_short")


def test_the_plan_says_who_chose_the_size_and_what_was_proposed():
    assert "carry the forecast peak" in build_plan_data(CHOICE, pool(), known()).target_reason
    choice = replace(CHOICE, target=4, target_reason="One more over the weekend.")
    reason = build_plan_data(choice, pool(), known()).target_reason
    assert reason.startswith("Chosen by a person: One more over the weekend. Proposed were 3:")


def test_a_server_that_would_come_out_but_for_one_thing_is_a_warning_and_one_that_stays_anyway_is_not():
    volumes = {**pool().volumes, "srv-01": ("v1",), "srv-06": ("v6",)}
    seen = shown(replace(CHOICE, target=4), pool(volumes=volumes))
    assert [warning.subject for warning in seen.warnings if warning.code == "volumes"] == ["web-06"]


@pytest.mark.parametrize("ended_ago", [timedelta(0), timedelta(days=1)])
def test_a_window_that_is_over_is_called_over_and_not_too_short(ended_ago):
    choice = replace(CHOICE, window_start=NOW - timedelta(days=2), window_end=NOW - ended_ago)
    over = [one for one in shown(choice).warnings if one.code.startswith("window_")]
    assert [one.code for one in over] == ["window_over"]
    assert over[0].blocks
    assert over[0].says.startswith("The change window is over: it ended ")
    assert over[0].what_to_do == "Choose a window that is still to come, or none."
