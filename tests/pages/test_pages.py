"""The pages of scale-down: a request in, meaning out."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.urls import reverse
from django.utils import timezone

from capacity.models import TrafficEvent
from capacity.reports.models import ServerPrice, SizedPool
from portal.access import permissions_on
from portal.cloud.types import Condition
from portal.errors import TryLater
from portal.runs import charge, registry
from portal.runs.models import Run, Standstill
from portal.runs.stream import Change
from portal.ui import charts
from scaledown import services
from scaledown.forms import LessForm
from scaledown.less import Less
from scaledown.models import Plan, ProtectedServer, ScaleUpRecord
from scaledown.pool import ServerLook
from scaledown.types import ImageRule
from scaledown.views.runs import _renderer
from tests.scaledown.planner_cases import CHOICE
from tests.scaledown.rows import desk, fresh_pool

pytestmark = pytest.mark.django_db


def discovered(pool):
    """What a discovery of this pool finds."""
    servers = {address: server for server in pool.servers for address in server.addresses}
    return SimpleNamespace(
        pools=[
            SimpleNamespace(
                balancer=balancer,
                members=[SimpleNamespace(node=node, server=servers[node.address]) for node in balancer.nodes],
            )
            for balancer in pool.balancers
        ]
    )


@pytest.fixture
def here(monkeypatch):
    if registry.registered(services.KIND) is None:
        registry.register_kind(services.KIND, lambda: None)
    for place in ("scaledown.drawing", "scaledown.views.shared", "scaledown.views.around"):
        monkeypatch.setattr(f"{place}.read_pool", lambda connection, ids: fresh_pool())
    monkeypatch.setattr("scaledown.drawing.discover_pools", lambda connection: discovered(fresh_pool()))
    monkeypatch.setattr("scaledown.views.around.look_at_server", known_server)
    return desk()


def known_server(connection, server_id):
    """What the provider says about a server of the pool of these tests, and about any other id."""
    assert connection.api_key  # the look needs the key, which lists of choices leave out
    name = next((one.name for one in fresh_pool().servers if one.id == server_id), None)
    return ServerLook(name is not None, name or "", timezone.now())


@pytest.fixture
def as_(client):
    def log_in(user):
        client.force_login(user)
        return client

    return log_in


def page(response, status=200):
    assert response.status_code == status, (response.status_code, text(response)[:2000])
    return text(response)


def text(response):
    """What someone reads, without markup and repeated spaces."""
    html = response.content.decode()
    html = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def drafted(here, **changes) -> Plan:
    return services.draft_plan(
        account=here.account,
        connection=here.connection,
        actor=here.manager,
        title="After Black Friday",
        choice=replace(CHOICE, **changes),
        event=here.event,
    )


def submitted(here, **changes) -> Plan:
    return services.submit_plan(drafted(here, **changes), actor=here.manager, pool=here.pool)


def approved(here, **changes) -> Plan:
    plan = submitted(here, **changes)
    return services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)


def started(here, **changes) -> Run:
    plan = approved(here, **changes)
    return services.start_run(plan, actor=here.manager, seen_digest=plan.digest)


def url(name, *refs):
    return reverse(f"scaledown:{name}", args=[getattr(ref, "ref", ref) for ref in refs])


# --- the guided path ------------------------------------------------------------------------------------


PURPOSE = {"title": "After Black Friday", "reason": "It is over."}
SAFETY = {
    "min_drain_s": "",
    "drain_limit_s": "15 min",
    "at_limit": "ask",
    "accepted_grade": "measured",
    "soak_s": "5 min",
    "images": "each",
    "images_kept_s": "30 d",
    "hold_s": "0 s",
    "pause_between_s": "60 s",
    "probe_failures_allowed": "0",
    "guard_share": "80",
    "vital_fall_allowed": "30",
    "no_vital_reason": "Orders come in elsewhere.",
    "window_start": "",
    "window_end": "",
}


def test_the_guided_path_leads_from_an_event_to_a_plan_that_waits_for_the_customer(here, as_):
    browser = as_(here.manager)
    first = page(browser.get(url("plan-new", here.account)))
    assert "web-04, web-05, web-06" in first
    answer = browser.post(
        url("plan-new", here.account), {**PURPOSE, "connection": here.connection.ref, "event": here.event.ref}
    )
    plan = Plan.objects.get()
    assert answer.url == url("plan-pool", plan)
    second = page(browser.get(answer.url))
    assert "Comes out: 3 of 6" in second
    assert second.index("web-06") < second.index("web-05") < second.index("web-04")
    assert "existed before Black Friday" in second
    answer = browser.post(
        answer.url, {"balancer_ids": ["71"], "target": "", "floor": "2", "order": "reverse_of_scale_up"}
    )
    assert answer.url == url("plan-safety", plan)
    assert "Visitors who are still connected to that server are cut off once" in page(browser.get(answer.url))
    answer = browser.post(answer.url, SAFETY)
    assert answer.url == url("plan-preview", plan)
    fourth = page(browser.get(answer.url))
    assert "50 %" in fourth
    assert "server-hours" in fourth
    assert "The way back" in fourth
    assert "crash-consistent, not a backup" in fourth
    plan.refresh_from_db()
    assert services.choice_of(plan).images is ImageRule.EACH
    assert "An image each of web-06, web-05 and web-04 is made" in fourth
    assert "Ada" not in page(browser.get(url("plan-submit", plan)))
    answer = browser.post(url("plan-submit", plan), {"reason": ""})
    assert answer.url == url("plan-detail", plan)
    plan.refresh_from_db()
    assert plan.status == "awaiting_approval"
    assert "Waiting for the customer" in page(browser.get(answer.url))


def test_a_window_of_several_days_is_shown_to_who_approves_and_asks_for_both_its_ends(here, as_):
    plan = drafted(here)
    browser = as_(here.manager)
    opens = timezone.now() + timedelta(days=1)
    stamp = "%Y-%m-%dT%H:%M"
    begins = {**SAFETY, "window_days": "3", "window_weekends": "on", "window_start": opens.strftime(stamp)}
    answer = page(browser.post(url("plan-safety", plan), begins), 422)
    assert "Enter when the window begins and ends first" in answer
    ends = (opens + timedelta(hours=4)).strftime(stamp)
    assert browser.post(url("plan-safety", plan), {**begins, "window_end": ends}).status_code == 302
    plan.refresh_from_db()
    assert (services.choice_of(plan).window_days, services.choice_of(plan).window_weekends) == (3, True)
    assert "on 3 days" in page(browser.get(url("plan-detail", plan)))
    plan = services.submit_plan(plan, actor=here.manager, pool=here.pool)
    assert len(services.data_of(plan).later_windows) == 2
    shown = page(as_(here.approver).get(url("plan-detail", plan)))
    assert "and at these hours on 2 more days for what does not fit, the last" in shown
    plan = services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
    assert "goes on at the same hours of 2 later days" in page(as_(here.manager).get(url("plan-start", plan)))


def test_the_preview_names_the_money_that_is_saved_where_the_price_is_known(here, as_):
    plan = drafted(here)
    count = len(services.preview_plan(plan, actor=here.manager, pool=here.pool).steps)
    browser = as_(here.manager)
    assert "EUR" not in page(browser.get(url("plan-preview", plan)))
    pool = SizedPool.objects.create(
        account=here.account, connection=here.connection, balancer_id="71", name="web", flavor="general1-4"
    )
    ServerPrice.objects.create(
        account=here.account, flavor="general1-4", an_hour="0.36", currency="EUR", at=timezone.now()
    )
    shown = page(browser.get(url("plan-preview", plan)))
    assert (
        f"about {charts.number(count * 730.5 * 0.36, 2)} EUR (estimate), counted from each deletion" in shown
    )
    SizedPool.objects.filter(pk=pool.pk).update(flavor="general1-8")
    assert "EUR" not in page(browser.get(url("plan-preview", plan))), "there is no price of this size"


def test_what_was_typed_is_kept_when_a_step_is_refused(here, as_):
    plan = drafted(here)
    answer = as_(here.manager).post(
        url("plan-pool", plan), {"balancer_ids": ["71"], "target": "1", "floor": "2", "order": "newest_first"}
    )
    assert "below the floor of 2" in page(answer, 422)
    assert 'value="1"' in answer.content.decode()
    answer = as_(here.manager).post(url("plan-safety", plan), {**SAFETY, "soak_s": "a while"})
    assert "Write a length of time such as 90 s" in page(answer, 422)
    assert 'value="a while"' in answer.content.decode()
    plan.refresh_from_db()
    assert services.choice_of(plan).floor == CHOICE.floor


def test_a_provider_that_does_not_answer_loses_nothing_that_was_typed(here, as_, monkeypatch):
    def slow(connection):
        raise TryLater("The provider did not answer within 25 s.", after_s=5)

    monkeypatch.setattr("scaledown.drawing.discover_pools", slow)
    answer = as_(here.manager).post(
        url("plan-new", here.account), {**PURPOSE, "connection": here.connection.ref, "event": ""}
    )
    assert "did not answer within 25 s" in page(answer, 503)
    assert "After Black Friday" in answer.content.decode()
    plan = drafted(here)
    assert "The pool could not be read" in page(as_(here.manager).get(url("plan-pool", plan)))


def test_safety_leads_to_the_checks_of_the_site(here, as_):
    plan = drafted(here)
    shown = as_(here.manager).get(url("plan-safety", plan)).content.decode()
    assert reverse("capacity:pool-known", args=[here.connection.ref, "71"]) in shown


def test_each_step_of_a_draft_can_be_opened_again(here, as_):
    plan = drafted(here)
    for name in ("plan-purpose", "plan-pool", "plan-safety", "plan-preview", "plan-submit"):
        shown = as_(here.manager).get(url(name, plan)).content.decode()
        for other in ("plan-purpose", "plan-pool", "plan-safety", "plan-preview", "plan-submit"):
            assert other == name or url(other, plan) in shown


def test_a_submitted_plan_cannot_be_drawn_up_further(here, as_):
    plan = submitted(here)
    assert "what people approve cannot change" in page(as_(here.manager).get(url("plan-safety", plan)), 409)


def test_a_customers_editor_draws_up_and_leaves_submitting_to_the_launch_manager(here, as_):
    plan = drafted(here)
    assert "A launch manager submits it" in page(as_(here.editor).get(url("plan-submit", plan)))
    assert as_(here.editor).post(url("plan-submit", plan)).status_code == 403


# --- approval and start -----------------------------------------------------------------------------------


def test_the_customer_sees_five_lines_and_approves(here, as_):
    plan = submitted(here)
    shown = page(as_(here.approver).get(url("plan-detail", plan)))
    for line in ("web-06, web-05 and web-04", "3 servers (now 6)", "Never fewer than", "Cannot be undone"):
        assert line in shown
    answer = as_(here.approver).post(url("plan-approve", plan), {"digest": plan.digest})
    assert answer.status_code == 302
    plan.refresh_from_db()
    assert plan.status == "approved"


def test_an_approval_of_something_else_is_refused_with_a_sentence(here, as_):
    plan = submitted(here)
    assert "That was not done" in page(
        as_(here.approver).post(url("plan-approve", plan), {"digest": "0" * 64}), 409
    )


def test_a_plan_is_turned_down_with_a_reason_only(here, as_):
    plan = submitted(here)
    browser = as_(here.approver)
    assert "It was not turned down" in page(
        browser.post(url("plan-reject", plan), {"digest": plan.digest, "reason": ""}), 422
    )
    browser.post(url("plan-reject", plan), {"digest": plan.digest, "reason": "A sale is coming"})
    assert "A sale is coming" in page(browser.get(url("plan-detail", plan)))


def test_a_plan_that_was_decided_meanwhile_asks_nothing_any_more(here, as_):
    plan = approved(here)
    answer = as_(here.admin).post(url("plan-reject", plan), {"digest": plan.digest, "reason": "Too early."})
    html = page(answer, 409)
    assert "there is nothing left to decide. You wrote: Too early." in html
    assert 'name="reason"' not in html


def test_the_run_starts_only_with_the_size_typed(here, as_):
    plan = approved(here)
    browser = as_(here.manager)
    assert "Type 3 servers to confirm" in page(browser.get(url("plan-start", plan)))
    answer = browser.post(url("plan-start", plan), {"digest": plan.digest, "typed_name": "2 servers"})
    assert "Nothing was started" in page(answer, 422)
    assert not Run.objects.exists()
    answer = browser.post(url("plan-start", plan), {"digest": plan.digest, "typed_name": "3 servers"})
    assert answer.url == url("run-detail", Run.objects.get())


def test_a_withdrawn_plan_can_be_copied(here, as_):
    plan = submitted(here)
    browser = as_(here.manager)
    browser.post(url("plan-void", plan), {"confirmed": "1", "reason": "Too early"})
    assert "Too early" in page(browser.get(url("plan-detail", plan)))
    answer = browser.post(url("plan-copy", plan))
    copy = Plan.objects.get(copied_from=plan)
    assert answer.url == url("plan-purpose", copy)


# --- the run ----------------------------------------------------------------------------------------------


def test_the_live_page_says_who_is_in_charge_and_what_can_be_done(here, as_):
    run = started(here)
    shown = page(as_(here.manager).get(url("run-detail", run)))
    for words in ("web-06", "web-05", "web-04", "In charge: Manager", "Abort the run", "never fewer than 2"):
        assert words in shown
    assert "Abort the run" not in page(as_(here.viewer).get(url("run-detail", run)))


def test_the_live_page_refreshes_itself_without_javascript_until_the_run_is_over(here, as_):
    run = started(here)
    assert "<noscript><meta http-equiv" in as_(here.viewer).get(url("run-detail", run)).content.decode()
    Run.objects.filter(pk=run.pk).update(status="aborted", next_tick_at=None, ended_at=run.created_at)
    over = as_(here.viewer).get(url("run-detail", run)).content.decode()
    assert "<noscript><meta http-equiv" not in over
    assert "sse-connect" not in over


def test_a_dangerous_command_is_asked_for_and_needs_its_reason(here, as_):
    run = started(here)
    browser = as_(here.manager)
    ask = url("run-command", run, "abort")
    assert "What it leaves" in page(browser.get(ask))
    assert "needs a written reason" in page(browser.post(ask, {"confirmed": "1", "reason": ""}), 422)
    answer = browser.post(ask, {"confirmed": "1", "reason": "The shop changed its mind"})
    assert answer.url == url("run-detail", run)
    assert run.commands.get().name == "abort"


def test_a_command_that_makes_no_sense_now_is_refused_with_a_sentence(here, as_):
    run = started(here)
    assert "makes sense only" in page(as_(here.manager).post(url("run-command", run, "resume")), 422)
    assert as_(here.manager).get(url("run-command", run, "explode")).status_code == 404


def test_a_viewer_gives_no_command(here, as_):
    run = started(here)
    assert as_(here.viewer).post(url("run-command", run, "abort"), {"reason": "x"}).status_code == 403
    assert as_(here.viewer).get(url("run-command", run, "abort")).status_code == 403
    assert not run.commands.exists()


def test_a_halt_says_what_is_true_and_offers_what_is_safe(here, as_):
    run = started(here)
    Run.objects.filter(pk=run.pk).update(
        status="halted",
        halt_code="traffic_rising",
        halt_rank="decide_today",
        halt_says="Load per node passed the guard: web-06 was put back.",
        halt_customer_says="Paused for safety: traffic is rising, and web-06 serves again.",
        halt_next_commands=["resume", "abort"],
        halted_at=run.created_at,
        next_tick_at=run.created_at,
    )
    shown = page(as_(here.manager).get(url("run-detail", run)))
    assert "Halted : Load per node passed the guard" in shown or "Halted: Load per node passed" in shown
    assert "decide today" in shown
    assert "Resume the run" in shown
    assert f"{here.manager.name} is asked now, the customer in working hours." in shown
    assert (
        "Without an answer nothing changes. Nothing more is taken out of service. Nothing is deleted."
        in shown
    )
    plain = page(as_(here.viewer).get(url("run-detail", run)))
    assert "Paused for safety" in plain
    assert "Your launch team is asked now, you in working hours." in plain
    asked = as_(here.viewer).get(f"/api/v1/runs/{run.ref}").json()["halt"]
    assert asked["asked"] == "Your launch team is asked now, you in working hours."
    assert asked["until"] is None
    assert asked["otherwise"].startswith("Without an answer nothing changes.")
    assert "guard" not in plain


def test_a_line_of_the_journal_has_an_address_of_its_own(here, as_):
    run = started(here)
    assert 'id="j-1"' in as_(here.viewer).get(url("run-journal", run)).content.decode()


def test_the_stream_sends_what_changed_and_nothing_twice(here):
    run = started(here)
    view = SimpleNamespace(
        granted=permissions_on(here.viewer, here.account), request=SimpleNamespace(user=here.viewer)
    )
    render = _renderer(view, run, "", "a-token")
    change = Change(entries=(), status=run.status, seq=run.seq, token=0, is_over=False)
    assert set(render(change)) == {"state", "lanes", "charts", "journal"}
    assert render(change) == {}
    charge.take(run, actor=here.lead)
    news = render(change)
    assert set(news) == {"state", "journal"}
    assert "In charge: Lead" in news["state"]


def test_the_stream_speaks_the_words_of_its_reader_and_knows_their_commands(here):
    run = started(here)
    change = Change(entries=(), status=run.status, seq=run.seq, token=0, is_over=False)

    def state_for(user):
        granted = permissions_on(user, here.account)
        view = SimpleNamespace(granted=granted, request=SimpleNamespace(user=user))
        return _renderer(view, run, "", "a-token")(change)["state"]

    assert "will start later" in state_for(here.viewer)
    assert "Abort" not in state_for(here.viewer)
    assert "Abort the run" in state_for(here.manager)


def test_the_stream_needs_few_queries(here, django_assert_max_num_queries):
    run = started(here)
    view = SimpleNamespace(
        granted=permissions_on(here.viewer, here.account), request=SimpleNamespace(user=here.viewer)
    )
    render = _renderer(view, run, "", "a-token")
    change = Change(entries=(), status=run.status, seq=run.seq, token=0, is_over=False)
    with django_assert_max_num_queries(8):
        render(change)


def test_the_journal_can_be_read_for_one_server(here, as_):
    run = started(here)
    assert "is about to begin" in page(as_(here.viewer).get(url("run-journal", run)))
    assert "No line is about web-06 yet" in page(
        as_(here.viewer).get(url("run-journal", run) + "?server=web-06")
    )


def test_taking_charge_is_shown_to_everyone(here, as_):
    run = started(here)
    as_(here.lead).post(url("run-charge", run))
    assert "In charge: Lead" in page(as_(here.viewer).get(url("run-detail", run)))


def test_a_report_has_lessons_and_never_a_bare_zero_for_failed_requests(here, as_):
    run = started(here)
    browser = as_(here.manager)
    assert "Not measurable here" in page(browser.get(url("run-report", run)))
    assert "It was not written down" in page(browser.post(url("run-lesson", run), {"text": " "}), 422)
    browser.post(url("run-lesson", run), {"text": "Start an hour earlier."})
    assert "Start an hour earlier." in page(as_(here.viewer).get(url("run-report", run)))


def test_a_rehearsal_is_marked_as_one(here, as_):
    plan = drafted(here)
    answer = as_(here.manager).post(url("plan-rehearse", plan))
    assert "This is a rehearsal" in page(as_(here.manager).get(answer.url))


# --- around it ----------------------------------------------------------------------------------------------


def test_the_list_filters_by_what_stands_in_the_address(here, as_):
    submitted(here)
    browser = as_(here.viewer)
    assert "After Black Friday" in page(
        browser.get(url("plan-list", here.account) + "?status=awaiting_approval")
    )
    assert "No plan fits this filter" in page(browser.get(url("plan-list", here.account) + "?status=draft"))


def test_an_empty_list_says_what_to_do(here, as_):
    assert "No plan yet" in page(as_(here.manager).get(url("plan-list", here.account)))


def protecting(here, **changes):
    return {
        "connection": here.connection.ref,
        "server_id": "srv-04",
        "server_name": "web-04",
        "reason": "Runs the nightly jobs",
        **changes,
    }


def test_an_id_that_the_provider_does_not_know_stays_in_the_form_with_a_sentence(here, as_):
    answer = as_(here.manager).post(url("protected", here.account), protecting(here, server_id="srv-44"))
    assert "DFW has no server with the id “srv-44”" in page(answer, 422)
    assert 'value="srv-44"' in answer.content.decode()
    assert not ProtectedServer.objects.exists()


def test_a_server_is_protected_while_the_provider_is_down_and_the_page_says_that_nobody_looked(
    here, as_, monkeypatch
):
    silent = ServerLook(problem="The provider did not answer within 6 s.")
    monkeypatch.setattr("scaledown.views.around.look_at_server", lambda *asked: silent)
    answer = as_(here.manager).post(url("protected", here.account), protecting(here), follow=True)
    shown = page(answer)
    assert "web-04 is protected" in shown
    assert "Not checked whether DFW has this server. The provider did not answer within 6 s." in shown
    assert "Not checked: whether the provider has this server was not known" in shown


def test_another_name_than_the_providers_is_said(here, as_):
    answer = as_(here.manager).post(
        url("protected", here.account), protecting(here, server_name="web-05"), follow=True
    )
    assert "The provider calls srv-04 web-04, not web-05" in page(answer)
    assert ProtectedServer.objects.get().server_name == "web-04"


def test_a_protected_server_is_marked_and_lifted_with_a_reason(here, as_):
    browser = as_(here.manager)
    browser.post(url("protected", here.account), protecting(here))
    mark = ProtectedServer.objects.get()
    assert "Runs the nightly jobs" in page(as_(here.viewer).get(url("protected", here.account)))
    assert "Say why the protection is lifted" in page(
        as_(here.manager).post(url("protected-lift", mark)), 422
    )
    browser.post(url("protected-lift", mark), {"reason": "Jobs moved"})
    assert not ProtectedServer.objects.exists()


def test_a_record_is_reconstructed_checked_and_written_with_its_evidence(here, as_):
    ScaleUpRecord.objects.all().delete()
    browser = as_(here.manager)
    found = browser.get(url("record-detail", here.event) + f"?from={here.connection.ref}")
    assert "What the provider shows" in page(found)
    lines = "\n".join(f"web-0{n}, srv-0{n}, 2026-11-12 1{n}:00" for n in (4, 5, 6))
    body = {"connection": here.connection.ref, "servers": lines, "evidence": "1"}
    browser.post(url("record-detail", here.event), body)
    record = ScaleUpRecord.objects.get()
    assert [entry.source for entry in record.entries.all()] == ["reconstructed"] * 3
    assert record.entries.first().evidence


def test_a_record_by_hand_names_the_line_that_cannot_be_read(here, as_):
    body = {"connection": here.connection.ref, "servers": "web-04, srv-04, 2026-11-12 08:00\nweb-05"}
    answer = as_(here.manager).post(url("record-detail", here.event), body)
    assert "Line 2 needs three parts" in page(answer, 422)
    assert "web-05" in answer.content.decode()


def test_everything_is_stopped_with_a_reason_and_lifted_by_a_lead(here, as_):
    run = started(here)
    where = url("standstill", here.account)
    assert "Nothing was stopped" in page(
        as_(here.approver).post(where, {"scope": "account", "reason": ""}), 422
    )
    as_(here.approver).post(where, {"scope": "account", "reason": "Payments are down"})
    assert "Payments are down" in page(as_(here.viewer).get(url("run-detail", run)))
    standing = Standstill.objects.get()
    lift = url("standstill-lift", here.account)
    assert as_(here.approver).post(lift, {"standstill": standing.ref, "reason": "ok"}).status_code == 403
    as_(here.lead).post(lift, {"standstill": standing.ref, "reason": "Payments work"})
    standing.refresh_from_db()
    assert standing.lifted_at is not None


def test_the_dashboard_shows_what_needs_a_person_first(here, as_):
    submitted(here)
    shown = page(as_(here.approver).get(reverse("dashboard")))
    assert shown.index("Needs a person") < shown.index("Accounts", shown.index("Needs a person"))
    assert "Your approval is asked for" in shown


@pytest.mark.parametrize(
    ("in_days", "goes_to"), [(-2, "record-detail"), (0, "record-detail"), (20, "record-list")]
)
def test_an_event_to_come_asks_for_no_scale_up_record_yet(here, as_, in_days, goes_to):
    begins = timezone.now() + timedelta(days=in_days, minutes=-5)
    typed = {
        "name": "Christmas",
        "starts_at": f"{begins:%Y-%m-%dT%H:%M}",
        "ends_at": f"{begins + timedelta(days=1):%Y-%m-%dT%H:%M}",
        "expected_multiple": "6.3",
    }
    answer = as_(here.manager).post(url("record-list", here.account), typed, follow=True)
    event = TrafficEvent.objects.get(name="Christmas")
    assert answer.redirect_chain[-1][0] == url(goes_to, event if goes_to == "record-detail" else here.account)
    said = (
        "Now write down what was added"
        if goes_to == "record-detail"
        else "servers each sized pool needs for it"
    )
    assert said in page(answer)


# --- how many queries ---------------------------------------------------------------------------------------


def test_pages_need_a_stated_number_of_queries(here, as_, django_assert_max_num_queries):
    run = started(here)
    plan = Plan.objects.get()
    for name, ref, most in (
        ("plan-list", here.account, 16),
        ("plan-detail", plan, 22),
        ("run-detail", run, 17),
        ("run-report", run, 19),
        ("run-journal", run, 11),
        ("protected", here.account, 10),
        ("record-list", here.account, 12),
        ("record-detail", here.event, 13),
        ("standstill", here.account, 15),
    ):
        browser = as_(here.manager)
        with django_assert_max_num_queries(most):
            page(browser.get(url(name, ref)))


def test_conditions_of_the_pool_are_the_simulators_own(here):
    # The stories above stand on a pool in which everything serves.
    assert {node.condition for node in fresh_pool().balancers[0].nodes} == {Condition.ENABLED}


def less_form(plan, **changes):
    """What the form of less shows of a plan of these tests, with what somebody changed."""
    kept = {
        "digest": plan.digest,
        "target": 3,
        "floor": 2,
        "drain_limit_s": "15 min",
        "soak_s": "5 min",
        "hold_s": "0 s",
        "pause_between_s": "1 min",
        "window_start": "",
        "reason": "",
    }
    return {**kept, **changes}


def test_a_plan_is_changed_to_less_on_its_page_and_both_sides_read_it(here, as_):
    plan = approved(here)
    manager = as_(here.manager)
    assert "Change to less…" in page(manager.get(url("plan-detail", plan)))
    form = page(manager.get(url("plan-less", plan)))
    assert "By this plan 3 come out, in this order: web-06, web-05, web-04" in form
    answer = manager.post(
        url("plan-less", plan), less_form(plan, target=5, soak_s="15 min", reason="A sale comes.")
    )
    assert answer.status_code == 302
    seen = page(manager.get(answer.url))
    assert "The plan is less now" in seen
    assert "Start: 1 server…" in seen
    assert "Soak: 15 min, not 5 min" in seen
    customer = page(as_(here.viewer).get(url("plan-detail", plan)))
    assert "Servers that come out: 1 (web-05, web-04 in service as before), not 3" in customer
    assert "Watch time: 15 min, not 5 min" in customer
    assert "A sale comes." in customer
    assert "3 servers; less since: 1" in customer
    assert "Change to less…" not in customer


def test_what_is_more_stands_beside_its_field_with_what_was_typed(here, as_):
    plan = approved(here)
    answer = as_(here.manager).post(
        url("plan-less", plan), less_form(plan, target=2, soak_s="10 s", hold_s="2 h")
    )
    seen = page(answer, 422)
    assert "More servers would come out: 3 stay by this plan, and 2 were asked for." in seen
    assert "10 s is shorter than the 5 min of this plan." in seen
    assert "the copy needs an approval of its own" in seen
    assert 'value="2 h"' in answer.content.decode()
    plan.refresh_from_db()
    assert (plan.data["target"], plan.data["hold_s"]) == (3, 0)


def test_less_that_is_what_the_plan_has_changes_nothing(here, as_):
    plan = approved(here)
    manager = as_(here.manager)
    answer = manager.post(url("plan-less", plan), less_form(plan))
    assert "Nothing was changed" in page(manager.get(answer.url))
    plan.refresh_from_db()
    assert not plan.less_steps.exists()


def test_a_form_that_shows_times_shorter_than_they_are_asks_for_nothing_by_itself(here, as_):
    start = timezone.now() + timedelta(hours=1)
    plan = approved(
        here, window_start=start, window_end=start + timedelta(hours=8), pause_between_s=5333.33333
    )
    form = LessForm(plan=services.data_of(plan))
    shown = {name: form[name].value() for name in form.fields}
    shown["window_start"] = shown["window_start"].strftime("%Y-%m-%dT%H:%M")
    bound = LessForm({**shown, "reason": ""}, plan=services.data_of(plan))
    assert bound.is_valid(), bound.errors
    assert bound.asked() == Less()


def test_the_start_of_a_window_is_not_taken_away(here, as_):
    start = timezone.now() + timedelta(hours=1)
    plan = approved(here, window_start=start, window_end=start + timedelta(hours=8))
    answer = as_(here.manager).post(url("plan-less", plan), less_form(plan))
    assert "any time would be more" in page(answer, 422)


def test_a_plan_that_was_changed_meanwhile_or_started_says_so(here, as_):
    plan = approved(here)
    manager = as_(here.manager)
    typed = less_form(plan, digest="0" * 64, target=4)
    assert "changed since you were shown it" in page(manager.post(url("plan-less", plan), typed), 409)
    services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    assert "A run of this plan was started" in page(manager.get(url("plan-less", plan)), 409)
    assert "A run of this plan was started" in page(
        manager.post(url("plan-less", plan), less_form(plan, target=4)), 409
    )
