"""PostgreSQL and Valkey for the tests, loaded with `-p tests.plugin` (pyproject.toml).

pytest-django reads the settings before the root conftest, so the services start in a plugin. They start once:
by the process that was called, for all its xdist workers. Each worker has a database (pytest-django gives
it a suffix) and a Redis number of its own. The person's DATABASE_URL and REDIS_URL are never touched:
TEST_DATABASE_URL and TEST_REDIS_URL name servers to use instead of the embedded ones.
`--no-services` starts nothing, for tests that ask nothing of them.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

WORKER = "PYTEST_XDIST_WORKER"
_held: Any = None

# Fixed and worthless: with real keys a test that prints one would leak it.
_ENV = {
    "SECRET_KEY": "tests-only-secret-key-tests-only-secret-key-tests-only",
    "FIELD_KEYS": "dGVzdHMtb25seS1maWVsZC1rZXktMzItYnl0ZXMtLi4=",
    "AUDIT_KEY": "tests-only-audit-key-tests-only-audit-key-tests-only",
    "DESK_MODE": "1",
    "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
    "DJANGO_SETTINGS_MODULE": "portal.settings",
}
_NO_SERVICES = {
    "DATABASE_URL": "postgres://nobody@/no-services-were-started?host=%2Fnonexistent",
    "REDIS_URL": "redis://127.0.0.1:1/0",
}
# What a person's shell or .env sets must not reach the tests.
_NOT_INHERITED = (
    "EGRESS_ALLOW",
    "EGRESS_ALLOW_NETWORKS",
    "EGRESS_CA_FILE",
    "LOADS_MAX_USERS",
    "LOADS_MAX_REQUESTS_PER_S",
    "LOADS_MAX_S",
    "IDENTITY_HOSTS",
    "OIDC_ISSUERS",
    "REQUIRE_SECOND_FACTOR",
    "SIMULATOR_URL",
    "PORT",
    "LOG_FORMAT",
    "WATCHDOG_URL",
    "REACH_GATEWAY_URL",
    "REACH_GATEWAY_SECRET",
    "EMAIL_URL",
    "EMAIL_PLAIN",
    "MAIL_FROM",
    "PUBLIC_URL",
    "SAMPLE_DAYS",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-services", action="store_true", help="start neither PostgreSQL nor Valkey (pure tests only)"
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    """Set the environment before pytest-django reads the settings in its own hook of this name."""
    global _held
    known = early_config.known_args_namespace
    os.environ.update(_ENV)
    # Some sixty programs start, each of which would compile the portal anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    for name in _NOT_INHERITED:
        os.environ.pop(name, None)
    if WORKER in os.environ:  # the controller's environment names the services
        os.environ["REDIS_URL"] = _redis_of_worker(os.environ["REDIS_URL"], os.environ[WORKER])
    elif known.no_services or known.help or known.version or "--collect-only" in args:
        os.environ.update(_NO_SERVICES)
    elif "TEST_DATABASE_URL" in os.environ and "TEST_REDIS_URL" in os.environ:
        os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
        os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
    else:
        from portal.embedded import CannotStart, start_services

        try:
            _held = start_services(forgetful=True)
        except CannotStart as failure:
            raise pytest.UsageError(f"Cannot start: {failure}\n{failure.details}") from failure
        os.environ.update(_held.env)
    return (yield)


def environment_without_services() -> None:
    """Set the tests' environment for a program that is no pytest and needs no database."""
    os.environ.update(_ENV | _NO_SERVICES)
    for name in _NOT_INHERITED:
        os.environ.pop(name, None)


@contextmanager
def services_for_tests() -> Iterator[None]:
    """Embedded services and the tests' environment for a program that is no pytest (`make chaos`)."""
    from portal.embedded import services

    environment_without_services()
    with services(forgetful=True) as env:
        os.environ.update(env)
        yield


def _redis_of_worker(url: str, worker: str) -> str:
    """Return the URL with the number of this worker: gw0 has 1, gw1 has 2; 0 is that of a run without xdist."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{int(worker.removeprefix('gw')) + 1}"))


def pytest_configure(config: pytest.Config) -> None:
    _let_tests_empty_tables()
    _let_passwords_be_cheap()
    _look_for_garbage_seldom()


def _let_passwords_be_cheap() -> None:
    """Hash passwords as in production, Argon2id, with the least work: tests count hashes, they do not time them.

    Only in this process; a portal that a test starts hashes as it would for customers.
    """
    from django.contrib.auth.hashers import Argon2PasswordHasher

    for name, least in {"time_cost": 1, "memory_cost": 64, "parallelism": 1}.items():
        setattr(Argon2PasswordHasher, name, least)


def _look_for_garbage_seldom() -> None:
    """Let Python look for cycles seldom: it would walk all that a suite holds on to, modules and tests, each time."""
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what is there now, and stays, out of that walk."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Make the tests' database as `make run` makes its own."""
    if fixturedef.argname != "django_db_setup":
        return (yield)
    from portal.embedded.migrating import quickly

    with quickly():
        return (yield)


_EMPTY = """DO $$
DECLARE
    one regclass;
    several regclass[] := ARRAY[{tables}]::regclass[];
BEGIN
    IF (SELECT max(pg_relation_size(each)) FROM unnest(several) AS each) > 1000000 THEN
        {truncate}
    ELSE
        FOREACH one IN ARRAY several LOOP
            EXECUTE format('DELETE FROM %s', one);
        END LOOP;
    END IF;
END $$;"""


def _let_tests_empty_tables() -> None:
    """Let a TransactionTestCase empty append-only tables, whose triggers refuse it, and let it do so quickly.

    The setting ends with the transaction of the flush, so the triggers hold in every test itself. TRUNCATE makes new
    files for every table and index, half a second for a hundred empty tables; few rows are deleted in no time. Where
    there were many (or their remains: nobody vacuums), TRUNCATE takes them away.
    """
    from django.db.backends.postgresql.operations import DatabaseOperations

    if getattr(DatabaseOperations.sql_flush, "without_triggers", False):
        return
    plain = DatabaseOperations.sql_flush

    def sql_flush(
        self: Any, style: Any, tables: Any, *, reset_sequences: bool = False, allow_cascade: bool = False
    ) -> list[str]:
        named = list(tables)
        statements: list[str] = plain(
            self, style, named, reset_sequences=reset_sequences, allow_cascade=allow_cascade
        )
        if not reset_sequences and statements:
            names = ", ".join(f"'{self.quote_name(one)}'" for one in named)
            statements = [_EMPTY.format(tables=names, truncate="".join(statements))]
        return ["SET LOCAL session_replication_role = replica;", *statements] if statements else statements

    sql_flush.without_triggers = True  # type: ignore[attr-defined]
    DatabaseOperations.sql_flush = sql_flush  # type: ignore[method-assign]


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    global _held
    if _held is not None:
        _held.stop()
        _held = None
