"""Sending to a real mail server, in its own process, that fails at each step; and workers killed at each step."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from django.utils import timezone

from portal.notify import sending
from portal.notify.models import MailState, Message
from portal.notify.sending import Turn, settle_dead_claims
from portal.notify.services import tell
from portal.notify.transport import Smtp, server_of
from tests import factories as make

ROOT = Path(__file__).resolve().parents[2]
WHAT = {"who": "Maja", "what": "A plan", "says": ".\n.. with dots\nÜber 3 Server", "url": "/accounts/"}
BEFORE = ["ehlo", "mail", "rcpt", "data"]


class MailServer:
    def __init__(self, directory):
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None
        self.behave("ok")

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.notify.smtp_server", str(self.port), str(self.directory)], cwd=ROOT
        )
        until(lambda: (self.directory / "ready").exists(), "the mail server did not start")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            (self.directory / "ready").unlink(missing_ok=True)
            self.process = None

    def behave(self, mode):
        (self.directory / "mode").write_text(mode)
        (self.directory / "reached").write_text("")

    def reached(self):
        return (self.directory / "reached").read_text().split()

    def mails(self):
        return [
            message_from_bytes(path.read_bytes(), policy=policy.default)
            for path in sorted(self.directory.glob("*.eml"))
        ]

    @property
    def transport(self):
        return Smtp(server_of(f"smtp://127.0.0.1:{self.port}"), may_be_plain=True)

    def send(self):
        """One try of one mail, as a turn makes it."""
        settle_dead_claims()
        mail = sending.claim_one()
        return Turn() if mail is None else Turn(**{sending.send_one(mail, self.transport): 1})


def until(holds, complaint, timeout_s=30):
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, complaint
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path):
    made = MailServer(tmp_path)
    made.start()
    yield made
    made.stop()


def told(kind="notice", **more):
    values = {"address": "maja@lindgren.example", "subject_ref": "plan:1", "context": WHAT, **more}
    row = tell(f"test_{kind}", **values)
    Message.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(seconds=1), urgency="now")
    row.refresh_from_db()
    return row


def due_now():
    Message.objects.update(due_at=timezone.now() - timedelta(seconds=1))


@pytest.mark.django_db
class TestOneTry:
    def test_a_mail_arrives_as_text_and_html_with_its_headers(self, server):
        row, other = told(), told(subject_ref="plan:2")
        same = told(period="2")
        for _ in range(3):
            assert server.send().sent == 1
        mails = {mail["Message-ID"].strip("<>"): mail for mail in server.mails()}
        mail = mails[row.message_id]
        assert mail["Auto-Submitted"] == "auto-generated"
        assert "notices" in mail["List-Id"]
        assert mail["References"] == mails[same.message_id]["References"]
        assert mail["References"] != mails[other.message_id]["References"]
        assert mail.get_content_type() == "multipart/alternative"
        text = mail.get_body(("plain",)).get_content()
        assert ". .. with dots Über 3 Server" in text.replace("\r\n", "\n")
        assert "Über 3 Server" in mail.get_body(("html",)).get_content()
        assert "<img" not in mail.get_body(("html",)).get_content()

    def test_no_text_of_a_person_becomes_a_header(self, server):
        what = {**WHAT, "who": "Maja\r\nBcc: all@elsewhere.example", "name": "M\r\nX-Evil: 1"}
        told(context=what)
        assert server.send().sent == 1
        (mail,) = server.mails()
        assert mail["Bcc"] is None
        assert mail["X-Evil"] is None
        assert "Bcc: all@elsewhere.example" in mail["Subject"]

    @pytest.mark.parametrize(
        ("step", "what"),
        # After a refused EHLO the older HELO is tried, as it should be.
        [(step, what) for step in BEFORE for what in ("421", "drop") if (step, what) != ("ehlo", "421")],
    )
    def test_what_surely_was_not_sent_is_tried_again(self, server, step, what):
        row = told("reminder")
        server.behave(f"{step}:{what}")
        assert server.send().queued == 1
        row.refresh_from_db()
        assert row.due_at > timezone.now()
        assert row.says
        server.behave("ok")
        due_now()
        assert server.send().sent == 1
        assert [mail["Message-ID"] for mail in server.mails()] == [f"<{row.message_id}>"]

    def test_a_server_that_is_not_there_is_asked_again_and_again_ever_later(self, server):
        row = told()
        server.stop()
        waits = []
        for _ in range(4):
            due_now()
            assert server.send().queued == 1
            row.refresh_from_db()
            waits.append(round((row.due_at - timezone.now()).total_seconds()))
        assert waits == sorted(waits)
        assert waits[-1] >= 7 * waits[0]
        server.start()
        due_now()
        assert server.send().sent == 1

    def test_an_international_domain_is_written_as_mail_servers_take_it(self, server):
        row = told(address="maja@bücher.example")
        assert server.send().sent == 1
        (mail,) = server.mails()
        assert mail["To"].addresses[0].addr_spec == "maja@xn--bcher-kva.example"
        row.refresh_from_db()
        assert row.mail_state == "sent"

    @pytest.mark.parametrize(
        "address", ["mäja@lindgren.example", "maja@xn--ü.example", "maja@\u2024.example"]
    )
    def test_an_address_that_no_server_takes_is_said_to_be_none(self, address):
        with pytest.raises(ValueError):
            sending.on_the_wire(address)

    @pytest.mark.parametrize("handed", [False, True])
    def test_a_mail_over_which_the_portal_breaks_holds_up_no_other(self, server, handed):
        class Breaks:
            def send(self, mail, *, to, handing_over, **rest):
                if to.startswith("poison"):
                    if handed:
                        handing_over()
                    raise RuntimeError("whatever it is")
                server.transport.send(mail, to=to, handing_over=handing_over, **rest)

        poison, other = told(address="poison@lindgren.example"), told("reminder", subject_ref="plan:2")
        turn = sending.send_due(transport=Breaks())
        assert turn.sent == 1
        poison.refresh_from_db()
        other.refresh_from_db()
        assert (other.mail_state, poison.mail_state) == ("sent", "unknown" if handed else "queued")
        assert poison.due_at > timezone.now() or handed
        assert "portal broke" in poison.says

    def test_a_busy_answer_after_the_text_is_a_no_and_tried_again(self, server):
        told("reminder")
        server.behave("end:450")
        assert server.send().queued == 1

    @pytest.mark.parametrize("step", ["rcpt", "data", "end"])
    def test_a_final_refusal_is_not_repeated_and_the_launch_managers_are_told(self, server, step):
        account = make.account("Lindgren")
        manager = make.launch_manager(account.team)
        row = told(account=account)
        server.behave(f"{step}:550")
        assert server.send().failed == 1
        row.refresh_from_db()
        assert (row.mail_state, row.due_at is not None) == ("failed", True)
        returned = Message.objects.get(purpose="mail_returned")
        assert returned.user == manager
        assert "could not be delivered" in returned.title
        due_now()
        assert Message.objects.filter(mail_state="queued").get() == returned

    def test_what_cannot_be_sent_for_two_days_is_given_up(self, server):
        row = told()
        server.stop()
        Message.objects.update(created_at=timezone.now() - timedelta(days=2, minutes=1))
        assert server.send().failed == 1
        row.refresh_from_db()
        assert "two days" in row.says

    @pytest.mark.parametrize("what", ["hang", "drop"])
    def test_a_reminder_whose_answer_was_lost_is_left_and_shown_so(self, server, settings, what):
        settings.MAIL_DEADLINE_S = 1.0
        row = told("reminder")
        server.behave(f"end:{what}")
        assert server.send().unknown == 1
        row.refresh_from_db()
        assert row.get_mail_state_display() == "may not have been sent"
        server.behave("ok")
        due_now()
        assert server.send().sent == 0
        assert len(server.mails()) == 1

    @pytest.mark.parametrize("kind", ["halt", "emergency", "personal"])
    def test_a_halt_whose_answer_was_lost_is_sent_again_under_the_same_id(self, server, kind):
        row = told(kind)
        server.behave("end:drop")
        assert server.send().queued == 1
        server.behave("ok")
        due_now()
        assert server.send().sent == 1
        first, second = server.mails()
        assert first["Message-ID"] == second["Message-ID"] == f"<{row.message_id}>"
        assert first.as_bytes() == second.as_bytes()

    def test_a_server_that_answers_never_holds_nobody_longer_than_the_deadline(self, server, settings):
        settings.MAIL_DEADLINE_S = 1.0
        told()
        server.behave("rcpt:hang")
        begun = time.monotonic()
        assert server.send().queued == 1
        assert time.monotonic() - begun < 10

    def test_a_worker_that_wakes_after_its_lease_sends_nothing(self, server):
        told("emergency")
        frozen = sending.claim_one(lease_s=0.01)
        time.sleep(0.05)
        settle_dead_claims()
        other = sending.claim_one()
        assert other.pk == frozen.pk
        assert sending.send_one(frozen, server.transport) == "queued"
        assert "end" not in server.reached()
        assert sending.send_one(other, server.transport) == "sent"
        assert len(server.mails()) == 1

    def test_a_good_end_that_comes_late_still_counts(self, server):
        row = told("reminder")
        claimed = sending.claim_one()
        sending._note_handing_over(claimed)
        Message.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        settle_dead_claims()
        row.refresh_from_db()
        assert row.mail_state == "unknown"
        sending._end(claimed, MailState.SENT)
        row.refresh_from_db()
        assert row.mail_state == "sent"

    def test_urgent_mails_go_before_ordinary_ones(self, server):
        ordinary = told("notice")
        Message.objects.update(urgency="normal")
        urgent = told("emergency", subject_ref="run:1")
        assert [sending.claim_one().pk, sending.claim_one().pk] == [urgent.pk, ordinary.pk]


class Worker:
    """A process that sends what is due."""

    def __init__(self, server):
        given = urlsplit(os.environ["DATABASE_URL"])
        url = urlunsplit(given._replace(path=f"/{connection.settings_dict['NAME']}"))
        env = {
            **os.environ,
            "DATABASE_URL": url,
            "PYTHONUNBUFFERED": "1",
            "EMAIL_URL": f"smtp://127.0.0.1:{server.port}",
            "EMAIL_PLAIN": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.notify.send_worker"], cwd=ROOT, env=env, stdout=subprocess.PIPE
        )

    def kill(self):
        self.process.kill()
        self.process.wait()

    def wait(self):
        assert self.process.wait(60) == 0
        return self.process.stdout.read().decode()


def lease_is_over():
    Message.objects.filter(mail_state="sending").update(lease_until=timezone.now() - timedelta(seconds=1))


@pytest.mark.process
@pytest.mark.django_db(transaction=True)
class TestKilledWorkers:
    @pytest.mark.parametrize("step", BEFORE[:3])
    @pytest.mark.parametrize("kind", ["reminder", "halt"])
    def test_killed_before_the_text_it_is_sent_by_the_next_one(self, server, monkeypatch, step, kind):
        row = told(kind)
        server.behave(f"{step}:hang")
        worker = Worker(server)
        until(lambda: step in server.reached(), "the worker did not come so far")
        worker.kill()
        lease_is_over()
        server.behave("ok")
        assert server.send().sent == 1
        assert [mail["Message-ID"] for mail in server.mails()] == [f"<{row.message_id}>"]

    @pytest.mark.parametrize("step", ["data", "end"])
    def test_a_reminder_killed_in_the_text_is_not_repeated_and_says_so(self, server, step):
        row = told("reminder")
        server.behave(f"{step}:hang")
        worker = Worker(server)
        until(lambda: step in server.reached(), "the worker did not come so far")
        worker.kill()
        assert server.send().sent == 0  # the lease holds
        lease_is_over()
        server.behave("ok")
        assert server.send().sent == 0
        row.refresh_from_db()
        assert row.get_mail_state_display() == "may not have been sent"
        assert len(server.mails()) == (1 if step == "end" else 0)

    @pytest.mark.parametrize("step", ["data", "end"])
    @pytest.mark.parametrize("kind", ["halt", "emergency"])
    def test_a_halt_killed_in_the_text_is_sent_again_under_the_same_id(self, server, step, kind):
        row = told(kind)
        server.behave(f"{step}:hang")
        worker = Worker(server)
        until(lambda: step in server.reached(), "the worker did not come so far")
        worker.kill()
        lease_is_over()
        server.behave("ok")
        assert server.send().sent == 1
        assert {mail["Message-ID"] for mail in server.mails()} == {f"<{row.message_id}>"}
        assert len(server.mails()) == (2 if step == "end" else 1)

    def test_workers_side_by_side_never_send_one_mail_twice(self, server):
        rows = [told(address=f"p{number}@x.example") for number in range(40)]
        workers = [Worker(server) for _ in range(3)]
        for worker in workers:
            worker.wait()
        assert len(server.mails()) == 40
        assert {mail["Message-ID"] for mail in server.mails()} == {f"<{row.message_id}>" for row in rows}
