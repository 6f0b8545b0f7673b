"""From the outbox to a receiver: in order, signed, nothing lost, nothing sent by two at once."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from standardwebhooks import Webhook

from accounts.erasure import erase_account
from accounts.services import archive_account
from portal import egress
from portal.audit.models import AuditEntry
from portal.crypto import encrypted_columns
from portal.errors import Refused
from portal.events.models import Event
from portal.events.relay import relay_due
from portal.events.services import emit
from portal.notify.models import Message
from portal.webhooks import queueing, rules, sending, services, tasks
from portal.webhooks.models import Delivery, Endpoint
from tests import factories as make
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(settings):
    made = Receiver()
    settings.EGRESS_ALLOW = [*settings.EGRESS_ALLOW, made.place]
    yield made
    made.close()


@pytest.fixture
def desk(receiver):
    class Desk:
        account = make.account("Lindgren Outdoor")
        admin = make.member(account, "admin", "Maja Lindgren")
        manager = make.launch_manager(account.team)

        def endpoint(self, **fields):
            made, _secret = services.add_endpoint(
                self.account, actor=self.admin, **{"url": receiver.url, **fields}
            )
            return Endpoint.objects.get(pk=made.pk)

    return Desk()


def happen(account, *types):
    """Let these events happen; return their ids in order."""
    made = [
        emit(name, account=account, subject_type="run", subject_ref=number, data={"code": "x"})
        for number, name in enumerate(types)
    ]
    relay_due()
    return [str(event.ref) for event in made]


def turn():
    """What one turn of a worker does."""
    queueing.queue_due()
    return sending.send_due()


def due_now(**fields):
    """Let the time until the next try pass."""
    Delivery.objects.filter(state="pending").update(due_at=timezone.now() - timedelta(seconds=1))
    Endpoint.objects.update(not_before=None, **fields)


def state_of(delivery_id):
    return Delivery.objects.get(message_id=delivery_id)


def test_events_arrive_signed_and_in_the_order_of_the_outbox(desk, receiver):
    endpoint = desk.endpoint()
    ids = happen(desk.account, "run.running", "run.halted", "run.aborted")
    turn()
    told = [name for name in receiver.ids if name in ids]
    assert told == ids
    for headers, body in receiver.got:
        found = Webhook(endpoint.secret).verify(body, headers)
        assert set(found) == {"type", "timestamp", "data"}
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"].startswith("steady-state")
        assert len(body) < 20_000
    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}


def test_an_endpoint_gets_what_happens_after_it_was_added_and_only_of_its_own_account(desk, receiver):
    before = happen(desk.account, "run.running")
    desk.endpoint(types=["run.*"])
    foreign = happen(make.account("Elsewhere"), "run.halted")
    after = happen(desk.account, "run.halted")
    turn()
    assert receiver.ids == after
    assert not set(receiver.ids) & {*before, *foreign}


def test_cloudevents_are_sent_whole_with_the_same_signature(desk, receiver):
    endpoint = desk.endpoint(envelope="cloudevents", types=["run.halted"])
    (wanted,) = happen(desk.account, "run.halted")
    turn()
    ((headers, body),) = receiver.got
    found = Webhook(endpoint.secret).verify(body, headers)
    assert headers["content-type"] == "application/cloudevents+json"
    assert found["specversion"] == "1.0"
    assert found["id"] == wanted == headers["webhook-id"]
    assert found["type"] == "steadystate.run.halted.v1"


def test_what_is_not_wanted_is_passed_over_for_good(desk, receiver):
    endpoint = desk.endpoint(types=["plan.approved"])
    happen(desk.account, "run.halted")
    turn()
    assert receiver.got == []
    endpoint.refresh_from_db()
    assert endpoint.cursor == Event.objects.order_by("-position").first().position
    assert not queueing.is_anything_due()


def test_a_failed_try_is_made_again_with_the_same_id_and_the_same_bytes(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(500, {}, b"out of order")]
    (wanted,) = happen(desk.account, "run.halted")
    turn()
    delivery = state_of(wanted)
    assert (delivery.state, delivery.tries) == ("pending", 1)
    assert timedelta(seconds=3) < delivery.due_at - timezone.now() < timedelta(seconds=6)
    tried = delivery.attempts.get()
    assert (tried.status, tried.took_it, tried.answer) == (500, False, "out of order")
    due_now()
    turn()
    assert state_of(wanted).state == "delivered"
    assert receiver.ids == [wanted, wanted]
    assert receiver.got[0][1] == receiver.got[1][1]


def test_a_busy_receiver_is_left_alone_for_as_long_as_it_asks(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(429, {"Retry-After": "3600"}, b"")]
    wanted, _other = happen(desk.account, "run.halted", "run.halted")
    turn()
    assert receiver.ids == [wanted], "nor is anything else sent there meanwhile"
    assert state_of(wanted).due_at > timezone.now() + timedelta(minutes=59)
    assert Endpoint.objects.get().not_before > timezone.now() + timedelta(minutes=59)


def test_410_switches_it_off_and_the_admins_and_launch_managers_are_told(desk, receiver):
    make.member(desk.account, "viewer", "Vera")
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(410, {}, b"")]
    happen(desk.account, "run.halted")
    turn()
    assert Endpoint.objects.get().state == "disabled"
    told = Message.objects.filter(purpose="webhook_disabled")
    assert {row.user_id for row in told} == {desk.admin.pk, desk.manager.pk}
    assert AuditEntry.objects.filter(what="webhook.disabled", account_ref=desk.account.ref).exists()
    happen(desk.account, "run.halted")
    turn()
    assert len(receiver.got) == 1


def test_the_message_that_was_answered_410_is_sent_after_a_resume(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(410, {}, b"")]
    wanted, other = happen(desk.account, "run.halted", "run.halted")
    turn()
    assert (state_of(wanted).state, receiver.ids) == ("pending", [wanted])
    services.resume(Endpoint.objects.get(), actor=desk.admin)
    turn()
    assert receiver.ids == [wanted, wanted, other], "in its order, nothing is lost"
    assert state_of(wanted).state == "delivered"


def test_three_days_without_a_success_switch_it_off_and_a_success_in_between_does_not(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(500, {}, b""), (500, {}, b"")]
    happen(desk.account, "run.halted")
    turn()
    due_now(failing_since=timezone.now() - rules.FAILING_FOR + timedelta(minutes=1))
    turn()
    assert Endpoint.objects.get().state == "active"
    due_now(failing_since=timezone.now() - rules.FAILING_FOR)
    receiver.answers = [(204, {}, b"")]
    turn()
    assert (Endpoint.objects.get().state, Endpoint.objects.get().failing_since) == ("active", None)
    receiver.answers = [(500, {}, b"")]
    happen(desk.account, "run.halted")
    turn()
    due_now(failing_since=timezone.now() - rules.FAILING_FOR)
    receiver.answers = [(500, {}, b"")]
    turn()
    assert Endpoint.objects.get().state == "disabled"
    assert "3 days" in Endpoint.objects.get().state_says


def test_a_message_is_given_up_after_its_last_try_and_can_be_sent_by_hand(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(500, {}, b"")] * 10
    (wanted,) = happen(desk.account, "run.halted")
    for _ in range(len(rules.DELAYS_S)):
        turn()
        due_now(failing_since=timezone.now())
    given_up = state_of(wanted)
    assert (given_up.state, given_up.tries) == ("failed", 10)
    services.send_again(given_up, actor=desk.admin)
    turn()
    assert state_of(wanted).state == "delivered"
    assert set(receiver.ids) == {wanted}
    assert len(receiver.ids) == 11


def test_a_resend_by_hand_that_fails_is_one_try_and_no_more(desk, receiver):
    desk.endpoint(types=["run.halted"])
    (wanted,) = happen(desk.account, "run.halted")
    turn()
    receiver.answers = [(500, {}, b"")]
    services.send_again(state_of(wanted), actor=desk.admin)
    turn()
    assert state_of(wanted).state == "failed"
    due_now()
    turn()
    assert len(receiver.got) == 2


def test_once_a_receiver_is_back_what_waits_need_not_wait_for_hours(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(500, {}, b"")]
    (waits,) = happen(desk.account, "run.halted")
    turn()
    Delivery.objects.update(due_at=timezone.now() + timedelta(hours=10))
    Endpoint.objects.update(not_before=None)
    (fresh,) = happen(desk.account, "run.halted")
    turn()
    assert receiver.ids == [waits, fresh, waits]


def test_while_it_is_paused_nothing_is_sent_and_then_everything(desk, receiver):
    endpoint = desk.endpoint(types=["run.halted"])
    services.pause(endpoint, actor=desk.admin)
    wanted = happen(desk.account, "run.halted", "run.halted")
    turn()
    assert receiver.got == []
    services.resume(endpoint, actor=desk.admin)
    turn()
    assert receiver.ids == wanted


def test_a_test_message_goes_out_while_it_is_paused_and_is_tried_once(desk, receiver):
    endpoint = desk.endpoint(types=["run.halted"])
    services.pause(endpoint, actor=desk.admin)
    receiver.answers = [(500, {}, b"no")]
    test = services.send_test(endpoint, actor=desk.admin)
    happen(desk.account, "run.halted")
    turn()
    assert receiver.ids == [test.message_id]
    assert (
        Webhook(endpoint.secret)
        .verify(receiver.got[0][1], receiver.got[0][0])["type"]
        .startswith("steadystate.webhook.test")
    )
    assert state_of(test.message_id).state == "failed"


def test_two_secrets_sign_while_one_rotates_and_the_old_one_is_destroyed_in_time(desk, receiver):
    endpoint = desk.endpoint(types=["run.halted"])
    old = endpoint.secret
    _, new = services.rotate_secret(endpoint, actor=desk.admin, keep_old_hours=1)
    happen(desk.account, "run.halted")
    turn()
    headers, body = receiver.got[0]
    assert Webhook(old).verify(body, headers)
    assert Webhook(new).verify(body, headers)
    Endpoint.objects.update(old_secret_until=timezone.now() - timedelta(seconds=1))
    happen(desk.account, "run.halted")
    turn()
    headers, body = receiver.got[1]
    assert headers["webhook-signature"].count("v1,") == 1, "not a moment longer, whether or not it was tidied"
    tasks.tidy()
    assert Endpoint.objects.get().old_secret is None


def test_redirects_and_private_addresses_are_failures_with_a_sentence(desk, receiver, settings):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    (wanted,) = happen(desk.account, "run.halted")
    turn()
    assert "redirect" in state_of(wanted).attempts.get().says
    assert len(receiver.got) == 1
    settings.EGRESS_ALLOW = []
    due_now()
    turn()
    assert "own machine" in state_of(wanted).attempts.order_by("-pk").first().says
    assert len(receiver.got) == 1


def test_an_answer_without_end_is_cut_and_kept_as_harmless_text(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(500, {}, b"\x00\x1b[31mno" + b"x" * 9000)]
    (wanted,) = happen(desk.account, "run.halted")
    turn()
    kept = state_of(wanted).attempts.get().answer
    assert len(kept) == 1000
    assert "\x00" not in kept
    assert "\x1b" not in kept


def test_an_address_over_which_the_portal_breaks_holds_up_no_other(desk, receiver, monkeypatch):
    exchange = egress.exchange

    async def breaks(url, **options):
        if "broken" in url:
            raise RuntimeError("whatever it is")
        return await exchange(url, **options)

    monkeypatch.setattr(egress, "exchange", breaks)
    broken = desk.endpoint(url=receiver.url + "/broken", types=["run.halted"])
    good = desk.endpoint(types=["run.halted"])
    happen(desk.account, "run.halted")
    turn()
    states = {row.endpoint_id: (row.state, row.tries) for row in Delivery.objects.all()}
    assert states == {broken.pk: ("pending", 1), good.pk: ("delivered", 1)}


def test_a_slow_receiver_holds_up_no_other(desk, receiver, settings, monkeypatch):
    monkeypatch.setattr(sending, "DEADLINE_S", 0.6)
    other = Receiver()
    settings.EGRESS_ALLOW = [*settings.EGRESS_ALLOW, other.place]
    try:
        desk.endpoint(types=["run.halted"])
        desk.endpoint(url=other.url, types=["run.halted"])
        receiver.answers = [("slow", {}, b"")]
        wanted = happen(desk.account, *["run.halted"] * 5)
        turn()
        assert other.ids == wanted
        slow = Delivery.objects.get(endpoint__url__isnull=False, endpoint=Endpoint.objects.first(), tries=1)
        assert "0.6 s" in slow.attempts.get().says
    finally:
        other.close()


def test_two_workers_never_have_the_same_endpoint_and_a_dead_ones_lease_runs_out(desk, receiver):
    endpoint = desk.endpoint(types=["run.halted"])
    (wanted,) = happen(desk.account, "run.halted")
    queueing.queue_due()
    mine, theirs = uuid.uuid4(), uuid.uuid4()
    assert sending.claim_one(mine, skip=set()).pk == endpoint.pk
    assert sending.claim_one(theirs, skip=set()) is None
    assert not queueing.is_anything_due()
    # The first one dies here, after it posted and before it wrote that down.
    Endpoint.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert queueing.is_anything_due()
    assert sending.send_due().delivered == 1
    assert receiver.ids == [wanted]
    assert sending.next_of(endpoint, mine) is None, "whoever lost the lease sends nothing more"


def test_a_worker_that_dies_while_queueing_loses_nothing(desk, receiver, monkeypatch):
    desk.endpoint(types=["run.halted"])
    wanted = happen(desk.account, "run.halted", "run.halted")
    made = Delivery.objects.bulk_create

    def die(rows, **options):
        made(rows, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Delivery.objects, "bulk_create", die)
    with pytest.raises(KeyboardInterrupt):
        queueing.queue_due()
    assert Delivery.objects.count() == 0
    monkeypatch.undo()
    turn()
    assert receiver.ids == wanted


def test_an_event_that_is_queued_twice_is_one_message(desk, receiver):
    desk.endpoint(types=["run.halted"])
    happen(desk.account, "run.halted")
    queueing.queue_due()
    Endpoint.objects.update(cursor=0)
    turn()
    assert len(receiver.got) == 1


def test_a_receiver_that_is_away_does_not_fill_the_table(desk, receiver, monkeypatch):
    monkeypatch.setattr(queueing, "MOST_WAITING", 2)
    desk.endpoint(types=["run.halted"])
    wanted = happen(desk.account, *["run.halted"] * 5)
    queueing.queue_due()
    queueing.queue_due()
    assert Delivery.objects.count() == 2
    for _ in range(3):
        turn()
    assert receiver.ids == wanted


def test_workers_do_not_spin_while_a_full_queue_waits(desk, receiver, monkeypatch):
    monkeypatch.setattr(queueing, "MOST_WAITING", 1)
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(500, {}, b"")]
    happen(desk.account, "run.halted", "run.halted")
    asked = []
    monkeypatch.setattr(tasks, "send_wake_up", lambda: asked.append(1))
    for _ in range(4):
        tasks.send()
    assert asked, "as long as it gets on, the next turn is asked for"
    assert len(receiver.got) == 1
    asked.clear()
    tasks.send()
    assert asked == [], "nothing can be done until the next try"
    due_now()
    for _ in range(3):
        tasks.send()
    assert len(receiver.got) == 3, "the try again, and then the event that had no room"


def test_what_the_outbox_no_longer_keeps_is_said(desk, receiver):
    from portal.events.models import OutboxHead

    desk.endpoint(types=["run.halted"])
    happen(desk.account, "run.halted")
    OutboxHead.objects.update(forgotten=OutboxHead.objects.get().position - 1)
    Endpoint.objects.update(cursor=0)
    turn()
    assert Endpoint.objects.get().missed_until is not None


def test_old_messages_are_forgotten_and_those_that_wait_are_not(desk, receiver):
    desk.endpoint(types=["run.halted"])
    receiver.answers = [(204, {}, b""), (500, {}, b"")]
    done, waits = happen(desk.account, "run.halted", "run.halted")
    turn()
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    tasks.tidy()
    assert list(Delivery.objects.values_list("message_id", flat=True)) == [waits]
    assert done in receiver.ids


def test_secrets_and_address_are_encrypted_and_neither_is_on_record(desk, receiver):
    endpoint, secret = services.add_endpoint(
        desk.account, actor=desk.admin, url=receiver.url + "?key=of-the-receiver"
    )
    services.rotate_secret(endpoint, actor=desk.admin)
    services.change_endpoint(endpoint, {"url": receiver.url + "?key=another"}, actor=desk.admin)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(e)::text FROM webhooks_endpoint e")
        stored = cursor.fetchone()[0]
    kept = stored + json.dumps(list(AuditEntry.objects.values("before", "after", "subject_label", "reason")))
    kept += json.dumps(list(Event.objects.values_list("data", flat=True)))
    assert secret.removeprefix("whsec_") not in kept
    assert "of-the-receiver" not in kept
    assert "another" not in kept
    assert AuditEntry.objects.filter(what="webhook.secret_rotated").exists()


def test_what_is_secret_is_rotated_with_every_other_stored_secret():
    mine = {field for model, field in encrypted_columns() if model is Endpoint}
    assert mine == {"url", "secret", "old_secret"}


def test_an_archived_account_is_not_changed_and_an_erased_one_has_no_endpoint(desk, receiver):
    endpoint = desk.endpoint()
    lead = make.launch_manager(desk.account.team, "Lena", role="lead")
    archive_account(desk.account, actor=lead, reason="gone")
    for change in (
        lambda: services.add_endpoint(desk.account, actor=desk.admin, url=receiver.url),
        lambda: services.pause(endpoint, actor=desk.admin),
        lambda: services.rotate_secret(endpoint, actor=desk.admin),
        lambda: services.send_test(endpoint, actor=desk.admin),
    ):
        with pytest.raises(Refused, match="archived"):
            change()
    erase_account(desk.account, typed_name=desk.account.name, actor=None, reason="asked for")
    assert not Endpoint.objects.exists()
    turn()
    assert receiver.got == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://hooks.shop.example/in", "https"),
        ("https://10.0.0.7/in", "private"),
        ("https://169.254.169.254/latest", "metadata"),
        ("https://localhost/in", "own machine"),
        ("https://user:word@hooks.shop.example/in", "user name"),
        ("ftp://hooks.shop.example/in", "http"),
        ("https://hooks.shop.example/in#part", "#"),
        ("nonsense", "web address|begin with"),
    ],
)
def test_addresses_that_are_not_asked_are_refused_when_they_are_typed(desk, url, says):
    with pytest.raises(Refused, match=says):
        services.add_endpoint(desk.account, actor=desk.admin, url=url)


def test_there_is_an_end_to_how_many_an_account_has(desk, receiver, monkeypatch):
    monkeypatch.setattr(services, "MOST_ENDPOINTS", 1)
    desk.endpoint()
    with pytest.raises(Refused, match="at most 1"):
        desk.endpoint()
