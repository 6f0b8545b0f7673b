"""What reaches beyond one account: who stops a whole team, whose record says so, and who reads why."""

from __future__ import annotations

import uuid
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from portal import alarms
from portal.audit.models import AuditEntry
from portal.errors import NotPermitted, Refused
from portal.notify import sending
from portal.notify.models import Message
from portal.runs import registry
from portal.runs import services as runs
from portal.runs.models import JournalEntry, Run, Standstill
from portal.runs.selectors import entry_as_data
from scaledown import standstills
from scaledown.support import gather_run
from tests import factories as make
from tests.runs.desks import PgDesk

pytestmark = pytest.mark.django_db(transaction=True)
WHY = "Harbor does not pay its bills"
OVER = "Harbor has paid"


@pytest.fixture
def two():
    class Two:
        team = make.team("Blue")
        lead = make.launch_manager(team, "Lena", role="lead")
        manager = make.launch_manager(team)
        harbor, lindgren = make.account("Harbor", of=team), make.account("Lindgren", of=team)
        mine, others = make.member(harbor, "admin", "Ada"), make.member(lindgren, "approver", "Maja")

        def put(self, secret, account=None, **body):
            return Client().post(
                f"/api/v1/accounts/{(account or self.harbor).ref}/standstills",
                {"reason": WHY, **body},
                content_type="application/json",
                HTTP_IDEMPOTENCY_KEY=uuid.uuid4().hex,
                **make.bearer(secret),
            )

        def lift(self, row, secret):
            return Client().post(
                f"/api/v1/standstills/{row.ref}/lift",
                {"reason": OVER},
                content_type="application/json",
                HTTP_IDEMPOTENCY_KEY=uuid.uuid4().hex,
                **make.bearer(secret),
            )

        def entries(self, what, account):
            return list(AuditEntry.objects.filter(what=what, account_ref=account and account.ref))

    return Two()


def test_an_accounts_token_stops_that_account_and_never_its_team(two):
    secret = make.service_token(
        two.harbor, two.manager, role="launch_manager", scopes=["standstills:write", "scaledown:run"]
    )
    assert two.put(secret, scope="team").status_code == 403
    assert not Standstill.objects.exists()
    assert two.put(secret, scope="account").status_code == 201
    assert two.put(make.token(two.manager), scope="team").status_code == 201


def test_a_stop_is_lifted_only_where_it_reaches(two):
    foreign = make.account("Elsewhere")
    own = standstills.put_standstill("account", account=two.lindgren, actor=two.others, reason="x")
    everywhere = runs.put_standstill("all", reason="x", actor=two.lead)
    theirs = runs.put_standstill(f"team:{foreign.team.ref}", reason="x", actor=two.lead)
    for row in (own, everywhere, theirs):
        with pytest.raises((NotPermitted, Refused)):
            standstills.lift_standstill(row, account=two.harbor, actor=two.lead, reason="y")
    assert not Standstill.objects.filter(lifted_at__isnull=False).exists()


def test_every_account_that_a_stop_touches_has_it_on_record(two):
    secret = make.token(two.lead)
    ref = two.put(secret, scope="team").json()["ref"]
    assert two.lift(Standstill.objects.get(ref=ref), secret).status_code == 200
    make.user("Op", email="op@example.com", is_operator=True)
    for act in ("put", "lift"):
        call_command("standstill", act, "--by", "op@example.com", "--reason", WHY, stdout=StringIO())
    for what in ("standstill.put", "standstill.lifted"):
        for account in (two.harbor, two.lindgren):
            found = two.entries(what, account)
            assert len(found) == 2, (what, account)
            assert WHY not in str([vars(entry) for entry in found])
            assert OVER not in str([vars(entry) for entry in found])
        # The words that were typed are on the record that belongs to no customer.
        assert len(two.entries(what, None)) == 2


def test_customers_read_that_the_team_stopped_and_never_why(two):
    desk = PgDesk()
    try:
        run = Run.objects.get(ref=desk.create(scopes=[f"team:{desk.account.team.ref}"]))
        account = desk.account
        customer, lead = make.member(account, "admin", "Cora"), make.launch_manager(account.team, role="lead")
        page, mine = Client(), Client()
        page.force_login(customer)
        mine.force_login(lead)
        path = f"/accounts/{account.ref}/standstill/"
        token = make.token(customer)
        put = standstills.put_standstill("team", account=account, actor=lead, reason=WHY)

        def read_by_the_customer():
            listed = Client().get(f"/api/v1/accounts/{account.ref}/standstills", **make.bearer(token))
            journal = [entry_as_data(row, for_customer=True) for row in JournalEntry.objects.filter(run=run)]
            told = [sending.render(row).text for row in Message.objects.filter(user=customer)]
            assert told
            return " ".join(
                [
                    page.get(path).text,
                    listed.text,
                    str(journal),
                    str(alarms.standstills_for(customer)),
                    str(told),
                    str(list(gather_run(account, str(run.ref)))),
                ]
            )

        assert "launch team" in page.get(path).text
        assert WHY not in read_by_the_customer()
        assert WHY in mine.get(path).text
        assert [one.reason for one in alarms.standstills_for(lead)] == [WHY]
        # What the engine is told ends in answers to commands, which both sides read.
        told = desk.store.claim(str(run.ref), holder="w", lease_s=30.0).standstill
        assert "launch team" in told
        assert WHY not in told
        standstills.lift_standstill(put, account=account, actor=lead, reason=OVER)
        seen = read_by_the_customer()
        assert WHY not in seen
        assert OVER not in seen
        assert OVER in mine.get(path).text
    finally:
        registry.forget_kind("toy")
