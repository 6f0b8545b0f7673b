"""Scenarios as launch managers meet them: list, page, form, versions, compare."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from drills.scenarios import selectors, services
from drills.scenarios.forms import ScenarioForm
from drills.scenarios.library import ORDER, built_in
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.types import MOST_STEPS, digest_of
from tests import factories as make
from tests.drills.scenarios.cases import plain
from tests.drills.scenarios.test_services import Here

pytestmark = pytest.mark.django_db

# The most queries that each page takes, for a team with scenarios of its own in versions.
MOST = {
    "scenario-list": 8,
    "scenario": 7,
    "scenario-edit": 7,
    "scenario-new": 6,
    "scenario-copy": 7,
    "scenario-listed": 7,
    "scenario-versions": 7,
    "scenario-version": 8,
    "scenario-compare": 10,
    "scenario-go-back": 8,
}


@pytest.fixture
def here():
    return Here()


def as_(user):
    client = Client()
    client.force_login(user)
    return client


def page(here, name, *refs):
    return reverse(f"drills:{name}", args=[here.team.ref, *refs])


def text(response):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def typed(form: ScenarioForm, **changes):
    """What a browser would send of a form that is shown, with some fields changed."""
    sent = {}
    for one in (form.head, *form.steps):
        for bound in one:
            value = bound.value()
            if bound.name == "injects":
                if value:
                    sent[bound.html_name] = "on"
            elif value is not None:
                sent[bound.html_name] = value
    return {**sent, "do": "keep", **changes}


def edited(here, key, **changes):
    now = selectors.scenario(here.team, key)
    return typed(ScenarioForm.of(now.scenario), seen=now.number, **changes)


def test_the_entry_leads_to_the_one_team_or_to_a_choice_and_a_customer_is_told_where_to_read(here):
    lead = as_(here.lead)
    home = reverse("drills:scenario-home")
    assert lead.get(home)["Location"] == page(here, "scenario-list")
    drills = reverse("drills:home")
    assert f'href="{drills}"' in lead.get("/").content.decode()
    assert f'href="{page(here, "scenario-list")}"' in lead.get(drills).content.decode()
    other = make.team("Launch south")
    other.memberships.create(user=here.lead, role="launch_manager")
    assert "Launch south" in text(lead.get(home))
    customer = as_(make.member(make.account(of=here.team), "admin"))
    assert "stands in its own plan" in text(customer.get(home))
    assert f'href="{drills}"' not in customer.get("/").content.decode()
    assert customer.get(page(here, "scenario-list")).status_code == 404


def test_the_list_has_the_library_and_is_narrowed_by_who_injects_and_by_how_it_may_be_held(here):
    lead = as_(here.lead)
    everything = text(lead.get(page(here, "scenario-list")))
    for scenario in built_in().values():
        assert scenario.title in everything
    talked = text(lead.get(page(here, "scenario-list"), {"by": "talk"}))
    assert built_in()["region_lost"].title in talked
    assert built_in()["host_failure"].title not in talked
    found = text(lead.get(page(here, "scenario-list"), {"q": "BACKUP restore", "held": "announced"}))
    assert built_in()["restore_from_backup"].title in found
    assert built_in()["host_failure"].title not in found
    assert "No scenario fits" in text(lead.get(page(here, "scenario-list"), {"q": "volcano"}))
    # What somebody wrote into the address by hand is passed over.
    assert built_in()["host_failure"].title in text(lead.get(page(here, "scenario-list"), {"by": "meteor"}))


def test_a_scenario_off_the_list_is_shown_when_asked_for(here):
    services.set_listed(here.team, "dns_change", False, seen=0, actor=here.lead)
    lead = as_(here.lead)
    assert built_in()["dns_change"].title not in text(lead.get(page(here, "scenario-list")))
    assert "off the list" in text(lead.get(page(here, "scenario-list"), {"show": "all"}))


@pytest.mark.parametrize("key", ORDER)
def test_a_page_says_everything_that_the_scenario_says(here, key):
    shown = text(as_(here.lead).get(page(here, "scenario", key)))
    scenario = built_in()[key]

    for said in (
        scenario.title,
        *scenario.proves,
        *scenario.does_not_prove,
        *scenario.risks,
        *scenario.prerequisites,
        *scenario.questions,
        *(step.done_when for step in scenario.steps),
        *(line for step in scenario.steps for line in step.text.splitlines()),
        *(one.text for one in scenario.after_boot),
    ):
        assert " ".join(said.split()) in shown


@pytest.mark.parametrize("key", ORDER)
def test_what_the_form_shows_and_is_sent_back_unchanged_makes_no_version(here, key):
    answer = as_(here.lead).post(page(here, "scenario-edit", key), edited(here, key))
    assert answer["Location"] == page(here, "scenario", key)
    assert not ScenarioVersion.objects.exists()


def test_a_change_by_the_form_is_a_version_with_its_note(here):
    lead = as_(here.lead)
    sent = edited(here, "host_failure", title="A host dies", note="Our word for it.", acknowledged_s="2,5")
    refused = lead.post(page(here, "scenario-edit", "host_failure"), sent)
    assert refused.status_code == 422
    assert "Our word for it." in refused.content.decode()
    sent["acknowledged_s"] = "2.5"
    answer = lead.post(page(here, "scenario-edit", "host_failure"), sent, follow=True)
    assert "Kept as version 1." in text(answer)
    made = selectors.scenario(here.team, "host_failure")
    assert (made.scenario.title, made.note) == ("A host dies", "Our word for it.")
    assert made.scenario.hypothesis.acknowledged_s == 150
    assert "the team’s, version 1" in text(lead.get(page(here, "scenario-list")))


def test_a_new_scenario_is_written_by_the_form(here):
    lead = as_(here.lead)
    assert lead.get(page(here, "scenario-new")).status_code == 200
    sent = typed(
        ScenarioForm.of(None),
        title="The certificate has run out",
        purpose="Who notices?",
        proves="Somebody notices.",
        does_not_prove="That it is renewed in time.",
        questions="Who renews it?",
        undo="Put the old one back.",
        acknowledged_s="5",
    )
    for step, name in (
        (0, "text"),
        (0, "done_when"),
        (1, "title"),
        (1, "text"),
        (1, "done_when"),
        (2, "text"),
    ):
        sent[f"steps-{step}-{name}"] = "Something."
    refused = lead.post(page(here, "scenario-new"), sent)
    assert refused.status_code == 422
    assert "Step 3: what “done” looks like is missing." in text(refused)
    assert 'value="The certificate has run out"' in refused.content.decode()
    sent["steps-2-done_when"] = "All have spoken."
    answer = lead.post(page(here, "scenario-new"), sent)
    assert answer["Location"] == page(here, "scenario", "the_certificate_has_run_out")
    made = selectors.scenario(here.team, "the_certificate_has_run_out").scenario
    assert [step.injects for step in made.steps] == [False, True, False]
    assert digest_of(made) == ScenarioVersion.objects.get().digest


def titles(answer):
    return re.findall(r'name="steps-\d+-title" value="([^"]*)"', answer.content.decode())


def test_steps_are_added_moved_and_taken_out_without_checking_or_keeping_anything(here):
    lead = as_(here.lead)
    at = page(here, "scenario-edit", "nobody_answers")
    sent = edited(here, "nobody_answers", purpose="", acknowledged_s="soon")
    before = [step.title for step in built_in()["nobody_answers"].steps]

    def do(command):
        answer = lead.post(at, {**sent, "do": command})
        assert answer.status_code == 200
        # What was typed stays, wrong as it is.
        assert 'value="soon"' in answer.content.decode()
        return titles(answer)

    assert do("up-1") == [before[1], before[0], *before[2:]]
    assert do("down-0") == [before[1], before[0], *before[2:]]
    assert do("remove-2") == [*before[:2], *before[3:]]
    assert len(do("add")) == len(before)
    assert 'name="steps-5-title"' in lead.post(at, {**sent, "do": "add"}).content.decode()
    for nonsense in ("up-0", "down-4", "remove-99", "remove--1", "remove-²", "up", "", "dance"):
        assert do(nonsense) == before
    assert not ScenarioVersion.objects.exists()


def test_a_form_has_at_most_so_many_steps_whatever_is_sent(here):
    lead = as_(here.lead)
    sent = edited(here, "nobody_answers")
    sent |= {f"steps-{place}-title": "One more" for place in range(5, 200)}
    many = lead.post(page(here, "scenario-edit", "nobody_answers"), {**sent, "do": "add"})
    assert f'name="steps-{MOST_STEPS + 1}-title"' not in many.content.decode()
    assert lead.post(page(here, "scenario-edit", "nobody_answers"), sent).status_code == 422


def test_who_changes_what_somebody_else_changed_meanwhile_is_told(here):
    sent = edited(here, "dns_change", title="Mine")
    here.change("dns_change", 0, title="Theirs")
    answer = as_(here.lead).post(page(here, "scenario-edit", "dns_change"), sent)
    assert answer.status_code == 409
    assert "at version 1 by now" in text(answer)
    assert selectors.scenario(here.team, "dns_change").scenario.title == "Theirs"


def test_versions_are_listed_read_compared_and_gone_back_to(here):
    lead = as_(here.lead)
    here.change("dns_change", 0, undo="Ring Ada.")
    here.change("dns_change", 1, undo="Ring Eve.")
    listed = text(lead.get(page(here, "scenario-versions", "dns_change")))
    assert "Version 2" in listed
    assert "Version 0" in listed
    older = text(lead.get(page(here, "scenario-version", "dns_change", 1)))
    assert "This is an older version" in older
    assert "Ring Ada." in older
    compared = lead.get(page(here, "scenario-compare", "dns_change"))
    assert "<del>Ada.</del><ins>Eve.</ins>" in compared.content.decode()
    # Whichever is named first, the older one is the older one.
    turned = lead.get(page(here, "scenario-compare", "dns_change"), {"older": "2", "newer": "1"})
    assert "<del>Ada.</del><ins>Eve.</ins>" in turned.content.decode()
    alike = lead.get(page(here, "scenario-compare", "dns_change"), {"older": "1", "newer": "1"})
    assert "They read alike" in text(alike)
    asked = lead.get(page(here, "scenario-go-back", "dns_change", 1))
    assert "Back to version 1" in text(asked)
    action = re.search(r'action="([^"]+)" class="confirm', asked.content.decode()).group(1)
    assert lead.post(action, {"reason": "Ada knows."})["Location"] == page(here, "scenario", "dns_change")
    now = selectors.scenario(here.team, "dns_change")
    assert (now.number, now.scenario.undo, now.note) == (3, "Ring Ada.", "Ada knows.")
    # The same page, sent once more from another tab, is about a version that is no longer the newest.
    assert lead.post(action, {}).status_code == 409


def test_what_is_not_there_is_not_found(here):
    lead = as_(here.lead)
    other = as_(make.launch_manager(make.team("Launch south")))
    made = here.write()
    for address in (
        page(here, "scenario", "no_such_one"),
        page(here, "scenario-versions", "no_such_one"),
        page(here, "scenario-version", made.key, 7),
        page(here, "scenario-version", made.key, 0),
        page(here, "scenario-compare", made.key) + "?older=7",
        page(here, "scenario-go-back", made.key, 99),
    ):
        assert lead.get(address).status_code == 404
    assert other.get(page(here, "scenario", made.key)).status_code == 404
    assert other.get(reverse("drills:scenario", args=[make.team().ref, "dns_change"])).status_code == 404


def test_a_copy_gets_a_title_and_a_refusal_keeps_what_was_typed(here):
    lead = as_(here.lead)
    at = page(here, "scenario-copy", "host_failure")
    same = lead.post(at, {"title": built_in()["host_failure"].title})
    assert same.status_code == 422
    assert "a title of its own" in text(same)
    assert f'value="{built_in()["host_failure"].title}"' in same.content.decode()
    assert lead.post(at, {"title": "Host of the cache"})["Location"] == page(
        here, "scenario", "host_of_the_cache"
    )


def test_a_scenario_is_taken_off_the_list_and_put_back_by_its_page(here):
    lead = as_(here.lead)
    at = page(here, "scenario-listed", "dns_change")
    assert "off the list" in text(lead.get(at))
    assert lead.post(at, {"reason": "x" * 301}).status_code == 422
    lead.post(at, {"reason": "We have no zone."})
    assert not selectors.scenario(here.team, "dns_change").is_listed
    assert "on the list again" in text(lead.get(at))
    lead.post(at)
    assert selectors.scenario(here.team, "dns_change").is_listed


def test_what_people_typed_is_shown_as_text_and_not_as_markup(here):
    made = here.write(title="<b>Cache</b>", undo="<script>alert(1)</script>")
    here.change(made.key, 1, undo="<i>Otherwise</i>")
    lead = as_(here.lead)
    for name in ("scenario", "scenario-edit", "scenario-versions", "scenario-compare"):
        content = lead.get(page(here, name, made.key)).content.decode()
        assert "<b>Cache" not in content
        assert "<script>alert" not in content
        assert "<i>Otherwise" not in content


def test_each_page_states_how_many_queries_it_costs(here):
    lead = as_(here.lead)
    for number in range(4):
        here.change("dns_change", number, undo=f"Ring {number}.")
        here.write()
    wrong = []
    for name, most in MOST.items():
        refs = [] if name in ("scenario-list", "scenario-new") else ["dns_change"]
        refs += [2] if name in ("scenario-version", "scenario-go-back") else []
        address = page(here, name, *refs)
        lead.get(address)
        with CaptureQueriesContext(connection) as seen:
            assert lead.get(address).status_code == 200
        if len(seen) > most:
            wrong.append(f"{name}: {len(seen)}\n" + "\n".join(one["sql"][:200] for one in seen))
    assert not wrong, "\n".join(wrong)


def test_the_palette_finds_a_scenario_of_the_library_for_who_is_in_a_team(here):
    found = as_(here.lead).get("/palette", {"q": "restore backup"}).json()["items"]
    assert page(here, "scenario", "restore_from_backup") in {one["url"] for one in found}
    customer = as_(make.member(make.account(of=here.team), "admin"))
    assert not customer.get("/palette", {"q": "restore backup"}).json()["items"]


def test_a_scenario_that_was_kept_by_the_api_is_shown_by_the_form_as_it_is(here):
    made = services.write_scenario(
        here.team,
        plain(hypothesis={"acknowledged_s": 100, "error_ratio": 0.005, "p95_factor": 1.25}),
        actor=here.lead,
    )
    assert (
        as_(here.lead).post(page(here, "scenario-edit", made.key), edited(here, made.key)).status_code == 302
    )
    assert ScenarioVersion.objects.count() == 1
