"""The services that every test stands on."""

from __future__ import annotations

import os

import psycopg
import pytest
import redis
from django.db import connection


@pytest.mark.django_db
def test_a_test_has_a_database_of_its_own():
    name = connection.settings_dict["NAME"]
    assert name.startswith("test_")
    assert name.endswith(os.environ.get("PYTEST_XDIST_WORKER", "steady"))


def test_a_test_has_a_redis_number_of_its_own():
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw-1")
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    assert client.ping()
    assert client.connection_pool.connection_kwargs["db"] == int(worker.removeprefix("gw")) + 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("rows", [3, 50_000], ids=["deleted", "truncated"])
def test_flush_empties_a_table_whose_trigger_refuses_it(rows):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE append_only_probe (id int)")
        cursor.execute(
            "CREATE FUNCTION refuse_probe() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'append-only'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER keep BEFORE DELETE OR TRUNCATE ON append_only_probe EXECUTE FUNCTION refuse_probe()"
        )
    try:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO append_only_probe SELECT generate_series(1, %s)", [rows])
        for refused in ("TRUNCATE append_only_probe", "DELETE FROM append_only_probe"):
            with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
                cursor.execute(refused)
        from django.core.management.color import no_style

        connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), ["append_only_probe"]))
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM append_only_probe")
            assert cursor.fetchone() == (0,)
            cursor.execute("SHOW session_replication_role")
            assert cursor.fetchone() == ("origin",)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE append_only_probe")
            cursor.execute("DROP FUNCTION refuse_probe")


def test_test_services_do_not_listen_on_the_network():
    with psycopg.connect(os.environ["DATABASE_URL"]) as database:
        assert database.execute("SHOW listen_addresses").fetchone() == ("",)
