"""Text messages and calls through the operator's gateway: signed both ways, asked once, told how it went."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from contextlib import contextmanager

import pytest
from django.test import Client
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from accounts.contacts.models import ChannelProof, ProvenKind
from accounts.reach import gateway, services
from accounts.reach.models import Reach, ReachState, ReachTry
from portal.checks import reach_gateway_trouble
from portal.webhooks.signing import new_secret
from tests import factories as make
from tests.reach.test_reaching import pass_time, start

pytestmark = pytest.mark.django_db
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@contextmanager
def receiver(*statuses):
    """A gateway on loopback that answers with these statuses, the last one for ever; yields what it was sent."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers.items()), body))
            status = statuses[min(len(got), len(statuses)) - 1]
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ask", got
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def reached(settings):
    def begin(url, **contact):
        settings.REACH_GATEWAY_URL, settings.REACH_GATEWAY_SECRET = url, SECRET
        account = make.account("Lindgren Outdoor")
        made = {
            "name": "Maja Lindgren",
            "email": "",
            "phone": "+46701234561",
            "roles": ["emergency"],
            **contact,
        }
        make.contact(account, **made)
        return start(account, make.launch_manager(account.team))

    return begin


def the_try(reach):
    return ReachTry.objects.get(step__reach=reach)


def answer(reach, outcome="acknowledged", *, secret=SECRET, **changed):
    body = json.dumps(
        {"type": "reach.answer", "data": {"id": str(the_try(reach).ref), "outcome": outcome}, **changed}
    )
    now = timezone.now()
    signature = Webhook(secret).sign("msg_1", now, body)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    return Client().post("/hooks/reach/", body, "application/json", headers=headers)


def test_the_gateway_is_asked_once_signed_with_what_to_say(reached):
    with receiver(204) as (url, got):
        reach = reached(url)
        assert gateway.send_due(timezone.now()) == 1
        assert gateway.send_due(timezone.now()) == 0
    ((headers, body),) = got
    said = Webhook(SECRET).verify(body, headers)
    one = the_try(reach)
    assert headers["webhook-id"] == str(one.ref) == said["data"]["id"]
    assert (said["data"]["way"], said["data"]["to"]) == ("voice", "+46701234561")
    assert said["data"]["text"] == "[TEST] Lindgren Outdoor: Please press the button."
    assert said["data"]["answer_url"].endswith(f"/reach/{services.answer_token(one, ProvenKind.PHONE)}/")
    assert one.gateway == "sent"


def test_whoever_prefers_text_messages_gets_one(reached):
    with receiver(200) as (url, got):
        reached(url, preferred_channel="sms")
        gateway.send_due(timezone.now())
    assert json.loads(got[0][1])["data"]["way"] == "sms"


def test_a_busy_gateway_is_asked_again_under_the_same_id(reached):
    with receiver(503, 202) as (url, got):
        reach = reached(url)
        gateway.send_due(timezone.now())
        assert the_try(reach).gateway == "queued"
        ReachTry.objects.update(gateway_due_at=timezone.now())
        assert gateway.send_due(timezone.now()) == 1
    assert len({headers["webhook-id"] for headers, _ in got}) == 1
    assert len(got) == 2


def test_a_worker_that_died_while_posting_leaves_it_to_be_posted_again(reached):
    with receiver(200) as (url, got):
        reach = reached(url)
        # As a worker leaves it that died between the claim and the end.
        ReachTry.objects.update(gateway="sending", gateway_posts=1, gateway_due_at=timezone.now())
        assert gateway.send_due(timezone.now()) == 1
    assert the_try(reach).gateway == "sent"
    assert len(got) == 1


def test_a_gateway_that_is_away_for_good_may_not_have_been_reached_and_the_call_sheet_says_so(reached):
    reach = reached("http://127.0.0.1:9/ask")
    for _ in range(gateway.MOST_POSTS + 1):
        ReachTry.objects.update(gateway_due_at=timezone.now())
        gateway.send_due(timezone.now())
    one = the_try(reach)
    assert (one.gateway, one.get_gateway_display()) == ("unknown", "may not have been sent")
    assert one.outcome == "waiting"


def test_a_gateway_that_refuses_is_not_asked_again(reached):
    with receiver(422) as (url, got):
        reach = reached(url)
        gateway.send_due(timezone.now())
        gateway.send_due(timezone.now())
    assert (the_try(reach).gateway, len(got)) == ("failed", 1)
    assert the_try(reach).gateway_says == "The gateway answered 422."


def test_a_pressed_key_answers_and_proves_the_number(reached):
    reach = reached("http://127.0.0.1:9/ask")
    pass_time(reach, seconds=30)
    assert answer(reach).status_code == 204
    assert Reach.objects.get(pk=reach.pk).state == ReachState.ANSWERED
    assert ChannelProof.objects.get().kind == "phone"
    assert answer(reach).status_code == 204


def test_a_number_that_is_wrong_ends_the_list_early(reached):
    reach = reached("http://127.0.0.1:9/ask")
    assert answer(reach, "wrong_number").status_code == 204
    assert Reach.objects.get(pk=reach.pk).state == ReachState.NOBODY


def test_what_the_gateway_did_not_sign_changes_nothing(reached):
    reach = reached("http://127.0.0.1:9/ask")
    pass_time(reach, seconds=30)
    assert answer(reach, secret=new_secret()).status_code == 401
    assert Client().post("/hooks/reach/", "{}", "application/json").status_code == 401
    for length in ("9" * 5000, "many", "-1"):
        found = Client().post("/hooks/reach/", "{}", "application/json", CONTENT_LENGTH=length)
        assert found.status_code == 413, length
    assert answer(reach, "nonsense").status_code == 400
    assert answer(reach, type="other").status_code == 400
    assert Reach.objects.get(pk=reach.pk).state == ReachState.RUNNING


def test_without_a_gateway_the_hook_lets_nobody_in(settings):
    settings.REACH_GATEWAY_URL = settings.REACH_GATEWAY_SECRET = ""
    assert Client().post("/hooks/reach/", "{}", "application/json").status_code == 401


def test_a_try_that_is_over_is_not_posted_any_more(reached):
    with receiver(200) as (url, got):
        reach = reached(url)
        services.stop_reach(reach, actor=make.user())
        assert gateway.send_due(timezone.now()) == 0
    assert got == []


@pytest.mark.parametrize(
    ("url", "secret", "numbers"),
    [
        ("", "", []),
        ("https://gateway.example/ask", SECRET, []),
        ("gateway.example", SECRET, [45]),
        ("https://gateway.example/ask", "short", [46]),
    ],
)
def test_a_gateway_that_is_half_configured_is_said_at_the_start(settings, url, secret, numbers):
    settings.REACH_GATEWAY_URL, settings.REACH_GATEWAY_SECRET = url, secret
    assert [number for number, _ in reach_gateway_trouble()] == numbers


def test_what_the_gateway_posts_twice_under_one_id_is_recorded_once(reached):
    reach = reached("")
    assert answer(reach, "no_answer").status_code == 204
    assert answer(reach, "no_answer").status_code == 204
    assert [said.outcome for said in the_try(reach).told] == ["no_answer"]
