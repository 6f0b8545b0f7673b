"""All drills of all accounts: the page, the dashboard's part, the palette; each only what its reader may know of."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import TeamMembership
from drills.plans import home
from drills.plans.models import Drill
from drills.scenarios.panels import _find as find_scenarios
from portal.runs.models import Run
from tests import factories as make
from tests.drills.after.rows import over as ended
from tests.drills.rows import approved, draft, started, submitted
from tests.drills.test_pages import over

pytestmark = pytest.mark.django_db


def titles(client, reader, query=""):
    client.force_login(reader)
    answer = client.get(reverse("drills:home") + query)
    assert answer.status_code == 200
    return [one.title for one in answer.context["page"].rows]


def retitled(drill, title):
    Drill.objects.filter(pk=drill.pk).update(title=title)


def test_drills_of_all_accounts_stand_on_one_page_and_are_narrowed(here, client):
    retitled(draft(here), "A draft")
    retitled(approved(here), "Approved")
    held = over(started(here))
    retitled(held.drill, "Held")
    assert titles(client, here.manager) == ["Held", "Approved", "A draft"]
    assert titles(client, here.manager, "?stand=held") == ["Held"]
    assert titles(client, here.manager, "?stand=coming") == ["Approved"]
    assert titles(client, here.manager, "?stand=drafts&q=shop") == ["A draft"]
    assert titles(client, here.manager, "?stand=live") == []
    assert titles(client, here.manager, "?held=table_top") == []
    assert titles(client, here.manager, "?stand=nonsense&q=held%20shop") == ["Held"]
    assert titles(client, here.stranger) == []


def test_the_page_costs_the_same_however_many_drills_were_held(here, client):
    def cost():
        with CaptureQueriesContext(connection) as asked:
            client.get(reverse("drills:home"))
        return len(asked)

    ended(here)
    titles(client, here.manager)
    few = cost()
    for _ in range(3):
        ended(here)
    assert cost() == few


def test_an_unannounced_drill_is_shown_to_nobody_who_reacts(here, client):
    drill = approved(here)
    Drill.objects.filter(pk=drill.pk).update(kind="unannounced")
    assert titles(client, here.approver) == [drill.title]
    assert titles(client, here.viewer) == []
    assert home.on_dashboard(here.viewer) is None
    assert home.find(here.viewer, "node", 5) == []
    assert [one.label for one in home.find(here.approver, str(drill.ref)[:8].upper(), 5)] == [drill.title]


def test_the_dashboard_says_what_is_next_the_gravest_first(here):
    asked = submitted(here)
    ready = approved(here)
    gone = approved(here)
    Drill.objects.filter(pk=gone.pk).update(
        not_before=timezone.now() - timedelta(days=2), not_after=timezone.now() - timedelta(days=1)
    )
    held = started(here)
    draft(here)

    def seen(reader):
        found = home.on_dashboard(reader)
        assert found is not None
        return [(one.pk, status, says) for one, status, _, says in found["rows"]]

    live = (held.drill.pk, held.run.status, "It is under way. Anybody may stop it.")
    assert seen(here.manager) == [
        live,
        (ready.pk, "approved", "Approved; it may begin."),
        (asked.pk, "awaiting_approval", "It waits for the customer’s approval."),
    ]
    assert seen(here.approver)[1] == (asked.pk, "awaiting_approval", "Your approval is asked for.")
    Run.objects.filter(pk=held.run.pk).update(
        status="halted",
        halted_at=timezone.now(),
        halt_code="not_come_back",
        halt_rank="site_in_danger",
        halt_says="Away.",
    )
    assert seen(here.viewer)[0] == (held.drill.pk, "halted", "It waits for a person.")
    assert home.on_dashboard(here.stranger) is None
    with CaptureQueriesContext(connection) as queries:
        seen(here.manager)
    assert len(queries) == 2


def test_the_palette_knows_the_scenarios_of_every_team(here):
    person = here.lead
    other = make.team("Team Amber")
    before = find_scenarios(person, "region", 5)
    TeamMembership.objects.create(team=other, user=person, role="launch_manager")
    after = find_scenarios(person, "region", 5)
    assert len(after) == 2 * len(before) > 0
    assert any("Team Amber" in one.hint for one in after)
