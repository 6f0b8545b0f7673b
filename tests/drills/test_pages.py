"""The pages of drills, walked as those who use them; how many queries each costs; who may know of an unannounced one."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from capacity.metrics.store import Samples, write
from capacity.reports.models import GrowthPicture, GrowthReport, SizedPool
from capacity.reports.packing import packed
from drills.plans import selectors, services
from drills.plans.ladder import Held
from drills.plans.models import Drill, HeldDrill
from drills.scenarios.types import DrillKind, Environment
from drills.types import Ending, Mark, MarkKind, StepState, new_progress, progress_to_plain
from portal.audit.subjects import named
from portal.errors import TryLater
from portal.frozen import replace
from portal.runs.models import JournalEntry, Run
from tests import factories as make
from tests.capacity.test_reports import metric
from tests.drills.rows import approved, draft, fresh_pool, ready, started, submitted

pytestmark = pytest.mark.django_db

# The most that each page may take, as the launch manager. A page that needs more says why in its commit.
MOST = {
    "drill-list": 6,
    "drill-choose": 6,
    "drill": 16,
    "drill-edit": 14,
    "drill-script": 9,
    "drill-withdraw": 6,
    "drill-live": 12,
}
# An approved one's, which asks also what still keeps it from beginning.
MOST_READY = 16


@pytest.fixture
def provider(monkeypatch):
    monkeypatch.setattr("drills.plans.views.read_pool", lambda connection, ids: fresh_pool())


def page(client, name, *args, status=200):
    answer = client.get(reverse(f"drills:{name}", args=args))
    assert answer.status_code == status, answer.content[:2000]
    return answer.content.decode()


def fields(here, **changes):
    now = timezone.now()
    given = {
        "title": "One node lost",
        "objective": "Nobody notices.",
        "kind": "announced",
        "environment": "test",
        "pool": f"{here.connection.ref}:71",
        "servers": ["srv-6"],
        "not_before": f"{now:%Y-%m-%dT%H:%M}",
        "not_after": f"{now + timedelta(hours=2):%Y-%m-%dT%H:%M}",
        "facilitator": str(here.manager.ref),
        "participants": [],
        "observers": [str(here.viewer.ref)],
        "emergency_plan": "Page 3.",
        "error_ratio": "5",
        "hold_s": "30",
        "boot_limit_s": "300",
        "calm_s": "30",
        "floor": "2",
        "stop_error_ratio": "20",
        "stop_window_s": "30",
        "longest_s": "300",
    }
    return {**given, **changes}


def test_a_drill_goes_from_the_scenario_to_the_live_page(here, client, provider):
    client.force_login(here.manager)
    assert "Draw up a drill" in page(client, "drill-list", here.account.ref)
    assert "node_lost" in page(client, "drill-choose", here.account.ref)
    assert "web-06" not in page(client, "drill-new", here.account.ref, "node_lost", status=200)[:100]
    address = reverse("drills:drill-new", args=[here.account.ref, "node_lost"])
    answer = client.post(address, fields(here))
    assert answer.status_code == 302, answer.content.decode()
    drill = Drill.objects.get()
    assert services.choice_of(drill).error_ratio == pytest.approx(0.05)
    assert "web-06" in page(client, "drill-edit", drill.ref)
    client.post(reverse("drills:drill-edit", args=[drill.ref]), fields(here, title="Another name"))
    drill.refresh_from_db()
    assert drill.title == "Another name"
    answer = client.post(reverse("drills:drill-submit", args=[drill.ref]))
    assert answer.status_code == 302, answer.content.decode()
    assert "Waiting for the customer" in page(client, "drill", drill.ref)
    drill.refresh_from_db()
    client.force_login(here.approver)
    assert "May this drill be held?" in page(client, "drill", drill.ref)
    client.post(reverse("drills:drill-approve", args=[drill.ref]), {"digest": drill.digest})
    client.force_login(here.manager)
    assert "It cannot begin now" in page(client, "drill", drill.ref)
    for check in services.data_of(drill).attested:
        client.post(reverse("drills:drill-attest", args=[drill.ref, check]), {"says": "Ticket 4711"})
    answer = client.post(reverse("drills:drill-start", args=[drill.ref]), {"digest": drill.digest})
    assert answer.status_code == 302, answer.content.decode()
    live = page(client, "drill-live", drill.ref)
    assert "This is real" in live
    assert "Fire drill, not a real incident" in live


def test_a_refusal_about_the_people_leaves_no_half_of_a_drill(here, client, provider):
    client.force_login(here.manager)
    mine = {"observers": [str(here.manager.ref)]}
    answer = client.post(
        reverse("drills:drill-new", args=[here.account.ref, "node_lost"]), fields(here, **mine)
    )
    assert (answer.status_code, Drill.objects.count()) == (422, 0)
    assert "Who leads a drill does not watch it" in answer.content.decode()
    drill = draft(here, observers=[here.editor])
    answer = client.post(
        reverse("drills:drill-edit", args=[drill.ref]), fields(here, title="Half of it", **mine)
    )
    assert answer.status_code == 422
    drill.refresh_from_db()
    assert drill.title != "Half of it"
    assert drill.parts.filter(user=here.editor).exists()


def test_a_refusal_says_what_is_missing_and_keeps_what_was_typed(here, client, provider):
    client.force_login(here.manager)
    address = reverse("drills:drill-new", args=[here.account.ref, "node_lost"])
    answer = client.post(address, fields(here, floor="0", title="Kept as typed"))
    assert answer.status_code == 422
    assert "Kept as typed" in answer.content.decode()
    drill = draft(here, not_before=None)
    answer = client.post(reverse("drills:drill-submit", args=[drill.ref]))
    assert answer.status_code == 422
    assert "Say when the drill may begin" in answer.content.decode()
    assert page(client, "drill-new", here.account.ref, "no_such", status=404)
    assert page(client, "drill-live", drill.ref, status=404)
    assert page(client, "drill-report", drill.ref, status=404)


def test_a_provider_that_is_away_is_said_and_nothing_is_lost(here, client, monkeypatch):
    def away(connection, ids):
        raise TryLater("The provider does not answer.", after_s=5.0, code="unreachable")

    monkeypatch.setattr("drills.plans.views.read_pool", away)
    client.force_login(here.manager)
    drill = draft(here)
    assert "The provider does not answer" in page(client, "drill-edit", drill.ref)
    answer = client.post(reverse("drills:drill-submit", args=[drill.ref]))
    assert answer.status_code == 503
    drill.refresh_from_db()
    assert drill.status == "draft"


def test_an_unannounced_drill_is_known_to_who_decides_leads_or_watches(here, client, monkeypatch):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    held = started(here, kind=DrillKind.UNANNOUNCED, observers=[here.editor])
    drill = held.drill
    for who, status in (
        (here.viewer, 404),
        (here.editor, 200),
        (here.approver, 200),
        (here.manager, 200),
        (here.stranger, 404),
    ):
        client.force_login(who)
        page(client, "drill", drill.ref, status=status)
        page(client, "drill-live", drill.ref, status=status)
        found = client.get(reverse("drills:drill-list", args=[here.account.ref]))
        assert (drill.title in found.content.decode()) is (status == 200)
    HeldDrill.objects.filter(pk=held.pk).update(ended_at=timezone.now())
    client.force_login(here.viewer)
    page(client, "drill", drill.ref)


def test_whoever_sees_a_drill_stops_it_and_notes_a_moment(here, client):
    held = started(here)
    client.force_login(here.viewer)
    live = page(client, "drill-live", held.drill.ref)
    assert "is done</button>" not in live
    for name, data in (
        ("mark", {"kind": "acknowledged"}),
        ("note", {"reason": "The shop is slow."}),
        ("stop", {}),
    ):
        client.post(reverse("drills:drill-command", args=[held.drill.ref, name]), data)
    assert list(held.run.commands.order_by("seq").values_list("name", flat=True)) == ["mark", "note", "stop"]
    answer = client.post(reverse("drills:drill-command", args=[held.drill.ref, "step-done"]), {"number": "1"})
    assert answer.status_code == 403


def test_who_takes_part_acknowledges_at_the_top_of_the_page_until_somebody_has(here, client):
    held = started(here)
    button = ">Acknowledge</button>"
    progress = replace(new_progress(services.data_of(held.drill)), began_at=timezone.now())
    injected = Mark(MarkKind.INJECTED, timezone.now(), says="Drill: take web-06 out.")
    answered = Mark(MarkKind.ACKNOWLEDGED, timezone.now(), "1", "Ada", "Acknowledged: Ada.")
    for marks, who, is_there in (
        ((), here.approver, False),
        ((injected,), here.approver, True),
        # Who leads does not react.
        ((injected,), here.manager, False),
        ((injected, answered), here.approver, False),
    ):
        plain = progress_to_plain(replace(progress, marks=marks))
        Run.objects.filter(pk=held.run_id).update(status="running", progress=plain)
        client.force_login(who)
        assert (button in page(client, "drill-live", held.drill.ref)) is is_there


def test_who_is_named_to_watch_notes_what_they_saw_and_does_not_acknowledge(here, client):
    vera = make.contact(here.account, "Vera", email=here.approver.email)
    held = started(here, contacts=[vera], observers=[here.viewer])
    held.drill.parts.create(user=here.admin, role="reporter")
    injected = Mark(MarkKind.INJECTED, timezone.now(), says="Drill: take web-06 out.")
    progress = replace(new_progress(services.data_of(held.drill)), began_at=timezone.now(), marks=(injected,))
    Run.objects.filter(pk=held.run_id).update(status="running", progress=progress_to_plain(progress))
    button, moment = ">Acknowledge</button>", ">Acknowledged</button>"
    address = reverse("drills:drill-command", args=[held.drill.ref, "mark"])
    # The observer, who writes it down, who takes part, who reacts without being named, who leads.
    for who, has_button, has_moment, status in (
        (here.viewer, False, False, 403),
        (here.admin, False, False, 403),
        (here.approver, True, True, 302),
        (here.editor, True, True, 302),
        (here.manager, False, True, 302),
    ):
        client.force_login(who)
        live = page(client, "drill-live", held.drill.ref)
        assert (button in live, moment in live) == (has_button, has_moment), who
        assert ">Noticed</button>" in live
        assert client.post(address, {"kind": "detected"}).status_code == 302
        assert client.post(address, {"kind": "acknowledged"}).status_code == status, who
    given = held.run.commands.filter(args__kind="acknowledged").order_by("seq")
    assert [one.by for one in given] == [here.approver, here.editor, here.manager]


def over(held, **changes):
    plan = services.data_of(held.drill)
    now = timezone.now()
    progress = replace(
        new_progress(plan),
        began_at=now - timedelta(minutes=9),
        ended_at=now,
        marks=(
            Mark(MarkKind.INJECTED, now - timedelta(minutes=8), says="Drill: take web-06 out."),
            Mark(MarkKind.ACKNOWLEDGED, now - timedelta(minutes=6), "1", "Ada", "Acknowledged: Ada."),
        ),
        **changes,
    )
    Run.objects.filter(pk=held.run_id).update(
        status="aborted" if changes.get("ending") else "completed",
        progress=progress_to_plain(progress),
        next_tick_at=None,
        ended_at=now,
    )
    HeldDrill.objects.filter(pk=held.pk).update(
        result="drill_stopped", reasons=["Somebody stopped the drill."], ended_at=now
    )
    return held


def test_the_report_shows_what_was_measured(here, client):
    held = over(started(here), ending=Ending.STOPPED, ending_says="It was stopped.")
    client.force_login(here.viewer)
    report = page(client, "drill-report", held.drill.ref)
    assert "Somebody stopped the drill." in report
    assert "People and systems" in report
    assert "acknowledged" in report.lower()
    assert "Report" in page(client, "drill", held.drill.ref)


def test_names_are_for_who_owns_leads_or_takes_part_and_roles_for_all_others(here, client):
    mira = make.contact(here.account, "Mira Solberg", email="Mira@example.com")
    held = started(here, contacts=[mira], observers=[here.viewer])
    leads, someone = named(here.manager), named(mira)
    for seq, says in enumerate(
        (f"{leads} stopped the drill.", f"Acknowledged: {someone}.", f"{named(here.admin)} came in."), 50
    ):
        JournalEntry.objects.create(
            run=held.run, seq=seq, at=timezone.now(), kind="note", says=says, customer_says=says
        )
    over(held)
    names = (str(here.manager), "Mira Solberg", str(here.admin))

    def journal(reader):
        client.force_login(reader)
        answer = client.get(reverse("drills:drill-report", args=[held.drill.ref]))
        return " ".join(one.says for one in answer.context["report"].journal), answer.context["report"]

    for reader in (here.manager, here.viewer):
        said, report = journal(reader)
        assert all(one in said for one in names), reader
        assert report.with_names
        assert "Ada" in {one.by_name for one in report.axis}
    said, report = journal(here.approver)
    assert not any(one in said for one in names)
    assert "the facilitator stopped the drill. Acknowledged: a participant. somebody came in." in said
    assert {one.by_name for one in report.axis} == {one.by_name for one in report.measured} == {""}
    # A contact who logs in by that address is a participant.
    here.approver.email = "mira@example.com"
    here.approver.save()
    assert "Mira Solberg" in journal(here.approver)[0]


def costs(client, here, drafted, held):
    found = {}
    for name, ref in (
        ("drill-list", here.account.ref),
        ("drill-choose", here.account.ref),
        ("drill", held.drill.ref),
        ("drill-edit", drafted.ref),
        ("drill-script", drafted.ref),
        ("drill-withdraw", drafted.ref),
        ("drill-live", held.drill.ref),
    ):
        page(client, name, ref)
        with CaptureQueriesContext(connection) as asked:
            page(client, name, ref)
        found[name] = len(asked)
    return found


def test_every_page_costs_what_is_stated_and_no_more_with_many_rows(here, client, provider):
    client.force_login(here.manager)
    held, drafted = started(here), draft(here)
    few = costs(client, here, drafted, held)
    assert {name: few[name] for name in MOST if few[name] > MOST[name]} == {}
    for _ in range(6):
        submitted(here)
    approved(here)
    ready(here)
    assert costs(client, here, drafted, held) == few


def sized(here, balancer_id):
    series = metric(here.account, name=f"load of {balancer_id}")
    now = timezone.now()
    SizedPool.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id=balancer_id,
        name=f"web {balancer_id}",
        metric=series,
        flavor="general1-4",
    )
    make.ceiling(here.connection, balancer_id=balancer_id, rps=10.0)
    at = int((now - timedelta(minutes=2)).timestamp() * 1e6)
    write(here.account.pk, Samples(np.array([series.pk]), np.array([at]), np.array([20.0])))
    report = GrowthReport.objects.create(
        metric=series,
        state="made",
        asked_at=now,
        made_at=now,
        analysed_until=now.replace(minute=0, second=0, microsecond=0),
    )
    values = np.full(672, 10.0)
    GrowthPicture.objects.create(report=report, band=packed([values, values]), cone=packed([values] * 7))


def test_a_drill_about_to_begin_costs_the_same_however_many_balancers_stand_before_its_pool(
    here, client, monkeypatch
):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(services, "held_before", lambda account, key: passed)
    client.force_login(here.manager)
    seen, found = fresh_pool(), []
    (first,) = seen.balancers
    balancers = ("71", "72", "73")
    for several in (balancers[:1], balancers):
        for one in several:
            SizedPool.objects.filter(balancer_id=one).exists() or sized(here, one)
        pool = replace(seen, balancers=tuple(replace(first, id=one) for one in several))
        drill = ready(here, environment=Environment.PRODUCTION, balancer_ids=several, pool=pool)
        known = services.known_checks(drill, services.data_of(drill), timezone.now())
        assert {key: one.holds for key, one in known.items()} == {
            "carries_load": True,
            "away_from_peak": True,
        }
        page(client, "drill", drill.ref)
        with CaptureQueriesContext(connection) as asked:
            assert "Begin the drill" in page(client, "drill", drill.ref)
        found.append(len(asked))
    assert found[0] == found[1]
    assert found[0] <= MOST_READY


@pytest.mark.parametrize(
    ("sent", "args"),
    [
        (
            {"server": "srv-6", "ticked": ["Services", "Mounts"], "verdict": "passed"},
            {"server": "srv-6", "passed": ["Services", "Mounts"]},
        ),
        (
            {"server": "srv-6", "ticked": ["Mounts"], "verdict": "failed"},
            {"server": "srv-6", "failed": ["Mounts"]},
        ),
        (
            {"kind": "newest_data", "value_wall": "2026-07-01T10:00:05"},
            {"kind": "newest_data", "value_at": "2026-07-01T10:00:05+02:00"},
        ),
        ({"kind": "complete", "outcome": "failed"}, {"kind": "complete", "outcome": "failed"}),
        ({"number": "3", "csrfmiddlewaretoken": "x"}, {"number": 3}),
        ({"number": "three", "ticked": []}, {}),
    ],
)
def test_what_the_forms_of_the_live_page_say_reaches_the_drill(here, client, sent, args):
    held = started(here)
    here.manager.time_zone = "Europe/Stockholm"
    here.manager.save()
    client.force_login(here.manager)
    client.post(reverse("drills:drill-command", args=[held.drill.ref, "note"]), {"reason": "x", **sent})
    assert held.run.commands.get().args == args


def test_a_time_that_is_none_is_refused_in_words(here, client):
    held = started(here)
    client.force_login(here.manager)
    sent = {"kind": "newest_data", "value_wall": "yesterday"}
    answer = client.post(reverse("drills:drill-command", args=[held.drill.ref, "mark"]), sent, follow=True)
    assert "Say the newest data" in answer.content.decode()
    assert not held.run.commands.exists()


def test_servers_that_were_rebooted_are_checked_on_the_live_page_each_by_itself(here, client):
    held = started(here, "reboot_rolling", server_ids=("srv-6", "srv-5"))
    plan = services.data_of(held.drill)
    first, second, *others = plan.after_boot
    progress = new_progress(plan)
    hit, waits = progress.targets
    hit = replace(hit, hit_at=timezone.now(), checked=(first,))
    progress = replace(progress, began_at=timezone.now(), targets=(hit, waits))
    Run.objects.filter(pk=held.run_id).update(status="running", progress=progress_to_plain(progress))
    client.force_login(here.manager)
    live = page(client, "drill-live", held.drill.ref)
    assert live.count("After the boot of") == 1
    assert f'name="ticked" value="{second}"' in live
    assert f'name="ticked" value="{first}"' not in live
    client.force_login(here.viewer)
    live = page(client, "drill-live", held.drill.ref)
    assert "ticked" not in live
    assert f"Not said yet: {', '.join([second, *others])}." in live


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        (1, "web-06 is taken out of the load balancer for 60 s, then put back."),
        (3, "web-06, web-06 and web-06 are taken out of the load balancer for 60 s, then put back."),
    ],
)
def test_what_happens_is_said_in_the_right_number(here, targets, says):
    plan = services.data_of(started(here).drill)
    assert selectors.injection_words(replace(plan, targets=plan.targets * targets)) == says


def test_a_scenario_that_never_was_has_no_page_over_time(here, client):
    client.force_login(here.manager)
    assert page(client, "drills-over-time", here.account.ref, "no_such", status=404)
    assert "No drill of this scenario was held yet" in page(
        client, "drills-over-time", here.account.ref, "node_lost"
    )


def test_once_it_is_to_end_only_what_makes_sense_still_can_be_pressed(here, client):
    held = started(here)
    plan = services.data_of(held.drill)
    client.force_login(here.viewer)
    for ending, offered in ((None, ["stop", "real"]), (Ending.STOPPED, ["real"]), (Ending.REAL, [])):
        progress = replace(new_progress(plan), began_at=timezone.now(), ending=ending, ending_says="It ends.")
        Run.objects.filter(pk=held.run_id).update(status="running", progress=progress_to_plain(progress))
        live = page(client, "drill-live", held.drill.ref)
        found = [
            one
            for one in ("stop", "real")
            if reverse("drills:drill-command", args=[held.drill.ref, one]) in live
        ]
        assert found == offered


def test_whoever_is_not_among_the_first_is_found_by_name(here, client, provider, monkeypatch):
    monkeypatch.setattr("drills.plans.people.MOST_CONTACTS", 2)
    monkeypatch.setattr("drills.plans.people.MOST_WATCHERS", 2)
    for place, name in enumerate(("Berit", "Carl", "Dora", "Vera Öberg", "Xaver"), 1):
        make.contact(here.account, name, email=f"{name[:4]}@example.com", escalation_order=place)
    # In no order of call, and so among no first ones.
    make.contact(here.account, "Ylva", email="ylva@example.com", roles=[])
    client.force_login(here.manager)
    address = reverse("drills:drill-new", args=[here.account.ref, "node_lost"])

    def offered(answer):
        form = answer.context["form"]
        assert answer.status_code == 200, form.errors
        assert "field-error" not in answer.content.decode()
        return [name for _, name in form.fields["participants"].choices]

    first = client.get(address)
    assert "Vera Öberg" not in offered(first)
    assert "Find people" in first.content.decode()
    berit, vera, ylva = (here.account.contacts.get(name=one) for one in ("Berit", "Vera Öberg", "Ylva"))
    # Nothing typed is lost, nothing missing is said, and whoever was chosen stays.
    typed = fields(
        here, title="", objective="As typed", participants=[str(berit.ref)], do="find", find="oberg"
    )
    answer = client.post(address, typed)
    assert offered(answer) == ["Berit", "Vera Öberg"]
    assert "As typed" in answer.content.decode()
    assert not Drill.objects.exists()
    assert offered(client.post(address, {**typed, "find": "nobody"})) == ["Berit"]
    assert "Nobody fits" in client.post(address, {**typed, "find": "nobody"}).content.decode()
    # Enter in the field looks for people; where nothing else was typed there it keeps the draft.
    both = [str(berit.ref), str(ylva.ref)]
    watching = {"observers": [str(here.viewer.ref)], "reporter": str(here.editor.ref)}
    enter = fields(here, participants=both, find="Ylva", **watching)
    assert offered(client.post(address, enter)) == ["Berit", "Ylva"]
    assert client.post(address, {**enter, "found": "Ylva"}).status_code == 302
    drill = Drill.objects.get()
    assert {one.contact for one in drill.parts.filter(contact__isnull=False)} == {berit, ylva}
    # Those who take part or watch stand there though they are not among the first.
    again = client.get(reverse("drills:drill-edit", args=[drill.ref]))
    assert {"Berit", "Ylva"} <= set(offered(again))
    for name, who in (("observers", here.viewer), ("reporter", here.editor)):
        assert str(who.ref) in dict(again.context["form"].fields[name].choices)
    pressed = fields(here, participants=[str(vera.ref), "nonsense"], find="Xaver", do="keep")
    assert client.post(reverse("drills:drill-edit", args=[drill.ref]), pressed).status_code == 422
    pressed["participants"] = [str(vera.ref)]
    assert client.post(reverse("drills:drill-edit", args=[drill.ref]), pressed).status_code == 302
    assert [one.contact for one in drill.parts.filter(contact__isnull=False)] == [vera]


def test_of_a_drill_that_is_over_no_step_is_in_hand(here, client):
    held = started(here)
    progress = new_progress(services.data_of(held.drill))
    first, *others = progress.steps
    doing = replace(first, state=StepState.DOING, began_at=timezone.now())
    progress = replace(
        progress,
        began_at=timezone.now(),
        ended_at=timezone.now(),
        ending=Ending.STOPPED,
        steps=(doing, *others),
    )
    Run.objects.filter(pk=held.run_id).update(
        status="aborted", next_tick_at=None, ended_at=timezone.now(), progress=progress_to_plain(progress)
    )
    client.force_login(here.viewer)
    live = page(client, "drill-live", held.drill.ref)
    assert "in hand" not in live
    assert live.count("not done") == len(progress.steps)
