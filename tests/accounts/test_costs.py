"""What the accounts' pages and changes cost in queries, and that the few ask what the many asked."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts import selectors
from accounts.models import Account, AccountStatus, Contact, User
from portal import zones
from portal.counting import count
from portal.errors import Refused
from portal.rows import check_row
from portal.zones import validate_time_zone
from tests import factories as make

pytestmark = pytest.mark.django_db

TODAY = date(2026, 11, 26)
LONG_AGO = TODAY - timedelta(days=91)


def person(account, roles=(), confirmed_on=TODAY):
    return Contact.objects.create(
        account=account, name="Anna", email="a@b.example", roles=list(roles), confirmed_on=confirmed_on
    )


def test_the_accounts_with_the_most_amiss_come_first_by_one_query(django_assert_num_queries):
    first = make.account("Nobody there")
    manager = make.launch_manager(first.team)
    calm, no_emergency, worse, archived = (
        make.account(name, of=first.team) for name in ("Calm", "No emergency", "Unconfirmed", "Archived")
    )
    Account.objects.filter(pk=archived.pk).update(status=AccountStatus.ARCHIVED)
    make.account("Of another team")
    person(calm, ["emergency"])
    person(no_emergency, ["billing"])
    person(worse, ["emergency"], LONG_AGO)
    person(worse, ["technical"], None)
    with django_assert_num_queries(1):
        found = selectors.worst_first(manager, today=TODAY, limit=25)
    assert [row.name for row in found] == ["Nobody there", "No emergency", "Unconfirmed", "Calm"]
    now = datetime.combine(TODAY, time(12), UTC)
    with django_assert_num_queries(5):  # rules, rotations, contacts, proofs, how fresh
        selectors.with_concerns(found, at=now)
    by_name = {row.name: row.concerns for row in found}
    assert by_name["Nobody there"] == ["There is nobody to call: no contact is listed."]
    assert "There is no emergency contact." in by_name["No emergency"]
    assert by_name["Unconfirmed"][-1] == "2 contacts not confirmed in 90 days."
    assert "There is no emergency contact." not in by_name["Calm"]
    assert len(selectors.worst_first(manager, today=TODAY, limit=2)) == 2


def test_what_is_amiss_is_told_by_indexes_alone():
    account = make.account()
    manager = make.launch_manager(account.team)
    with CaptureQueriesContext(connection) as asked:
        selectors.worst_first(manager, today=TODAY, limit=25)
    (query,) = asked.captured_queries
    with connection.cursor() as cursor:
        # So few rows are read whole; it is asked whether the indexes hold all that is needed.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_indexscan = off")
        # What other tests left behind decides otherwise whether all contacts are hashed once.
        cursor.execute("ANALYZE accounts_account")
        cursor.execute(f"EXPLAIN {query['sql']}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    of_contacts = [line for line in plan.splitlines() if "accounts_contact" in line and "Scan" in line]
    assert len(of_contacts) >= 3, plan
    # Which of two indexes of the same cost counts the unconfirmed is the planner's choice on a table of no size.
    assert sum("Index Only Scan using" in line for line in of_contacts) >= 3, plan
    assert all("Index" in line for line in of_contacts), plan
    assert "contact_emergency" in plan, plan


def test_a_contact_is_added_with_one_question_about_all_its_rules():
    account = make.account()
    browser = Client()
    browser.force_login(make.launch_manager(account.team))
    body = {"name": "New Person", "email": "n@p.example", "phone": "+493012345678", "time_zone": "UTC"}
    url = f"/api/v1/accounts/{account.ref}/contacts"
    browser.post(url, body, content_type="application/json")
    with CaptureQueriesContext(connection) as asked:
        body = {**body, "email": "other@p.example", "name": "Another Person"}
        answer = browser.post(url, body, content_type="application/json")
    assert answer.status_code == 201, answer.content
    said = [one["sql"] for one in asked if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    to_the_contact = next(n for n, sql in enumerate(said) if sql.startswith('INSERT INTO "accounts_contact"'))
    # session, user; the account with one's roles; its lock; the row's rules; who is there already
    assert to_the_contact == 6, said
    # Keys of the person and of the actor, the record, the event.
    assert len(said) - to_the_contact <= 7, said


def test_the_folders_of_the_tz_database_are_read_once(monkeypatch):
    validate_time_zone("Europe/Berlin")
    monkeypatch.setattr(zones, "available_timezones", lambda: pytest.fail("the folders were read again"))
    account = make.account()
    browser = Client()
    browser.force_login(make.launch_manager(account.team))
    body = {"name": "New Person", "phone": "+493012345678", "time_zone": "Europe/Berlin"}
    url = f"/api/v1/accounts/{account.ref}/contacts"
    assert browser.post(url, body, content_type="application/json").status_code == 201
    body["time_zone"] = "Mars/Olympus"
    assert browser.post(url, body, content_type="application/json").status_code == 422


# --- a row's own rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"email": "", "phone": ""}, Contact.rule_says["contact_can_be_reached"]),
        ({"phone": "030 1234"}, Contact.rule_says["contact_phone_e164"]),
        ({"escalation_order": 0}, Contact.rule_says["contact_order_from_1"]),
        ({"purpose": "sales"}, "Something in it is outside of what can be kept"),
        ({"phone": "x", "escalation_order": 0}, Contact.rule_says["contact_phone_e164"]),
        ({"phone": "x", "escalation_order": 0}, Contact.rule_says["contact_order_from_1"]),
    ],
)
def test_each_broken_rule_is_said_in_its_own_words(wrong, says):
    row = Contact(account=make.account(), **{"name": "Anna", "email": "a@b.example", **wrong})
    with pytest.raises(Refused) as refused:
        check_row(row)
    assert says in refused.value.says


def test_all_rules_together_judge_as_each_rule_alone_does():
    account = make.account()
    rows = [
        Contact(
            account=account, name="Anna", email=email, phone=phone, escalation_order=order, purpose=purpose
        )
        for email in ("", "a@b.example")
        for phone in ("", "+493012345678", "+0", "x'y%s\\")
        for order in (0, 1)
        for purpose in ("support", "sales")
    ]
    for row in rows:
        alone = set()
        for constraint in Contact._meta.constraints:
            try:
                constraint.validate(Contact, row)
            except ValidationError:
                alone.add(constraint.name)
        try:
            check_row(row)
            refused = ""
        except Refused as refusal:
            refused = refusal.says
        expected = {Contact.rule_says.get(name, "Something in it") for name in alone}
        assert bool(refused) == bool(alone), (row.__dict__, alone)
        assert all(says in refused for says in expected), (refused, alone)


def test_a_row_of_an_account_that_was_never_kept_is_refused():
    account = make.account()
    Account.objects.filter(pk=account.pk).delete()
    gone = Contact(account_id=account.pk, name="Anna", email="a@b.example")
    with pytest.raises(Refused, match="Account"):
        check_row(gone)


def test_a_number_that_is_taken_is_still_refused_before_the_insert():
    account = make.account()
    with pytest.raises(Refused):
        check_row(Account(team=account.team, name="Twin", number=account.number))
    with pytest.raises(Refused):
        check_row(User(email=make.member(account, "viewer").email, name="Twin", password="x"))


# --- counting -----------------------------------------------------------------------------------------------


def test_counters_count_each_for_itself_and_are_forgotten():
    import redis
    from django.conf import settings

    names = [f"test-{make.account().ref}", f"test-{make.account().ref}-b"]
    assert count(names, keep_s=100) == [1, 1]
    assert count(names[:1], keep_s=100) == [2]
    assert count(names, keep_s=100) == [3, 2]
    left = redis.Redis.from_url(settings.REDIS_URL).ttl(f"count:{names[0]}")
    assert 90 <= left <= 100


def test_an_api_request_asks_redis_once(monkeypatch):
    import redis.client

    account = make.account()
    browser = Client()
    browser.force_login(make.launch_manager(account.team))
    sent = []
    plain, piped = redis.client.Redis.execute_command, redis.client.Pipeline.execute
    monkeypatch.setattr(
        redis.client.Redis,
        "execute_command",
        lambda self, *args, **kw: sent.append(args) or plain(self, *args, **kw),
    )
    monkeypatch.setattr(
        redis.client.Pipeline,
        "execute",
        lambda self, *args, **kw: sent.append("pipe") or piped(self, *args, **kw),
    )
    assert browser.get(f"/api/v1/accounts/{account.ref}").status_code == 200
    assert sent == ["pipe"]


# --- pages --------------------------------------------------------------------------------------------------


def test_a_page_of_several_templates_asks_once_what_every_page_knows():
    account = make.account()
    browser = Client()
    browser.force_login(make.launch_manager(account.team))
    with CaptureQueriesContext(connection) as asked:
        assert browser.get("/").status_code == 200
    assert len([one for one in asked if "'unread'" in one["sql"]]) == 1
