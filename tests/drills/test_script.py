"""A drill's own script: changed on its page and by the API, frozen with the plan, each step with whose it is."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import Contact
from drills.plans import selectors, services
from drills.plans.choice import read_script, script_of
from drills.plans.script import rows_of
from drills.scenarios.types import Role
from portal.errors import Refused
from tests import factories as make
from tests.drills.rows import draft, fresh_pool
from tests.drills.test_api import body
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def somebody(here) -> Contact:
    return make.contact(here.account, "Mira Solberg")


def script(drill):
    return script_of(services.choice_of(drill), services.scenario_of(drill))


def sent(rows, do="keep"):
    found = {"do": do}
    for place, row in enumerate(rows):
        for name, value in row.items():
            if name == "injects" and not value:
                continue
            found[f"steps-{place}-{name}"] = value / 60 if name == "expected_s" else value
    return found


def own(drill, who=None, **changes):
    """The drill's rows, the first of those who take part with a person and some words of its own."""
    rows = rows_of(script(drill))
    row = next(one for one in rows if one["role"] == "participant")
    row.update({"responsible": "" if who is None else str(who.ref), **changes})
    return rows


def test_a_script_of_ones_own_is_frozen_with_whose_it_is(here, client, somebody):
    drill = draft(here, contacts=[somebody])
    address = reverse("drills:drill-script", args=[drill.ref])
    client.force_login(here.manager)
    page = client.get(address)
    assert page.status_code == 200
    assert "Mira Solberg" in page.content.decode()
    answer = client.post(address, sent(own(drill, somebody, title="Look at the board", expected_s=240)))
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    drill.refresh_from_db()
    shown = client.get(reverse("drills:drill", args=[drill.ref])).content.decode()
    assert "Look at the board" in shown
    assert "Mira Solberg" in shown
    plan = services.data_of(services.submit(drill, actor=here.manager, pool=fresh_pool()))
    assert plan is not None
    step = next(one for one in plan.steps if one.responsible)
    assert (step.title, step.expected_s, step.responsible) == ("Look at the board", 240, str(somebody.ref))
    assert client.get(address).status_code == 409


def test_rows_are_moved_and_nothing_is_kept_by_that(here, client):
    drill = draft(here)
    client.force_login(here.manager)
    before = rows_of(script(drill))
    answer = client.post(reverse("drills:drill-script", args=[drill.ref]), sent(before, "down-0"))
    assert [one["title"].value() for one in answer.context["form"].steps][:2] == [
        before[1]["title"],
        before[0]["title"],
    ]
    drill.refresh_from_db()
    assert services.choice_of(drill).steps == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"title": ""}, "its title is missing"),
        ({"expected_s": 0}, "expected to take"),
        ({"injects": True}, "Exactly one step"),
        ({"role": "facilitator"}, "what those who take part do"),
        ({"responsible": "8b0d7d52-3f1e-4b0c-a0ab-4d5cf4d4c015"}, "see what is said beside its fields"),
    ],
)
def test_what_no_script_can_be_is_said_and_what_was_typed_stays(here, client, somebody, changes, says):
    drill = draft(here, contacts=[somebody])
    client.force_login(here.manager)
    rows = own(drill, somebody, text="Typed by hand.", **changes)
    answer = client.post(reverse("drills:drill-script", args=[drill.ref]), sent(rows))
    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert "Typed by hand." in answer.content.decode()
    drill.refresh_from_db()
    assert services.choice_of(drill).steps == ()


def test_the_scenarios_script_comes_back(here, client):
    drill = draft(here)
    client.force_login(here.manager)
    address = reverse("drills:drill-script", args=[drill.ref])
    client.post(address, sent(own(drill, title="Look at the board")))
    drill.refresh_from_db()
    assert services.choice_of(drill).steps
    # Typed back to how the scenario has it, it is no script of its own; nor is it after the button.
    typed = rows_of(read_script(own(drill), services.scenario_of(drill)))
    client.post(address, sent(typed, "restore"))
    drill.refresh_from_db()
    assert services.choice_of(drill).steps == ()
    client.post(address, sent(own(drill)))
    drill.refresh_from_db()
    assert services.choice_of(drill).steps == ()


def test_who_is_responsible_takes_part(here, somebody):
    drill = draft(here, contacts=[])
    steps = read_script(own(drill, somebody), services.scenario_of(drill))
    drill = services.rewrite(drill, steps, actor=here.manager)
    with pytest.raises(Refused) as refused:
        services.submit(drill, actor=here.manager, pool=fresh_pool())
    assert refused.value.code == "bad_responsible"
    services.take_part(drill, contacts=[somebody], observers=[], actor=here.manager)
    assert services.submit(drill, actor=here.manager, pool=fresh_pool()).digest


def test_who_is_gone_is_said(here, somebody):
    drill = draft(here, contacts=[somebody])
    steps = read_script(own(drill, somebody), services.scenario_of(drill))
    drill = services.rewrite(drill, steps, actor=here.manager)
    Contact.objects.filter(pk=somebody.pk).delete()
    rows = selectors.script_rows(drill, services.choice_of(drill), services.scenario_of(drill))
    assert next(one.is_gone for one in rows if one.step.role is Role.PARTICIPANT)


def test_the_api_takes_a_script_and_nobody_elses_contacts(here, somebody):
    api = Caller(here.manager)
    rows = own(draft(here, contacts=[somebody]), somebody, title="Look at the board")
    given = body(here, steps=rows) | {"participants": [str(somebody.ref)]}
    made = api.post(f"/accounts/{here.account.ref}/drills", given, status=201)
    assert "Look at the board" in {one["title"] for one in made["choice"]["steps"]}
    stranger = make.contact(make.account())
    wrong = body(here, steps=own(draft(here), stranger))
    answer = api.post(f"/accounts/{here.account.ref}/drills", wrong, status=422)
    assert "no contact of this account" in str(answer)
    assert "steps" in str(api.post(f"/accounts/{here.account.ref}/drills", body(here, steps="x"), status=422))
