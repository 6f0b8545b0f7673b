"""Lists, deep pages, search, detail and create on a full portal, beside plain ModelViewSets over the same rows.

The parent starts PostgreSQL and Valkey of its own, a child fills them (`seed_scale`) and measures: every request goes
through the same in-process handler with the same middleware and the same signed-in browser, the three ways in turn, so
that what else the machine does falls on all of them alike. Medians of ROUNDS. A deep page is asked for right beside its
first page, PAIRS times, and the ratio is the median of the pairs' ratios. What we lose is printed too.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from bench.child import in_child

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "25"))
PAIRS = int(os.environ.get("BENCH_PAIRS", "60"))
LIMIT = 25
DEEP = 1000
Ask = Callable[[], Any]


def accounts(say: Callable[[str], None]) -> dict[str, float]:
    """Fill a database of its own and return the figures. BENCH_ACCOUNTS, BENCH_CONTACTS, BENCH_AUDIT size it."""
    return in_child("bench.accounts", say)


# --- in the child -------------------------------------------------------------------------------------------


def _size() -> dict[str, int]:
    usual = {"accounts": 2_000, "contacts": 110_000, "audit": 1_000_000}
    return {name: int(os.environ.get(f"BENCH_{name.upper()}", usual[name])) for name in usual}


class Bench:
    """A signed-in browser, and what is measured with it."""

    def __init__(self) -> None:
        from django.conf import settings
        from django.test import Client

        from accounts.models import Account, User
        from accounts.scale import MANAGER
        from portal.api import PortalAPIView

        settings.ROOT_URLCONF = "bench.peer"
        # Hundreds of requests a second by one person are what is measured here; they are still counted.
        PortalAPIView.rate_per_minute = PortalAPIView.rate_per_user = 1_000_000
        self.browser = Client(headers={"host": "localhost"})
        self.user = User.objects.get(email=MANAGER)
        self.browser.force_login(self.user)
        self.largest = Account.objects.get(number="9000000")
        self.figures: dict[str, float] = {}

    def get(self, url: str) -> Any:
        """Ask, and refuse to measure anything but a success."""
        answer = self.browser.get(url)
        assert answer.status_code == 200, (url, answer.status_code, answer.content[:300])
        return answer

    def beside(
        self,
        name: str,
        ways: Mapping[str, Ask],
        *,
        rounds: int = ROUNDS,
        over: tuple[str, str] | None = None,
    ) -> None:
        """Measure the ways in turn, and backwards every other time; notes the median milliseconds and the queries of each.

        `over` names two ways whose ratio is wanted: the median of the ratios of each round.
        """
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        took: dict[str, list[float]] = {way: [] for way in ways}
        for way, ask in ways.items():
            ask()
            with CaptureQueriesContext(connection) as seen:
                ask()
            self.figures[f"{name}_{way}_queries"] = float(len(seen))
        gc.collect()
        for turn in range(rounds):
            for way, ask in list(ways.items())[:: -1 if turn % 2 else 1]:
                began = time.perf_counter()
                ask()
                took[way].append((time.perf_counter() - began) * 1000)
        for way, values in took.items():
            self.figures[f"{name}_{way}_ms"] = round(statistics.median(values), 2)
            # What a request takes while the machine has nothing else to do: the rest is others' work.
            self.figures[f"{name}_{way}_best_ms"] = round(min(values), 2)
        if over is not None:
            deep, first = (took[way] for way in over)
            pairs = [one / other for one, other in zip(deep, first, strict=True)]
            self.figures[f"{name}_{over[0]}_over_first"] = round(statistics.median(pairs), 3)
            self.figures[f"{name}_{over[0]}_best_over_first"] = round(min(deep) / min(first), 3)
        for way in ways:
            if way != "peer" and "peer" in ways:
                ratio = self.figures[f"{name}_{way}_ms"] / self.figures[f"{name}_peer_ms"]
                self.figures[f"{name}_{way}_over_peer"] = round(ratio, 3)

    def paired(self, name: str, way: str, deep: str, first: str) -> None:
        """Measure a deep page against its own first page, one right after the other, each now and then the first."""
        self.beside(
            name,
            {way: lambda: self.get(deep), f"{way}_first": lambda: self.get(first)},
            rounds=PAIRS,
            over=(way, f"{way}_first"),
        )

    def cursor_at(self, path: str, query: str, rows: Any, order: str, skip: int, **filters: Any) -> str:
        """Return the query string of the page `skip` rows down the list at `path`, without walking there."""
        from django.http import QueryDict
        from django.urls import resolve

        from portal.paging import keyset

        assert resolve(path)
        edge = rows.order_by(order, "-pk" if order.startswith("-") else "pk")[skip - 1 : skip + 1]
        asked = SimpleNamespace(GET=QueryDict(f"limit=1&{query}"), user=self.user, path=path)
        only = rows.filter(pk__in=[row.pk for row in edge])
        cursor = keyset(only, asked, order=order, filters=filters).next_cursor
        assert cursor is not None, f"{path} has no row {skip}."
        return f"{query}&cursor={cursor}".lstrip("&")


def measure() -> dict[str, float]:
    """Return every figure; the database is full."""
    from accounts.models import Account, Contact
    from accounts.selectors import accounts_seen
    from portal.audit.filters import filter_of
    from portal.audit.selectors import entries_of_account

    bench = Bench()
    ref, whole = bench.largest.ref, _size()
    contacts_deep = min(DEEP, whole["contacts"] // 4 // LIMIT - 1)
    audit_deep = min(DEEP, whole["audit"] // 20 // LIMIT - 1)
    accounts_deep = min(DEEP, Account.objects.filter(team=bench.largest.team).count() - 2)
    lists = {
        # 2,000 accounts have no thousandth page of 25: pages of one.
        "accounts": ("/api/v1/accounts", "/accounts/", "/peer/accounts/", 1, accounts_deep, "status=all"),
        "contacts": (
            f"/api/v1/accounts/{ref}/contacts",
            f"/accounts/{ref}/contacts/",
            f"/peer/accounts/{ref}/contacts/",
            LIMIT,
            contacts_deep,
            "",
        ),
        "audit": (
            f"/api/v1/accounts/{ref}/audit",
            f"/accounts/{ref}/activity/",
            f"/peer/accounts/{ref}/audit/",
            LIMIT,
            audit_deep,
            "",
        ),
    }
    of = {"account": bench.largest.pk}
    unfiltered = filter_of({}).named()
    unfiltered_page = {"a": bench.largest.pk, **unfiltered}
    listed: dict[str, tuple[Any, str, dict[str, Any], dict[str, Any]]] = {
        "accounts": (accounts_seen(bench.user), "name", {}, {}),
        "contacts": (Contact.objects.filter(account=bench.largest), "escalation_order", of, {}),
        "audit": (
            entries_of_account(bench.user, bench.largest, frozenset()),
            "-id",
            {**of, **unfiltered},
            unfiltered_page,
        ),
    }
    for name, (api, page, peer, limit, deep, query) in lists.items():
        first = f"limit={limit}&{query}".rstrip("&")
        bench.beside(
            f"{name}_list",
            {
                "api": lambda api=api: bench.get(f"{api}?limit={LIMIT}"),  # type: ignore[misc]
                "page": lambda page=page, query=query: bench.get(f"{page}?{query}"),  # type: ignore[misc]
                "peer": lambda peer=peer: bench.get(peer),  # type: ignore[misc]
            },
        )
        skip = limit * (deep - 1)
        rows, order, of_api, of_page = listed[name]
        api_query = bench.cursor_at(api, "", rows, order, skip, **of_api)
        page_query = bench.cursor_at(page, query, rows, order, skip, **of_page)
        key = f"{name}_page_{'1000' if deep == DEEP else 'deep'}"
        bench.paired(key, "api", f"{api}?limit={limit}&{api_query}", f"{api}?limit={limit}")
        bench.paired(key, "page", f"{page}?limit={limit}&{page_query}", f"{page}?{first}")
        bench.paired(key, "peer", f"{peer}?page_size={limit}&page={deep}", f"{peer}?page_size={limit}")
        for way in ("api", "page"):
            over = bench.figures[f"{key}_{way}_ms"] / bench.figures[f"{key}_peer_ms"]
            bench.figures[f"{key}_{way}_over_peer"] = round(over, 3)

    somebody = Contact.objects.filter(account=bench.largest).order_by("-pk")[0]
    mail, number = somebody.email, Account.objects.filter(team=bench.largest.team).order_by("-pk")[0].number
    for name, text, where in (
        ("accounts_search_number", number, "accounts"),
        ("accounts_search_mail_of_a_contact", mail, "accounts"),
        ("contacts_search_mail", mail, "contacts"),
        ("contacts_search_common_name", "muller", "contacts"),
        ("audit_search_word", "started", "audit"),
        ("audit_search_nothing", "zzzzqqq", "audit"),
    ):
        api, page, peer, *_ = lists[where]
        bench.beside(
            name,
            {
                "api": lambda api=api, t=text: bench.get(f"{api}?q={t}"),  # type: ignore[misc]
                "page": lambda page=page, t=text: bench.get(f"{page}?q={t}"),  # type: ignore[misc]
                "peer": lambda peer=peer, t=text: bench.get(f"{peer}?search={t}"),  # type: ignore[misc]
            },
        )
    bench.beside(
        "contact_detail",
        {
            "api": lambda: bench.get(f"/api/v1/contacts/{somebody.ref}"),
            "page": lambda: bench.get(f"/contacts/{somebody.ref}/edit/"),
            "peer": lambda: bench.get(f"/peer/accounts/{ref}/contacts/{somebody.pk}/"),
        },
    )
    body = {"name": "New Person", "email": "new@person.example", "phone": "+493012345678", "time_zone": "UTC"}

    def create(url: str, expected: int, **more: Any) -> Ask:
        def ask() -> Any:
            answer = bench.browser.post(url, {**body, **more}, content_type="application/json")
            assert answer.status_code == expected, answer.content[:300]
            return answer

        return ask

    bench.beside(
        "contact_create",
        {
            "api": create(f"/api/v1/accounts/{ref}/contacts", 201),
            "peer": create(f"/peer/accounts/{ref}/contacts/", 201, account=bench.largest.pk, roles=[]),
        },
    )
    for name, url in _pages(ref, mail).items():
        bench.beside(f"page_{name}", {"alone": lambda url=url: bench.get(url)}, rounds=11)  # type: ignore[misc]
        bench.figures[f"page_{name}_ms"] = bench.figures.pop(f"page_{name}_alone_ms")
        bench.figures[f"page_{name}_best_ms"] = bench.figures.pop(f"page_{name}_alone_best_ms")
        bench.figures[f"page_{name}_queries"] = bench.figures.pop(f"page_{name}_alone_queries")
    slowest = max(
        (value, name)
        for name, value in bench.figures.items()
        if name.startswith("page_") and name.endswith("_ms") and not name.endswith("_best_ms")
    )
    bench.figures["slowest_page_ms"] = slowest[0]
    return bench.figures


def _pages(ref: Any, mail: str) -> dict[str, str]:
    from portal.audit.models import AuditEntry

    first_day = AuditEntry.objects.filter(account_ref=ref).order_by("pk")[0].at.date()
    return {
        "dashboard": "/",
        "accounts": "/accounts/",
        "accounts_by_milestone": "/accounts/?order=-milestone&milestone=3",
        "accounts_search": "/accounts/?q=m%C3%BCller",
        "account": f"/accounts/{ref}/",
        "contacts": f"/accounts/{ref}/contacts/",
        "contacts_by_confirmation": f"/accounts/{ref}/contacts/?order=-confirmed_on&role=emergency",
        "contacts_search": f"/accounts/{ref}/contacts/?q=schroder",
        "activity": f"/accounts/{ref}/activity/",
        # Rows that are rare, or at the far end of what the list holds.
        "activity_rare_kind": f"/accounts/{ref}/activity/?what=contact.erased",
        "activity_first_day": f"/accounts/{ref}/activity/?from={first_day}&to={first_day}",
        "plans": f"/accounts/{ref}/scaledown/",
        "me": "/me/",
        "palette_name": "/palette?q=m%C3%BCller",
        "palette_mail": f"/palette?q={mail}",
        "palette_short": "/palette?q=an",
        "palette_nothing": "/palette?q=zzzzqqq",
    }


def main() -> int:
    """Migrate, fill, measure; the last line is JSON."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, stdout=sys.stderr)
    whole = _size()
    began = time.perf_counter()
    call_command("seed_scale", stdout=sys.stderr, stderr=sys.stderr, **whole)
    seeded_s = round(time.perf_counter() - began, 1)
    figures = {
        "seed_scale_s": seeded_s,
        **{f"seed_scale_{name}": float(count) for name, count in whole.items()},
        **measure(),
    }
    print(_table(figures))
    print(json.dumps(figures))
    return 0


def _table(figures: Mapping[str, float]) -> str:
    rows = [f"{'':34} {'API':>9} {'page':>9} {'peer':>9}   ms, queries; over peer"]
    names = [name.removesuffix("_peer_ms") for name in figures if name.endswith("_peer_ms")]
    for name in names:
        cells, notes = [], []
        for way in ("api", "page", "peer"):
            value = figures.get(f"{name}_{way}_ms")
            cells.append(f"{value:9.1f}" if value is not None else f"{'-':>9}")
            if value is not None:
                notes.append(f"{figures[f'{name}_{way}_queries']:.0f}")
        ratio = figures[f"{name}_api_over_peer"]
        rows.append(
            f"{name:34} {' '.join(cells)}   {'/'.join(notes)}; {ratio:.2f}{' (slower)' if ratio > 1 else ''}"
        )
        if f"{name}_api_over_first" in figures:
            over = [f"{figures[f'{name}_{way}_over_first']:9.2f}" for way in ("api", "page", "peer")]
            rows.append(f"{'   over its own first page':34} {' '.join(over)}")
            best = [f"{figures[f'{name}_{way}_best_over_first']:9.2f}" for way in ("api", "page", "peer")]
            rows.append(f"{'   the same by the best of each':34} {' '.join(best)}")
    rows += [
        f"{name.removesuffix('_ms'):34} {value:9.1f}   {figures[name.removesuffix('_ms') + '_queries']:.0f} queries,"
        f" best {figures[name.removesuffix('_ms') + '_best_ms']:.1f}"
        for name, value in figures.items()
        if name.startswith("page_") and name.endswith("_ms") and not name.endswith("_best_ms")
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
