"""Experiments come in as drafts of drills and drills go out as experiments and journals; nothing of either tells on anybody."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from capacity.models import Probe
from drills.exchange import services
from drills.interchange.chaostoolkit import export_experiment, import_experiment
from drills.interchange.drafts import draft_of
from drills.plans import services as drills
from drills.plans.choice import script_of
from drills.plans.models import Drill
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.selectors import scenario
from drills.scenarios.types import DrillKind
from portal.errors import NotPermitted, Refused
from portal.frozen import replace
from tests import factories as make
from tests.drills.interchange.cases import experiment, http
from tests.drills.interchange.test_toolkit import chaos
from tests.drills.rows import a_choice, draft, fresh_pool, started, submitted
from tests.drills.test_pages import over
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db

FOREIGN = experiment(
    http(),
    method=[
        {
            "type": "action",
            "name": "Stop the cache",
            "provider": {
                "type": "process",
                "path": "systemctl",
                "arguments": ["stop", "--password", "hunter2"],
            },
        }
    ],
    rollbacks=[
        {
            "type": "action",
            "name": "Start the cache",
            "provider": {
                "type": "python",
                "module": "os",
                "func": "system",
                "arguments": {"token": "hunter2"},
            },
        }
    ],
    secrets={"shop": {"password": "hunter2"}},
)


def pooled(here, name="shop", url="https://shop.example/"):
    return Probe.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name=name, url=url
    )


def look(client, here, value, status=200):
    text = value if isinstance(value, str) else json.dumps(value)
    answer = client.post(reverse("drills:drill-import", args=[here.account.ref]), {"text": text})
    assert answer.status_code == status, answer.content.decode()
    return answer.content.decode()


def take(client, here, value, **more):
    carried = services.carried(import_experiment(value).draft)
    return client.post(
        reverse("drills:drill-take-over", args=[here.account.ref]),
        {"draft": carried, "title": "Taken", "recovered": "15", **more},
    )


def test_an_experiment_of_others_is_shown_and_becomes_a_drill_of_a_new_scenario(here, client):
    client.force_login(here.manager)
    page = look(client, here, FOREIGN)
    for said in ("Stop the cache", "step 1, by hand", "words of how it is undone", "Secrets are never kept"):
        assert said in page
    assert "hunter2" not in page
    assert not Drill.objects.exists()
    # A pool that nothing is known of is none to choose.
    assert take(client, here, FOREIGN, pool=f"{here.connection.ref}:72").status_code == 422
    answer = take(client, here, FOREIGN, pool=f"{here.connection.ref}:71", probes="on")
    assert answer.status_code == 302, answer.content.decode()
    drill = Drill.objects.get()
    choice, made = drills.choice_of(drill), drills.scenario_of(drill)
    assert answer["Location"] == reverse("drills:drill-edit", args=[drill.ref])
    assert (drill.status, drill.title, drill.facilitator) == ("draft", "Taken", here.manager)
    assert (choice.recovered_s, choice.error_ratio, choice.balancer_ids) == (900.0, None, ("71",))
    assert [one.title for one in made.steps if one.injects] == ["Stop the cache"]
    assert "os.system" in made.undo
    assert "hunter2" not in json.dumps([drill.inputs, drill.scenario])
    assert ScenarioVersion.objects.get().key == drill.scenario_key
    assert set(Probe.objects.values_list("name", "url")) == {
        ("home", "https://www.example.com/"),
        # Of two probes with one name the answers could not be told apart.
        ("home (2)", "https://shop.example/"),
    }
    client.get(answer["Location"])


def test_taken_over_again_it_needs_no_second_scenario_and_no_second_probe(here, client):
    client.force_login(here.manager)
    for _ in range(2):
        assert take(client, here, FOREIGN, pool=f"{here.connection.ref}:71", probes="on").status_code == 302
    assert (Drill.objects.count(), ScenarioVersion.objects.count(), Probe.objects.count()) == (2, 1, 2)


def test_who_may_not_write_scenarios_takes_over_what_a_scenario_says_already(here, client):
    client.force_login(here.editor)
    assert "A launch manager has to take it over" in look(client, here, FOREIGN)
    assert take(client, here, FOREIGN).status_code == 403
    with pytest.raises(NotPermitted):
        services.take_over(
            here.account,
            import_experiment(FOREIGN).draft,
            services.Taking("x", recovered_s=60.0),
            actor=here.editor,
        )
    assert not Drill.objects.exists()
    ours = services.experiment_of(submitted(here, p95_factor=None))
    assert "Everything in the file has its place" in look(client, here, ours)
    assert take(client, here, ours).status_code == 302
    # Whoever cannot lead is not put down as who leads.
    assert Drill.objects.latest("pk").facilitator == here.lead


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '"a"',
        '{"title": 1}',
        "[" * 100_000,
        '{"a": NaN}',
        "x" * (1024 * 1024 + 1),
        '{"a":1,"a":2}',
    ],
    ids=["empty", "torn", "list", "nothing", "text", "shape", "deep", "nan", "huge", "twice"],
)
def test_what_is_no_experiment_is_refused_with_a_sentence(here, client, text):
    client.force_login(here.manager)
    page = look(client, here, text, status=422)
    assert "field-error" in page or "errorlist" in page or "error" in page
    assert not Drill.objects.exists()


def test_a_draft_that_was_changed_on_the_way_is_refused(here, client):
    client.force_login(here.manager)
    address = reverse("drills:drill-take-over", args=[here.account.ref])
    plain = json.loads(services.carried(import_experiment(FOREIGN).draft))
    for wrong in ("", "{", json.dumps({**plain, "format": 2}), json.dumps({**plain, "hold_s": -5})):
        assert client.post(address, {"draft": wrong, "title": "x", "recovered": "5"}).status_code == 422
    answer = client.post(address, {"draft": json.dumps(plain), "title": "", "recovered": ""})
    assert answer.status_code == 422
    assert "Stop the cache" in answer.content.decode()
    assert not Drill.objects.exists()


def own_script(here):
    steps = script_of(a_choice(), scenario(here.account.team, "node_lost").scenario)
    return (*steps[:-1], replace(steps[-1], title="Say what was learnt"))


@pytest.mark.parametrize(
    ("kind", "is_own"),
    [(DrillKind.ANNOUNCED, False), (DrillKind.ANNOUNCED, True), (DrillKind.TABLE_TOP, False)],
)
def test_an_exported_drill_that_is_taken_over_is_the_same_drill(here, kind, is_own):
    pooled(here)
    steps = own_script(here) if is_own else ()
    first = submitted(here, kind=kind, p95_factor=None, error_ratio=0.02, hold_s=45.0, floor=3, steps=steps)
    file = services.experiment_of(first)
    imported = import_experiment(json.loads(json.dumps(file)))
    assert imported.is_ours
    taken = services.take_over(
        here.account,
        imported.draft,
        services.Taking("Again", connection=here.connection, balancer_id="71"),
        actor=here.manager,
    )
    assert (taken.is_new_scenario, taken.scenario.key) == (False, "node_lost")
    was, now = drills.choice_of(first), drills.choice_of(taken.drill)
    if kind is DrillKind.ANNOUNCED:
        # Of what is talked through nothing is watched, so no such limits are frozen.
        assert replace(was, not_before=None, not_after=None, server_ids=(), emergency_plan="") == now
    # With what a file cannot say it is frozen as the same plan.
    drills.change(
        taken.drill,
        title="Again",
        choice=replace(
            now,
            not_before=was.not_before,
            not_after=was.not_after,
            server_ids=was.server_ids,
            emergency_plan=was.emergency_plan,
        ),
        connection=here.connection,
        actor=here.manager,
    )
    taken.drill.refresh_from_db()
    second = drills.submit(taken.drill, actor=here.manager, pool=fresh_pool())
    assert draft_of(drills.data_of(second)) == draft_of(drills.data_of(first))


def test_a_changed_script_becomes_a_scenario_of_its_own(here):
    file = services.experiment_of(submitted(here, p95_factor=None, recovered_s=300.0))
    plan = drills.data_of(submitted(here, p95_factor=None, recovered_s=300.0))
    other = export_experiment(replace(plan, undo="Otherwise."))
    assert services.look(here.account, file).scenario.key == "node_lost"
    looked = services.look(here.account, other)
    assert (looked.imported.is_ours, looked.scenario, looked.needs_claim) == (True, None, False)
    taken = services.take_over(here.account, looked.imported.draft, services.Taking(""), actor=here.manager)
    assert taken.is_new_scenario
    assert drills.scenario_of(taken.drill).undo == "Otherwise."
    assert drills.scenario_of(taken.drill).injection.value == "node_out"


def test_milliseconds_of_another_site_are_listed_and_not_taken_over(here, client):
    pooled(here)
    plan = drills.data_of(submitted(here, p95_factor=None))
    file = export_experiment(replace(plan, hypothesis=replace(plan.hypothesis, p95_ms=300.0)))
    looked = services.look(here.account, file)
    assert [one.what for one in looked.left] == ["steady-state: 95 of 100 answers in 300 ms"]


def test_a_file_that_claims_nothing_needs_a_claim(here):
    imported = import_experiment(FOREIGN)
    with pytest.raises(Refused, match="within which time"):
        services.take_over(here.account, imported.draft, services.Taking("x"), actor=here.manager)
    assert not Drill.objects.exists()


def test_what_goes_out_names_nobody_and_holds_no_secrets(here, client):
    contact = make.contact(here.account, name="Ada Lovelace", email="ada@north.example")
    pooled(here, url="https://shop.example/?token=hunter2&page=3")
    held = over(started(here, objective=f"{contact.name} ({contact.email}) answers.", p95_factor=None))
    client.force_login(here.viewer)
    for name in ("drill-experiment", "drill-journal"):
        answer = client.get(reverse(f"drills:{name}", args=[held.drill.ref]))
        text = answer.content.decode()
        assert answer.status_code == 200
        assert "attachment" in answer["Content-Disposition"]
        for secret in ("Lovelace", "ada@", "hunter2", "web-06", "10.0.0.6", here.connection.tenant):
            assert secret not in text, secret
        assert "somebody" in text
        assert "page=3" in text


def test_a_draft_has_no_file_and_a_drill_under_way_no_journal(here, client):
    client.force_login(here.manager)
    drafted, held = draft(here), started(here)
    for name, drill, status in (
        ("drill-experiment", drafted, 404),
        ("drill-journal", drafted, 404),
        ("drill-experiment", held.drill, 200),
        ("drill-journal", held.drill, 404),
    ):
        assert client.get(reverse(f"drills:{name}", args=[drill.ref])).status_code == status, name


@pytest.mark.process
def test_the_toolkit_takes_what_is_handed_out(here, client, tmp_path):
    pooled(here)
    held = over(started(here, p95_factor=None))
    client.force_login(here.viewer)
    answer = client.get(reverse("drills:drill-experiment", args=[held.drill.ref]))
    (tmp_path / "experiment.json").write_bytes(answer.content)
    done = chaos(tmp_path, "validate", "experiment.json")
    assert done.returncode == 0, done.told


def test_the_api_looks_takes_over_and_hands_out(here):
    caller = Caller(here.manager)
    at = f"/accounts/{here.account.ref}/drills/import"
    looked = caller.post(f"{at}/look", {"experiment": FOREIGN}, status=200)
    assert (looked["scenario_key"], looked["needs_recovered_s"], looked["is_ours"]) == (None, True, False)
    assert [one["provider"] for one in looked["parts"]] == ["http", "process", "python"]
    assert not Drill.objects.exists()
    caller.post(at, {"experiment": FOREIGN}, status=422)
    caller.post(at, {"experiment": {"title": "x"}, "recovered_s": 60}, status=422)
    body = {
        "experiment": FOREIGN,
        "recovered_s": 600,
        "connection": str(here.connection.ref),
        "balancer_id": "71",
        "add_probes": True,
    }
    made = caller.post(at, body, status=201)
    assert (made["is_new_scenario"], made["probes_added"], made["drill"]["status"]) == (True, 1, "draft")
    assert made["drill"]["choice"]["recovered_s"] == 600
    caller.get(f"/drills/{made['drill']['ref']}/experiment", status=404)
    held = over(started(here, p95_factor=None))
    assert caller.get(f"/drills/{held.drill.ref}/experiment")["version"] == "1.0.0"
    journal = caller.get(f"/drills/{held.drill.ref}/journal")
    assert (journal["status"], journal["experiment"]["title"]) == ("interrupted", held.drill.title)


def test_the_files_and_the_look_cost_what_is_stated(here, client):
    client.force_login(here.manager)
    held = over(started(here, p95_factor=None))
    for name, most in (("drill-experiment", 12), ("drill-journal", 14)):
        address = reverse(f"drills:{name}", args=[held.drill.ref])
        client.get(address)
        with CaptureQueriesContext(connection) as asked:
            client.get(address)
        assert len(asked) <= most, (name, len(asked))
