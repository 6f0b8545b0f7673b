"""A portal of the size that it is built for, made up: accounts, contacts and an audit, by COPY.

    made = seed(Size(accounts=2000, contacts=100_000, audit=1_000_000), seed=1)

The same numbers and the same `seed` give the same rows, but for their random references. One account is very large
(a quarter of all contacts, a twentieth of the audit), so that its lists have a thousandth page. Every tenth account
belongs to teams that the made-up launch manager is not in.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from django.utils import timezone

from accounts.models import Account, Contact, ContactRole, Membership, Team, TeamMembership, User

TEAM = "Scale team"
OTHER_TEAMS = ("Scale team East", "Scale team West")
MANAGER = "scale.manager@scale.example"
VIEWER = "scale.viewer@scale.example"
_FIRST = [
    "Ada",
    "Björn",
    "Chloé",
    "Dmitri",
    "Elif",
    "Fumiko",
    "Grace",
    "Håkon",
    "Inés",
    "Jamal",
    "Karin",
    "Liam",
    "Márta",
    "Nuno",
    "Olga",
    "Paweł",
    "Qiao",
    "Rosa",
    "Søren",
    "Tove",
    "Uma",
    "Vera",
    "Wei",
    "Xenia",
    "Yusuf",
    "Zoë",
    "Anaïs",
    "Bruno",
    "Cédric",
    "Dörte",
]
_LAST = [
    "Andersson",
    "Bauer",
    "Castro",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Hansen",
    "Ivanov",
    "Jansen",
    "Kowalski",
    "López",
    "Müller",
    "Nakamura",
    "Olsen",
    "Pereira",
    "Quinn",
    "Rossi",
    "Schröder",
    "Tanaka",
    "Ünal",
    "Virtanen",
    "Weiß",
    "Xu",
    "Yılmaz",
    "Zieliński",
    "Brügger",
    "Côté",
    "Dahl",
    "Ekström",
]
_TRADE = [
    "Outdoor",
    "Books",
    "Garden",
    "Toys",
    "Coffee",
    "Cycles",
    "Music",
    "Travel",
    "Optics",
    "Shoes",
    "Kitchen",
    "Sports",
    "Fabrics",
    "Lamps",
    "Wine",
]
_ZONES = ("UTC", "Europe/Berlin", "America/Chicago", "Asia/Tokyo", "Europe/Stockholm")
_LEVELS = ("", "standard", "managed", "managed, around the clock")
_KINDS = (
    "contact.changed",
    "contact.confirmed",
    "account.changed",
    "plan.approved",
    "login.done",
    "run.started",
)


@dataclass(frozen=True)
class Size:
    """How many rows of each."""

    accounts: int = 2_000
    contacts: int = 100_000
    audit: int = 1_000_000


@dataclass(frozen=True)
class Seeded:
    """What there is now: who sees it, and the account whose lists are long."""

    manager: User
    viewer: User
    largest: Account
    rows: Mapping[str, int]


def is_seeded() -> bool:
    """Whether the made-up rows are there already."""
    return Team.objects.filter(name=TEAM).exists()


@transaction.atomic
def seed(size: Size, *, seed: int = 1, password: str | None = None) -> Seeded:
    """Make everything in one transaction, which holds the tables; without a password nobody can log in as the people made.

    The audit's entries are left to the sealer, like any other's.
    """
    rng = random.Random(seed)
    now = timezone.now().replace(microsecond=0)
    manager, viewer = _people(password)
    team = Team.objects.create(name=TEAM)
    others = [Team.objects.create(name=name) for name in OTHER_TEAMS]
    TeamMembership.objects.create(team=team, user=manager, role="launch_manager")
    copy_rows(Account, _accounts(rng, size.accounts, team, others, now))
    made = list(Account.objects.filter(team__in=[team, *others]).order_by("number"))
    Membership.objects.create(account=made[0], user=viewer, role="viewer")
    with _indexed_afterwards(Contact, size.contacts):
        copy_rows(Contact, _contacts(rng, size.contacts, made, now))
    entry = apps.get_model("audit", "AuditEntry")
    with _indexed_afterwards(entry, size.audit):
        copy_rows(entry, _entries(rng, size.audit, made, manager, now))
    with connection.cursor() as cursor:
        for model in (Account, Contact, entry, Membership, TeamMembership):
            cursor.execute(f'ANALYZE "{model._meta.db_table}"')
    rows = {"accounts": len(made), "contacts": size.contacts, "audit": size.audit}
    return Seeded(manager, viewer, made[0], rows)


@contextmanager
def _indexed_afterwards(model: type[models.Model], count: int) -> Iterator[None]:
    """Build the model's indexes once the rows are there, which is much faster than row by row.

    Only where more rows come than there are. Whoever else needs the table waits until the transaction ends.
    """
    held = model._default_manager.order_by()[:count].count()
    indexes = list(model._meta.indexes) if held < count else []
    with connection.schema_editor(atomic=False) as editor:
        for index in indexes:
            editor.remove_index(model, index)
    yield
    with connection.cursor() as cursor:
        # Foreign keys are asked about at the end otherwise, and until then no index can be built.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        cursor.execute("SET LOCAL maintenance_work_mem = '128MB'")
    with connection.schema_editor(atomic=False) as editor:
        for index in indexes:
            editor.add_index(model, index)


def copy_rows(model: type[models.Model], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows by COPY and return how many. Each gives the same names; the rest are the fields' defaults.

    A default that is called (a reference, a time) is called once, so what must differ by row is given.
    """
    found = iter(rows)
    first = next(found, None)
    if first is None:
        return 0
    fields = {field.name: field for field in model._meta.local_concrete_fields if not field.primary_key}
    unknown = set(first) - set(fields) - {field.attname for field in fields.values()}
    if unknown:
        raise ValueError(f"{model.__name__} has no {', '.join(sorted(unknown))}.")
    by_column = {str(field.column): (field.name, field.attname) for field in fields.values()}
    given = [c for c, names in by_column.items() if names[0] in first or names[1] in first]
    keys = [next(name for name in by_column[column] if name in first) for column in given]
    fixed: dict[str, Any] = {}
    for field in fields.values():
        if field.column not in given and not field.has_db_default():
            now = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
            value = timezone.now() if now else field.get_default()
            fixed[str(field.column)] = field.get_db_prep_save(value, connection)
    columns = ", ".join(connection.ops.quote_name(name) for name in (*given, *fixed))
    table = connection.ops.quote_name(model._meta.db_table)
    rest, count = tuple(fixed.values()), 0
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        row: Mapping[str, Any] | None = first
        while row is not None:
            copy.write_row((*(row[key] for key in keys), *rest))
            count += 1
            row = next(found, None)
    return count


# --- what the rows hold -------------------------------------------------------------------------------------


def _people(password: str | None) -> tuple[User, User]:
    manager = User.objects.create_user(email=MANAGER, name="Mara Scale", password=password)
    viewer = User.objects.create_user(email=VIEWER, name="Vic Scale", password=password)
    return manager, viewer


def _reference(rng: random.Random) -> uuid.UUID:
    return uuid.UUID(int=rng.getrandbits(128), version=4)


def _accounts(
    rng: random.Random, count: int, team: Team, others: list[Team], now: datetime
) -> Iterator[dict[str, Any]]:
    for number in range(count):
        is_archived = number % 25 == 24
        yield {
            "ref": _reference(rng),
            "name": f"{rng.choice(_LAST)} {rng.choice(_TRADE)} {number:05}",
            "number": f"9{number:06}",
            "team_id": (others[number // 10 % len(others)] if number % 10 == 9 else team).pk,
            "time_zone": rng.choice(_ZONES),
            "service_level": rng.choice(_LEVELS),
            "milestone": rng.randint(1, 5),
            "status": "archived" if is_archived else "active",
            "archived_at": now - timedelta(days=3) if is_archived else None,
            "created_at": now - timedelta(days=rng.randint(1, 2000), seconds=rng.randint(0, 86400)),
        }


def _contacts(
    rng: random.Random, count: int, accounts: list[Account], now: datetime
) -> Iterator[dict[str, Any]]:
    roles = list(ContactRole.values)
    today = now.date()
    for number in range(count):
        # Every fourth is of the one large account.
        of = accounts[0] if number % 4 == 0 else accounts[rng.randrange(len(accounts))]
        first, last = rng.choice(_FIRST), rng.choice(_LAST)
        confirmed = None if rng.random() < 0.2 else today - timedelta(days=rng.randint(0, 300))
        yield {
            "ref": _reference(rng),
            "account_id": of.pk,
            "name": f"{first} {last}",
            "title": rng.choice(("", "Head of operations", "Developer", "On-call engineer")),
            "email": f"person{number}@customer{of.number}.example",
            "phone": f"+4930{number:08}",
            "time_zone": of.time_zone,
            "roles": rng.sample(roles, rng.randint(0, 2)),
            "escalation_order": rng.randint(1, 20),
            "confirmed_on": confirmed,
            "confirmed_by_name": "" if confirmed is None else f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
            "created_at": now - timedelta(seconds=rng.randint(0, 50_000_000)),
        }


def _entries(
    rng: random.Random, count: int, accounts: list[Account], manager: User, now: datetime
) -> Iterator[dict[str, Any]]:
    before, after = json.dumps({"confirmed_on": None}), json.dumps({"confirmed_on": "2026-11-01"})
    nothing = json.dumps({})
    step = timedelta(seconds=120_000_000 / max(1, count))
    for number in range(count):
        of = accounts[0] if number % 20 == 0 else accounts[rng.randrange(len(accounts))]
        kind = _KINDS[rng.randrange(len(_KINDS))]
        changed = kind.startswith("contact")
        yield {
            "at": now - step * (count - number),
            "what": kind,
            "actor_ref": str(manager.ref),
            "actor_name": manager.name,
            "account_ref": of.ref,
            "account_name": of.name,
            "subject_type": "accounts.contact" if changed else "accounts.account",
            "subject_ref": str(of.ref),
            "subject_label": of.name,
            "before": before if changed else nothing,
            "after": after if changed else nothing,
            "address": "192.0.2.7",
        }
