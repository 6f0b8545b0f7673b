"""The report as page, JSON and PDF: the same for everybody, but for names; and drills side by side on page and API."""

from __future__ import annotations

import io
import time
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pypdf import PdfReader

from accounts.models import User
from drills.after import services
from drills.after.pdf import DRILL, MISSING, report_pdf
from drills.after.report import whole_report
from drills.plans.models import Drill
from portal.frozen import replace
from portal.runs.models import JournalEntry
from tests.drills.after.rows import over
from tests.drills.rows import started
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db
ZONE = ZoneInfo("Europe/Stockholm")


def text_of(content):
    pages = PdfReader(io.BytesIO(content)).pages
    return [" ".join(one.extract_text().split()) for one in pages]


def page(client, name, *refs, status=200):
    answer = client.get(reverse(f"drills:{name}", args=refs))
    assert answer.status_code == status, answer.content[:2000]
    return " ".join(answer.content.decode().split())


def test_the_report_is_whole_by_the_api(here):
    held = over(here, acknowledged_s=400, observers=[here.approver])
    services.take_over(held, "missed_acknowledged", actor=here.manager)
    found = Caller(here.approver).get(f"/drills/{held.drill.ref}/report")
    assert (found["result"], found["with_names"]) == ("drill_not_met", True)
    assert found["reasons"] == held.reasons
    assert found["plan"]["targets"] == [{"server_id": "srv-6", "name": "web-06"}]
    assert found["plan"]["hypothesis"]["acknowledged_s"] == 300.0
    figures = {one["name"]: one for one in found["figures"]}
    assert figures["acknowledged"]["value"] == 400.0
    assert figures["acknowledged"]["met"] is False
    assert figures["data_lost"]["value"] is None
    assert [one["kind"] for one in found["axis"]] == [
        "began",
        "injected",
        "recovered",
        "acknowledged",
        "ended",
    ]
    assert [one["lane"] for one in found["axis"]][3] == "people"
    assert found["findings"][0]["proposal"] == "missed_acknowledged"
    assert [one["key"] for one in found["proposals"]] == ["held"]
    assert "The shop is slow." in [one["says"] for one in found["journal"]]
    assert found["next_on"]
    key = found["axis"][1]["key"]
    body = {"severity": "minor", "text": "It began late.", "evidence": key}
    made = Caller(here.approver).post(f"/drills/{held.drill.ref}/findings", body, status=201)
    assert made["evidence"] == key


def test_roles_always_and_names_only_where_they_may_be_read(here):
    held = over(here, observers=[here.approver])
    seen = Caller(here.viewer).get(f"/drills/{held.drill.ref}/report")
    assert seen["with_names"] is False
    assert here.editor.name not in str(seen)
    named = Caller(here.approver).get(f"/drills/{held.drill.ref}/report")
    assert here.editor.name in {one["by_name"] for one in named["axis"]}
    for reader, sees in ((here.viewer, False), (here.approver, True)):
        pdf = " ".join(text_of(report_pdf(whole_report(held, reader), ZONE)))
        assert (here.editor.name in pdf) is sees
        assert ("Roles stand for people" in pdf) is not sees


def test_there_is_no_report_before_it_is_over(here, client):
    held = started(here)
    Caller(here.manager).get(f"/drills/{held.drill.ref}/report", status=409)
    client.force_login(here.manager)
    assert client.get(reverse("drills:drill-report-pdf", args=[held.drill.ref])).status_code == 302


def test_the_page_shows_people_and_systems_as_a_chart_beside_the_table(here, client):
    held = over(here)
    client.force_login(here.viewer)
    report = page(client, "drill-report", held.drill.ref)
    assert 'role="img"' in report
    assert "Times count from the disruption." in report
    assert "acknowledged by here" in report
    assert "People, 90 s: Acknowledged" in report
    assert reverse("drills:drill-report-pdf", args=[held.drill.ref]) in report


def test_the_pdf_says_that_it_was_a_drill_on_each_page_and_all_that_is_in_the_report(here, client):
    held = over(here, acknowledged_s=400)
    services.take_over(held, "missed_acknowledged", actor=here.manager)
    services.add(
        held,
        severity="good",
        text="Zoë Łukasiewicz and Ελένη answered at once: проверено.",
        actor=here.manager,
    )
    client.force_login(here.manager)
    answer = client.get(reverse("drills:drill-report-pdf", args=[held.drill.ref]))
    assert answer["Content-Type"] == "application/pdf"
    assert "attachment" in answer["Content-Disposition"]
    pages = text_of(answer.content)
    for number, one in enumerate(pages, 1):
        assert DRILL in one
        assert f"Page {number} of {len(pages)}" in one
    whole = " ".join(pages)
    for words in (
        held.drill.title,
        "Result: not met",
        "Zoë Łukasiewicz and Ελένη answered at once: проверено.",
        "6 minutes 40 seconds were measured",
        "People and systems, on one axis",
        "The shop is slow.",
        "Page 3 of the runbook.",
        "web-06 of 6 in service",
    ):
        assert words in whole, words
    assert MISSING not in whole


def test_the_same_report_is_the_same_file(here):
    held = over(here)
    whole = whole_report(held, here.manager)
    assert report_pdf(whole, ZONE) == report_pdf(whole, ZONE)


AWKWARD = (
    "x" * 3000,
    "مرحبا בדיקה 漢字 🚒🏽‍🚒",
    "\u202eturned round\u202c \x00\x07 tab\tend",
    "{nb} **bold** --strike-- <b>markup</b> %(x)s \\",
    "a\n" * 900,
    "\u0301" * 500,
)


@pytest.mark.parametrize("awkward", AWKWARD)
def test_no_text_breaks_the_document(here, awkward):
    held = over(here)
    whole = whole_report(held, here.manager)
    line = JournalEntry(seq=1, at=timezone.now(), says=awkward)
    plan = replace(
        whole.report.plan, objective=awkward, emergency_plan=awkward, scenario_title=awkward, undo=awkward
    )
    held.drill.title, held.reasons = awkward, [awkward]
    held.drill.account.name = awkward
    measured = [replace(one, says=awkward, label=awkward[:60]) for one in whole.report.measured]
    axis = [replace(one, says=awkward, by_name=awkward) for one in whole.report.axis]
    whole = replace(
        whole, report=replace(whole.report, plan=plan, journal=[line], measured=measured, axis=axis)
    )
    pages = text_of(report_pdf(whole, ZONE))
    assert all(DRILL in one for one in pages)
    assert f"Page {len(pages)} of {len(pages)}" in pages[-1]
    assert len(pages) < 80


def test_five_hundred_lines_of_a_journal_are_written_in_time(here):
    held = over(here)
    whole = whole_report(held, here.manager)
    lines = [
        JournalEntry(seq=n, at=timezone.now(), says=f"Line {n}: the probe home took {n} ms.")
        for n in range(500)
    ]
    began = time.monotonic()
    pages = text_of(report_pdf(replace(whole, report=replace(whole.report, journal=lines)), ZONE))
    assert time.monotonic() - began < 30
    whole_text = " ".join(pages)
    assert "Line 0:" in whole_text
    assert "Line 499:" in whole_text


def test_drills_side_by_side_on_page_and_api(here, client):
    first = over(here, recovered_s=300, ago_days=40)
    second = over(here, recovered_s=60)
    client.force_login(here.viewer)
    shown = page(client, "drills-over-time", here.account.ref, "node_lost")
    assert "better" in shown
    assert "How fast" in shown
    assert reverse("drills:drills-over-time", args=[here.account.ref, "node_lost"]) in page(
        client, "drill-report", second.drill.ref
    )
    assert reverse("drills:drills-over-time", args=[here.account.ref, "node_lost"]) in page(
        client, "drill-list", here.account.ref
    )
    found = Caller(here.viewer).get(f"/accounts/{here.account.ref}/drills/over-time/node_lost")
    assert [one["drill"] for one in found["drills"]] == [str(second.drill.ref), str(first.drill.ref)]
    assert found["drills"][0]["against"] == str(first.drill.ref)
    changes = {one["name"]: one["change"] for one in found["drills"][0]["figures"]}
    assert changes["recovered"] == "better"
    assert Caller(here.viewer).get(f"/accounts/{here.account.ref}/drills/over-time/none")["drills"] == []
    assert "No drill of this scenario was held yet" in page(
        client, "drills-over-time", here.account.ref, "host_failure"
    )
    client.force_login(here.stranger)
    page(client, "drills-over-time", here.account.ref, "node_lost", status=404)


def test_side_by_side_costs_the_same_with_more_drills(here, client):
    client.force_login(here.viewer)
    over(here)

    def cost():
        page(client, "drills-over-time", here.account.ref, "node_lost")
        with CaptureQueriesContext(connection) as asked:
            page(client, "drills-over-time", here.account.ref, "node_lost")
        return len(asked)

    few = cost()
    for _ in range(3):
        over(here)
    assert cost() == few <= 10
    assert Drill.objects.count() == 4
    assert User.objects.exists()
