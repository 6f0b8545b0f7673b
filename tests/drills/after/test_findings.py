"""Findings from the note to the action item: who writes, changes and withdraws them, and who reads which names."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, AccountStatus
from accounts.reviews import services as reviews
from accounts.reviews.models import ActionItem
from drills.after import services
from drills.after.models import DrillFinding
from drills.after.selectors import findings_for
from drills.plans import services as plans
from drills.plans.ladder import Held
from drills.plans.models import HeldDrill
from drills.scenarios.types import DrillKind, Environment
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused, StaleState
from portal.events.models import Event
from tests import factories as make
from tests.drills.after.rows import over
from tests.drills.rows import started
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db


def add(here, held, actor=None, **more):
    values = {"severity": "minor", "text": "The runbook is old.", "actor": actor or here.manager}
    return services.add(held, **{**values, **more})


def refused(call, *args, **more):
    with pytest.raises(Refused) as caught:
        call(*args, **more)
    return caught.value.code


def in_two_weeks():
    return timezone.now().date() + timedelta(days=14)


def page(client, name, *refs, status=200):
    answer = client.get(reverse(f"drills:{name}", args=refs))
    assert answer.status_code == status, answer.content[:2000]
    return " ".join(answer.content.decode().split())


def test_a_finding_rests_on_a_figure_a_moment_a_line_or_words(here):
    held = over(here)
    figure = add(here, held, evidence_key="figure:acknowledged")
    assert figure.evidence_says.startswith("Acknowledged: After 90 seconds")
    line = add(here, held, evidence_key="journal:900")
    assert line.evidence_says == "The shop is slow."
    assert line.evidence_at is not None
    words = add(here, held, evidence_says="Page 3.")
    assert (words.evidence_key, words.evidence_says) == ("", "Page 3.")
    for key in (
        "figure:other",
        "moment:injected:2020-01-01T00:00:00+00:00",
        "journal:9000",
        "journal:x",
        "nonsense",
    ):
        assert refused(add, here, held, evidence_key=key) == "unknown_evidence"


def test_whoever_sees_a_drill_notes_a_finding_while_it_runs(here):
    held = started(here)
    finding = add(here, held, here.viewer)
    assert finding.noted_as == ""
    assert add(here, held, here.manager).noted_as == "facilitator"
    # Who takes part is a contact; by that address it is the same person.
    vera = make.contact(here.account, "Vera", email=here.editor.email.upper())
    held.drill.parts.create(contact=vera, role="participant")
    assert add(here, held, here.editor).noted_as == "participant"
    with pytest.raises(NotPermitted):
        add(here, held, here.stranger)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"text": "  "}, "text_missing"),
        ({"text": "x" * 2001}, "too_long"),
        ({"text": "the PIN is 1234"}, "pin"),
        ({"severity": "huge"}, "bad_severity"),
        ({"evidence_says": "x" * 501}, "too_long"),
        ({"evidence_says": "PIN 4711"}, "pin"),
    ],
)
def test_what_cannot_be_kept_is_said(here, wrong, code):
    assert refused(add, here, over(here), **wrong) == code
    assert not DrillFinding.objects.exists()


def test_a_finding_is_changed_and_withdrawn_by_who_wrote_it_or_leads(here):
    held = over(here)
    mine = add(here, held, here.viewer)
    with pytest.raises(NotPermitted):
        services.change(mine, severity="major", text="Worse.", actor=here.editor)
    changed = services.change(mine, severity="major", text="Worse.", actor=here.viewer)
    assert (changed.severity, changed.text) == ("major", "Worse.")
    services.change(
        mine, severity="critical", text="Worst.", actor=here.lead, evidence_key="figure:recovered"
    )
    with pytest.raises(NotPermitted):
        services.withdraw(mine, reason="No.", actor=here.editor)
    assert refused(services.withdraw, mine, reason=" ", actor=here.viewer) == "text_missing"
    gone = services.withdraw(mine, reason="The clock was wrong.", actor=here.manager)
    assert gone.state == "withdrawn"
    with pytest.raises(StaleState):
        services.change(gone, severity="minor", text="Again.", actor=here.viewer)
    told = list(
        AuditEntry.objects.filter(what__startswith="finding.").order_by("pk").values_list("what", flat=True)
    )
    assert told == ["finding.added", "finding.changed", "finding.changed", "finding.withdrawn"]
    entry = AuditEntry.objects.filter(what="finding.changed").first()
    assert (entry.before["severity"], entry.after["severity"]) == ("minor", "major")


def test_what_the_figures_propose_is_taken_over_once(here):
    held = over(here, acknowledged_s=400)
    one = services.take_over(held, "missed_acknowledged", actor=here.manager)
    assert one.severity == "major"
    assert services.take_over(held, "missed_acknowledged", actor=here.viewer).pk == one.pk
    services.withdraw(one, reason="It was agreed so.", actor=here.manager)
    assert services.take_over(held, "missed_acknowledged", actor=here.manager).pk == one.pk
    assert DrillFinding.objects.count() == 1
    assert refused(services.take_over, held, "missed_recovered", actor=here.manager) == "unknown_proposal"


def test_an_action_item_knows_out_of_which_finding_it_came(here, client):
    held = over(here)
    finding = add(here, held)
    fields = {"title": "Write the runbook anew", "owner_user": here.editor, "due_on": in_two_weeks()}
    with pytest.raises(NotPermitted):
        services.give_action(finding, fields, actor=here.viewer)
    action = services.give_action(finding, fields, actor=here.editor)
    client.force_login(here.manager)
    report = page(client, "drill-report", held.drill.ref)
    assert "Write the runbook anew" in report
    assert "1 action item out of this drill is still open" in report
    for name, ref in (
        ("action-list", here.account.ref),
        ("action-detail", action.ref),
        ("review-list", here.account.ref),
    ):
        shown = client.get(reverse(f"accounts:{name}", args=[ref])).content.decode()
        assert f"Fire drill: {held.drill.title}" in shown, name
        assert f"#finding-{finding.ref}" in shown
    begun = reviews.open_review(here.account, held_on=timezone.now().date(), actor=here.manager)
    assert "Fire drill: " in client.get(reverse("accounts:review-detail", args=[begun.ref])).content.decode()
    reviews.close_action(action, state="done", actor=here.manager)
    assert "No action item out of this drill is open" in page(client, "drill-report", held.drill.ref)
    services.withdraw(finding, reason="Not so.", actor=here.manager)
    with pytest.raises(StaleState):
        services.give_action(finding, fields, actor=here.manager)
    assert ActionItem.objects.count() == 1


def test_an_owner_who_is_not_proven_gets_nothing_to_do(here):
    finding = add(here, over(here))
    somebody = make.contact(here.account, "Never Confirmed")
    fields = {"title": "Do it", "owner_contact": somebody, "due_on": in_two_weeks()}
    assert refused(services.give_action, finding, fields, actor=here.manager) == "contact_unproven"
    assert not ActionItem.objects.exists()


def test_names_are_for_who_took_part_drew_it_up_or_leads(here, client):
    held = over(here, observers=[here.approver])
    finding = add(
        here,
        held,
        here.approver,
        text=f"{here.editor.name} did not answer.",
        evidence_says=f"{here.editor.name} said so.",
    )
    assert here.editor.name not in DrillFinding.objects.sealed().get().text
    for reader, sees in (
        (here.viewer, False),
        (here.approver, True),
        (here.manager, True),
        (here.lead, False),
    ):
        client.force_login(reader)
        shown = page(client, "drill-report", held.drill.ref)
        found = Caller(reader).get(f"/drills/findings/{finding.ref}")
        assert (f"{here.editor.name} did not answer" in shown) is sees, reader
        assert (here.editor.name in found["text"]) is sees
        assert found["noted_by"] == (str(here.approver) if sees else "observer")
    assert "somebody did not answer" in Caller(here.viewer).get(f"/drills/findings/{finding.ref}")["text"]


def test_an_unannounced_drill_under_way_is_not_betrayed_by_its_findings(here, monkeypatch):
    passed = [Held(DrillKind.ANNOUNCED, Environment.TEST, "drill_met")]
    monkeypatch.setattr(plans, "held_before", lambda account, key: passed)
    held = started(here, kind=DrillKind.UNANNOUNCED)
    finding = add(here, held)
    action = services.give_action(
        finding, {"title": "Look", "owner_user": here.editor, "due_on": in_two_weeks()}, actor=here.manager
    )
    assert not findings_for(here.viewer).exists()
    assert not Event.objects.filter(type__startswith="drill.finding").exists()
    Caller(here.viewer).get(f"/drills/findings/{finding.ref}", status=404)
    assert Caller(here.viewer).get(f"/actions/{action.ref}")["origin"] is None
    assert Caller(here.manager).get(f"/actions/{action.ref}")["origin"]["says"].startswith("Fire drill")
    HeldDrill.objects.filter(pk=held.pk).update(ended_at=timezone.now())
    assert findings_for(here.viewer).exists()


def test_an_archived_account_is_read_only(here):
    held = over(here)
    finding = add(here, held)
    Account.objects.filter(pk=here.account.pk).update(status=AccountStatus.ARCHIVED)
    held.refresh_from_db()
    for call, more in (
        (add, {"here": here, "held": held}),
        (services.take_over, {"held": held, "key": "held", "actor": here.manager}),
        (services.change, {"finding": finding, "severity": "minor", "text": "x", "actor": here.manager}),
        (services.withdraw, {"finding": finding, "reason": "x", "actor": here.manager}),
    ):
        assert refused(call, **more) == "archived"


def test_findings_on_the_pages_from_the_button_to_the_action(here, client):
    held = over(here, acknowledged_s=400)
    client.force_login(here.manager)
    report = page(client, "drill-report", held.drill.ref)
    assert "The figures propose" in report
    client.post(reverse("drills:finding-take-over", args=[held.drill.ref, "missed_acknowledged"]))
    finding = DrillFinding.objects.get()
    assert "missed_acknowledged" not in page(client, "drill-report", held.drill.ref)
    form = page(client, "finding-new", held.drill.ref)
    assert "The shop is slow." in form
    answer = client.post(
        reverse("drills:finding-new", args=[held.drill.ref]),
        {"severity": "good", "text": "", "evidence_key": ""},
    )
    assert answer.status_code == 422
    answer = client.post(
        reverse("drills:finding-new", args=[held.drill.ref]),
        {
            "severity": "good",
            "text": "The page came up at once.",
            "evidence_key": "journal:900",
            "evidence_says": "",
        },
    )
    assert answer.status_code == 302, answer.content.decode()
    assert "6 minutes 40 seconds" in page(client, "finding-change", finding.ref)
    client.post(
        reverse("drills:finding-change", args=[finding.ref]),
        {"severity": "critical", "text": "Too late by far.", "evidence_key": "figure:acknowledged"},
    )
    finding.refresh_from_db()
    assert finding.severity == "critical"
    assert "Too late by far." in page(client, "finding-act", finding.ref)
    answer = client.post(
        reverse("drills:finding-act", args=[finding.ref]),
        {
            "title": "Page the second one sooner",
            "owner": f"user:{here.manager.ref}",
            "due_on": str(in_two_weeks()),
        },
    )
    assert answer.status_code == 302, answer.content.decode()
    assert ActionItem.objects.get().out_of_finding.finding == finding
    assert (
        client.post(reverse("drills:finding-withdraw", args=[finding.ref]), {"reason": ""}).status_code == 422
    )
    client.post(reverse("drills:finding-withdraw", args=[finding.ref]), {"reason": "It was agreed."})
    assert "It was agreed." in page(client, "drill-report", held.drill.ref)
    client.force_login(here.viewer)
    page(client, "finding-change", finding.ref, status=403)
    page(client, "finding-act", finding.ref, status=403)


def test_findings_by_the_api(here):
    held = over(here, acknowledged_s=400)
    caller, address = Caller(here.manager), f"/drills/{held.drill.ref}/findings"
    keys = [one["key"] for one in caller.get(f"{address}/proposed")["proposals"]]
    assert keys == ["missed_acknowledged", "held"]
    taken = caller.post(f"{address}/proposed", {"key": keys[0]}, status=201)
    assert taken["proposal"] == keys[0]
    made = caller.post(
        address, {"severity": "minor", "text": "Old runbook.", "evidence_says": "Page 3."}, status=201
    )
    assert [one["ref"] for one in caller.get(address)["results"]] == [made["ref"], taken["ref"]]
    one = f"/drills/findings/{made['ref']}"
    read = caller.ask("get", one)
    body = {"severity": "major", "text": "Very old.", "evidence_says": ""}
    put = {"data": json.dumps(body), "content_type": "application/json"}
    assert caller.client.put(f"/api/v1{one}", **put).status_code == 428
    changed = caller.client.put(f"/api/v1{one}", **put, headers={"If-Match": read["ETag"]})
    assert (changed.status_code, changed.json()["text"]) == (200, "Very old.")
    action = caller.post(
        f"{one}/actions",
        {"title": "Write it anew", "owner_user": str(here.editor.ref), "due_on": str(in_two_weeks())},
        status=201,
    )
    assert action["origin"]["path"].endswith(f"#finding-{made['ref']}")
    assert [item["title"] for item in caller.get(one)["actions"]] == ["Write it anew"]
    Caller(here.viewer).post(f"{one}/withdraw", {"reason": "x"}, status=403)
    gone = caller.post(f"{one}/withdraw", {"reason": "Not so."}, status=200)
    assert gone["withdrawn_because"] == "Not so."
    told = set(Event.objects.filter(type__startswith="drill.finding").values_list("type", flat=True))
    assert told == {"drill.finding_added", "drill.finding_changed", "drill.finding_withdrawn"}


def test_the_report_costs_the_same_with_many_findings(here, client):
    held = over(here)
    client.force_login(here.viewer)

    def cost():
        page(client, "drill-report", held.drill.ref)
        with CaptureQueriesContext(connection) as asked:
            page(client, "drill-report", held.drill.ref)
        return len(asked)

    add(here, held, text=f"{here.editor.name} was away.")
    few = cost()
    for number in range(12):
        finding = add(here, held, text=f"{here.editor.name}, again {number}.")
        services.give_action(
            finding,
            {"title": f"Do {number}", "owner_user": here.editor, "due_on": in_two_weeks()},
            actor=here.manager,
        )
    assert cost() == few
    assert few <= 19
