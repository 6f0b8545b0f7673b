"""Queries whose SQL is written once: the same answers as the querysets that they come from, whatever the values."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.db.models import OuterRef, Subquery
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.calendar import selectors as calendar
from accounts.models import Account, CloudConnection, Membership, User
from portal import access
from portal.compiled import Compiled
from portal.prepared import PREPARED_AFTER, preparing
from scaledown import asked
from scaledown.models import ProtectedServer
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_rows_are_those_of_the_queryset_for_every_value():
    accounts = [make.account() for _ in range(3)]
    people = [make.member(accounts[n], role) for n, role in enumerate(("viewer", "editor", "admin"))]
    by_hand = Compiled(
        lambda user, account: Membership.objects.filter(user=user, account=account).values_list(
            "role", "account_id"
        ),
        int,
        int,
    )
    for person in people:
        for account in accounts:
            plain = Membership.objects.filter(user=person, account=account).values_list("role", "account_id")
            assert by_hand.rows(person.pk, account.pk) == list(plain)


def test_what_was_written_in_between_is_seen():
    account = make.account()
    person = make.member(account, "viewer")
    assert access.roles_on(person, account) == {"viewer"}
    Membership.objects.filter(user=person).update(role="admin")
    assert access.roles_on(person, account) == {"admin"}
    Membership.objects.filter(user=person).delete()
    assert access.roles_on(person, account) == frozenset()


def test_roles_of_account_and_team_come_in_one_query():
    account = make.account()
    person = make.launch_manager(account.team)
    Membership.objects.create(user=person, account=account, role="viewer", granted_by=person)
    with CaptureQueriesContext(
        connection,
    ) as asked_of_database:
        assert access.roles_on(person, account) == {"launch_manager", "viewer"}
    assert len(asked_of_database) == 1


def test_instances_come_whole_with_what_is_kept_encrypted():
    connection_row = make.connection(make.account())
    found = Compiled(lambda pk: CloudConnection.objects.filter(pk=pk), int)
    (row,) = found.instances(connection_row.pk)
    assert row == connection_row
    assert row.api_key == connection_row.api_key
    assert list(found.instances(connection_row.pk + 1)) == []


def test_columns_that_django_converts_are_not_given_raw():
    rows = Compiled(lambda pk: CloudConnection.objects.filter(pk=pk).values_list("api_key"), int)
    with pytest.raises(ImproperlyConfigured, match="not what the database has"):
        rows.rows(1)
    whole = Compiled(lambda pk: CloudConnection.objects.filter(pk=pk), int)
    with pytest.raises(ImproperlyConfigured, match="not what the database has"):
        whole.rows(1)


def test_a_query_in_which_a_value_does_not_show_is_refused():
    lost = Compiled(lambda name, other: Account.objects.filter(name=name).values_list("pk"), str, str)
    with pytest.raises(ImproperlyConfigured, match="Not all of its values"):
        lost.rows("a", "b")
    changed = Compiled(lambda name: Account.objects.filter(name=name + "!").values_list("pk"), str)
    with pytest.raises(ImproperlyConfigured, match="Not all of its values"):
        changed.rows("a")


@pytest.mark.parametrize("values", [(None,), ("1",), (uuid.uuid4(),), (), (1, 2)])
def test_values_of_another_type_are_refused_and_none_is(values):
    rows = Compiled(lambda pk: User.objects.filter(pk=pk).values_list("pk"), int)
    with pytest.raises(TypeError):
        rows.rows(*values)


def test_a_value_is_never_read_as_sql():
    account = make.account(name="O'Neill %s \\' ; --")
    by_name = Compiled(lambda name: Account.objects.filter(name=name).values_list("pk"), str)
    assert by_name.rows(account.name) == [(account.pk,)]
    assert by_name.rows("' OR 1=1 --") == []


def test_what_a_tick_asks_is_what_the_querysets_say():
    account = make.account()
    row = make.connection(account)
    other = make.connection(make.account())
    for number, one in enumerate((row, other)):
        ProtectedServer.objects.create(
            account=one.account,
            connection=one,
            server_id=f"srv-{number}",
            server_name="web",
            reason="Runs the cron jobs.",
            marked_by=make.user(),
        )
    for one in (row, other):
        guarded = asked.PROTECTED.rows(one.provider, one.tenant, one.region, one.account_id)
        marks = ProtectedServer.objects.guarding(one).values_list("server_id")
        assert sorted(guarded) == sorted(marks)
        assert guarded
    assert list(asked.ACCOUNT.instances(account.pk)) == [account]
    now = timezone.now()
    assert calendar.freezes_between(account, now, now + timedelta(hours=1)) == []


def test_what_is_worked_out_from_a_value_must_be_a_value_itself():
    """Else it would stay what it came to the first time."""
    since = Compiled(
        lambda at: Account.objects.filter(
            created_at__lte=at, updated_at__gte=at - timedelta(days=1)
        ).values_list("pk"),
        datetime,
    )
    with pytest.raises(ImproperlyConfigured, match="worked out"):
        since.rows(timezone.now())
    named = Compiled(
        lambda name: Account.objects.filter(name=name, number__contains=name).values_list("pk"), str
    )
    with pytest.raises(ImproperlyConfigured, match="worked out"):
        named.rows("Shop")


def test_a_subquery_of_one_column_comes_as_the_database_has_it():
    account = make.account()
    person = make.member(account, "editor")
    roles = Membership.objects.filter(account=OuterRef("pk")).order_by("role").values("role")[:1]
    first = Compiled(
        lambda pk: Account.objects.filter(pk=pk).values_list("name", Subquery(roles)),
        int,
    )
    assert first.rows(account.pk) == [(account.name, "editor")]
    Membership.objects.filter(user=person).delete()
    assert first.rows(account.pk) == [(account.name, None)]


def test_what_is_asked_often_is_planned_once_and_shows_where_queries_are_counted():
    account = make.account()
    found = Compiled(lambda pk: Account.objects.filter(pk=pk).values_list("name"), int)
    with CaptureQueriesContext(connection) as asked_of_database:
        for _ in range(PREPARED_AFTER + 3):
            assert found.rows(account.pk) == [(account.name,)]
    assert {'FROM "accounts_account"' in one["sql"] for one in asked_of_database} == {True}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE %s",
            ['SELECT "accounts_account"."name"%'],
        )
        (times,) = cursor.fetchone()
    assert times == 3


def test_what_else_is_asked_is_bound_by_the_client_as_ever():
    with preparing():
        pass
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s; SELECT %s", [1, 2])  # which no server-side binding allows
        assert cursor.nextset()


@pytest.mark.django_db(transaction=True)
def test_what_was_planned_before_a_column_changed_is_a_lost_connection_and_the_next_one_plans_anew():
    def asked():
        with preparing(), connection.cursor() as cursor:
            cursor.execute("SELECT size FROM changing")
            return cursor.fetchall()

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE changing AS SELECT 3 AS size")
    try:
        assert [asked() for _ in range(PREPARED_AFTER + 2)] == [[(3,)]] * (PREPARED_AFTER + 2)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE changing ALTER size TYPE text")
        with pytest.raises(OperationalError, match="out of date"):
            asked()
        connection.close_if_unusable_or_obsolete()
        assert asked() == [("3",)]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE changing")
