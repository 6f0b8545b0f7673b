"""Keyset pages: each row once, forwards and backwards, whatever comes and goes; no cursor but one's own."""

import base64
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
import time_machine
from django.db import connection, transaction
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Contact
from portal.errors import Malformed, Refused
from portal.paging import keyset
from tests import factories as make

pytestmark = pytest.mark.django_db

FIELDS = ("id", "name", "escalation_order", "confirmed_on", "ref", "created_at", "account__name")
ORDERS = tuple(sign + field for field in FIELDS for sign in ("", "-"))
DAYS = st.none() | st.sampled_from([date(2026, 1, 1), date(2026, 5, 1), date(2026, 5, 2)])
MOMENTS = st.sampled_from([datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)])
NAMES = st.text("aAäÄ zß%_'\\é", max_size=3)
ROWS = st.lists(st.tuples(NAMES, st.integers(1, 3), DAYS, MOMENTS), max_size=14)
PURE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@contextmanager
def rolled_back():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def fill(accounts, drawn):
    made = Contact.objects.bulk_create(
        Contact(
            account=accounts[number % 2],
            name=name,
            escalation_order=order,
            confirmed_on=day,
            email="a@b.example",
        )
        for number, (name, order, day, _) in enumerate(drawn)
    )
    for row, (*_, at) in zip(made, drawn, strict=True):
        row.created_at = at
    Contact.objects.bulk_update(made, ["created_at"])
    return made


def rows_seen():
    return Contact.objects.select_related("account")


def expected(order):
    """The same order, said in one query with the nulls placed by hand: last, in both directions."""
    from django.db.models import F

    field, down = order.removeprefix("-"), order.startswith("-")
    first = F(field).desc(nulls_last=True) if down else F(field).asc(nulls_last=True)
    return list(rows_seen().order_by(first, "-pk" if down else "pk").values_list("pk", flat=True))


def walk(order, limit, *, between=lambda step: None):
    """Go to the end and back; returns the pages of both ways."""
    there, back, asked = [], [], {"limit": str(limit)}
    for step in range(200):
        page = keyset(rows_seen(), asked, order=order)
        there.append([row.pk for row in page.rows])
        if page.next_cursor is None:
            break
        between(step)
        asked = {"limit": str(limit), "cursor": page.next_cursor}
    while page.previous_cursor is not None:
        page = keyset(rows_seen(), {"limit": str(limit), "cursor": page.previous_cursor}, order=order)
        back.insert(0, [row.pk for row in page.rows])
        assert len(back) < 200
    return there, back


def flat(pages):
    return [pk for page in pages for pk in page]


@PURE
@given(drawn=ROWS, order=st.sampled_from(ORDERS), limit=st.integers(1, 5))
def test_each_row_comes_once_in_order_forwards_and_backwards(drawn, order, limit):
    with rolled_back():
        fill([make.account("Änne"), make.account("ann")], drawn)
        there, back = walk(order, limit)
        assert flat(there) == expected(order)
        assert all(len(page) == limit for page in there[:-1])
        last = there[-1] if len(there) > 1 else []
        assert flat(back) + last == (expected(order) if len(there) > 1 else [])


@PURE
@given(
    drawn=st.lists(st.tuples(NAMES, st.integers(1, 3), DAYS, MOMENTS), min_size=4, max_size=14),
    order=st.sampled_from(ORDERS),
    limit=st.integers(1, 4),
    data=st.data(),
)
def test_rows_that_come_and_go_between_pages_neither_double_nor_hide_others(drawn, order, limit, data):
    with rolled_back():
        accounts = [make.account("Änne"), make.account("ann")]
        made = fill(accounts, drawn)
        goes = set(data.draw(st.sets(st.sampled_from(range(len(made))), max_size=5)))
        stay = {row.pk for number, row in enumerate(made) if number not in goes}
        leaving = [made[number].pk for number in goes]

        def between(step):
            if leaving:
                Contact.objects.filter(pk=leaving.pop()).delete()
            if step < 3:
                fill(accounts, [data.draw(st.tuples(NAMES, st.integers(1, 3), DAYS, MOMENTS))])

        there, back = walk(order, limit, between=between)
        seen = flat(there)
        assert len(seen) == len(set(seen))
        assert stay <= set(seen)
        assert len(flat(back)) == len(set(flat(back)))
        # The way back sees what is there now, of the pages that were left behind.
        assert stay - set(there[-1]) <= set(flat(back))
        assert [pk for pk in seen if pk in stay] == [pk for pk in expected(order) if pk in stay]


def test_a_page_whose_rows_all_went_away_leads_back():
    account = make.account()
    rows = [make.contact(account, name=f"{number}") for number in range(4)]
    first = keyset(Contact.objects.all(), {"limit": "2"}, order="id")
    Contact.objects.filter(pk__in=[row.pk for row in rows[2:]]).delete()
    empty = keyset(Contact.objects.all(), {"limit": "2", "cursor": first.next_cursor}, order="id")
    assert (empty.rows, empty.next_cursor) == ([], None)
    again = keyset(Contact.objects.all(), {"limit": "2", "cursor": empty.previous_cursor}, order="id")
    assert again.rows == rows[:2]


def asked(viewer, path="/accounts/", **params):
    query = QueryDict(mutable=True)
    query.update(params)
    return SimpleNamespace(GET=query, user=viewer, path=path)


@pytest.fixture
def three():
    account = make.account()
    for number in range(3):
        make.contact(account, name=f"Ada {number}")
    return account


def next_of(request, *, order="name", filters=None):
    return keyset(Contact.objects.all(), request, order=order, filters=filters).next_cursor


def test_a_cursor_is_good_for_its_viewer_address_filters_and_order_only(three):
    ada, ben = make.user("Ada"), make.user("Ben")
    cursor = next_of(asked(ada, limit="1", q="a"), filters={"account": 1})
    good = asked(ada, limit="2", q="a", cursor=cursor)
    assert len(keyset(Contact.objects.all(), good, order="name", filters={"account": 1}).rows) == 2
    for foreign, order, filters in (
        (asked(ben, limit="1", q="a", cursor=cursor), "name", {"account": 1}),
        (asked(ada, "/elsewhere/", q="a", cursor=cursor), "name", {"account": 1}),
        (asked(ada, q="b", cursor=cursor), "name", {"account": 1}),
        (asked(ada, q="a", cursor=cursor), "-name", {"account": 1}),
        (asked(ada, q="a", cursor=cursor), "name", {"account": 2}),
    ):
        with pytest.raises(Malformed, match="of another list"):
            keyset(Contact.objects.all(), foreign, order=order, filters=filters)


@pytest.mark.parametrize(
    "forged", ["x", "gAAAA", "ä", "a" * 5000, "\x00", base64.b64encode(b"{}" * 40).decode()]
)
def test_a_forged_cursor_is_refused_with_a_sentence(three, forged):
    with pytest.raises(Malformed, match="Start from the first page"):
        keyset(Contact.objects.all(), {"cursor": forged}, order="name")


def test_every_changed_character_of_a_cursor_makes_it_a_forged_one(three):
    cursor = next_of({"limit": "1"})
    for place in range(0, len(cursor) - 1, 7):
        other = "A" if cursor[place] != "A" else "B"
        with pytest.raises(Malformed):
            keyset(
                Contact.objects.all(),
                {"cursor": cursor[:place] + other + cursor[place + 1 :]},
                order="name",
            )


def test_a_cursor_ends_after_a_week(three):
    with time_machine.travel("2026-11-01T12:00:00Z", tick=False) as clock:
        cursor = next_of({"limit": "1"})
        clock.shift(timedelta(days=6, hours=23))
        assert keyset(Contact.objects.all(), {"cursor": cursor}, order="name").rows
        clock.shift(timedelta(hours=2))
        with pytest.raises(Malformed, match="older than a week"):
            keyset(Contact.objects.all(), {"cursor": cursor}, order="name")


def test_a_cursor_tells_nothing_of_the_row_it_stands_at(three):
    cursor = next_of({"limit": "1"})
    assert b"Ada" not in base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "٣", "9" * 9, "1.5", " 1"])
def test_a_bad_limit_is_refused(three, limit):
    with pytest.raises(Refused, match="from 1 to 200"):
        keyset(Contact.objects.all(), {"limit": limit}, order="name")


def test_the_api_and_the_pages_answer_400_to_a_forged_cursor(three):
    browser = Client()
    browser.force_login(make.launch_manager(three.team))
    for url in (reverse("api-contacts", args=[three.ref]), reverse("accounts:account-list")):
        answer = browser.get(url, {"cursor": "forged"})
        assert answer.status_code == 400
        assert "Start from the first page" in answer.content.decode()


def test_a_page_takes_one_query_and_at_most_two_where_nulls_are(three):
    for order, most in (("name", 1), ("-id", 1), ("confirmed_on", 2)):
        with CaptureQueriesContext(
            connection,
        ) as seen:
            keyset(Contact.objects.all(), {"limit": "2"}, order=order)
        assert len(seen) <= most
