"""Who writes a drill down: named in its plan, told before it, and allowed to set right what was found."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership
from drills.after import services as after
from drills.plans import selectors, services
from drills.plans.models import Drill, DrillPerson
from drills.scenarios.types import Role
from drills.told import before
from portal.errors import NotPermitted, Refused
from tests import factories as make
from tests.drills.after.rows import over
from tests.drills.after.test_findings import add
from tests.drills.rows import draft, fresh_pool
from tests.drills.test_pages import fields

pytestmark = pytest.mark.django_db


def named(here, drill, reporter, observers=()):
    services.take_part(drill, contacts=[], observers=list(observers), reporter=reporter, actor=here.manager)
    return drill


def parts(drill):
    return sorted(
        (one.role, str(one.user or one.contact)) for one in drill.parts.select_related("user", "contact")
    )


def test_one_person_writes_it_down_and_need_not_be_named_as_watching_too(here):
    drill = named(here, draft(here), here.editor, [here.editor, here.viewer])
    assert parts(drill) == [("observer", str(here.viewer)), ("reporter", str(here.editor))]
    assert selectors.roles_in(drill)[str(here.editor.pk)] is Role.REPORTER
    assert selectors.may_read_names(drill, here.editor)


def test_who_leads_does_not_write_it_down_and_neither_does_a_stranger(here):
    for somebody in (here.manager, here.stranger):
        with pytest.raises(Refused) as refused:
            named(here, draft(here), somebody)
        assert refused.value.code == "bad_reporter"
    assert not DrillPerson.objects.filter(role="reporter").exists()


def test_what_is_approved_says_who(here):
    drill = draft(here)
    people = [one.contact for one in drill.parts.select_related("contact")]
    services.take_part(drill, contacts=people, observers=[], reporter=here.editor, actor=here.manager)
    plan = services.data_of(services.submit(drill, actor=here.manager, pool=fresh_pool()))
    assert plan.reporter == str(here.editor.ref)
    assert [one.role for one in plan.people if one.is_user] == [Role.REPORTER]


def test_a_copy_names_the_same_people_but_for_those_who_are_gone(here):
    mira = make.contact(here.account, "Mira")
    drill = draft(here, contacts=[mira])
    services.take_part(
        drill, contacts=[mira], observers=[here.viewer], reporter=here.editor, actor=here.manager
    )
    assert parts(services.copy(drill, actor=here.manager)) == parts(drill)
    Membership.objects.filter(user__in=[here.editor, here.viewer]).delete()
    assert parts(services.copy(drill, actor=here.manager)) == [("participant", "Mira")]


def test_form_and_program_name_the_reporter_and_show_them(here, client, monkeypatch):
    monkeypatch.setattr("drills.plans.views.read_pool", lambda *args, **kwargs: fresh_pool())
    client.force_login(here.manager)
    address = reverse("drills:drill-new", args=[here.account.ref, "node_lost"])
    client.post(address, fields(here, observers=[], reporter=str(here.viewer.ref)))
    drill = Drill.objects.get()
    assert parts(drill) == [("reporter", str(here.viewer))]
    edit = client.get(reverse("drills:drill-edit", args=[drill.ref])).content.decode()
    assert f'<option value="{here.viewer.ref}" selected>' in edit
    assert "<dt>Reporter</dt>" in client.get(reverse("drills:drill", args=[drill.ref])).content.decode()
    wrong = client.post(address, fields(here, reporter=str(here.manager.ref)))
    assert wrong.status_code == 422
    assert "cannot write it down" in wrong.content.decode()


def test_the_reporter_is_told_before_and_what_for(here):
    drill = draft(
        here, not_before=timezone.now() + timedelta(hours=9), not_after=timezone.now() + timedelta(hours=10)
    )
    named(here, drill, here.editor)
    roles = dict(before.people_of(drill))
    assert [one.user for one in roles["reporter"]] == [here.editor]
    assert roles["observer"] == []


def test_the_reporter_sets_findings_right_that_others_wrote(here):
    held = over(here)
    finding = add(here, held)
    changes = {"severity": "minor", "text": "As the reporter saw it.", "actor": here.editor}
    with pytest.raises(NotPermitted):
        after.change(finding, **changes)
    DrillPerson.objects.create(drill=held.drill, user=here.editor, role="reporter")
    after.change(finding, **changes)
    finding.refresh_from_db()
    assert finding.text == "As the reporter saw it."
