"""Every state of a run on the live page, in its report and in the API, in the words of both readers."""

from __future__ import annotations

import json
import re
import uuid
from functools import lru_cache
from html import unescape

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from portal.runs import journal, rules
from portal.runs import services as runs
from portal.runs.models import Intent, Run, RunCommand
from portal.runs.types import Command, RunStatus
from portal.ui.states import LOOKS
from scaledown.canonical import plan_to_plain
from scaledown.progress import progress_to_plain
from scaledown.services import KIND
from scaledown.types import Phase, Verdict
from tests.scaledown.rows import desk as rows_desk
from tests.scaledown.states import STATES
from tests.scaledown.test_api import Caller
from tests.scaledown.test_services import approved

OURS = re.compile(
    r"\b(floor|ceiling|headroom|runway|soak\w*|halt|halts|halted|halting|abort\w*|roll(?:ed|ing|s)?[ -]back|nodes?|"
    r"DRAINING|ENABLED|DISABLED|PENDING_UPDATE|digest|probes?|lease|verdicts?|drain|drains|drained|draining)\b"
)
"""Words of launch managers, for which the specification (product.md, *Words*) gives customers plainer ones."""
TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL)
SPOKEN = re.compile(r'\b(?:aria-label|title|data-say|alt|placeholder)="([^"]*)"')
OF_PEOPLE = frozenset({"title", "reason", "plan_reason", "name", "by_name", "detail"})
"""What people wrote, or what is data."""


@lru_cache
def in_state(name):
    return STATES[name]()


def put(here, desk):
    """Write a run on paper into the rows that pages and API read; return its row."""
    now = timezone.now()
    halt, is_over = desk.halt, desk.status.is_over
    plan = approved(here)
    run = runs.create_run(
        account=here.account,
        kind=KIND,
        plan_ref=plan.ref,
        plan=json.loads(json.dumps(plan_to_plain(desk.plan)).replace('"m-1"', f'"{uuid.uuid4()}"')),
        digest=plan.digest,
        resource_keys=["a server"],
        scopes=[],
        title=plan.title,
        actor=here.manager,
        rehearsal=desk.is_rehearsal,
    )
    Run.objects.filter(pk=run.pk).update(
        progress=progress_to_plain(desk.progress),
        status=desk.status.value,
        started_at=desk.progress.started_at,
        ended_at=now if is_over else None,
        next_tick_at=None if is_over else now,
        halt_code=halt.code if halt else "",
        halt_rank=halt.rank.value if halt else "",
        halt_says=halt.says if halt else "",
        halt_customer_says=halt.customer_says if halt else "",
        halt_next_commands=list(halt.next_commands) if halt else [],
        halted_at=now if halt else None,
    )
    run.refresh_from_db()
    entries = list(desk.journal)
    if halt is not None:
        entries.append(rules.halt_entry(halt))
    entries += [rules.intent_entry(action, 1) for action in desk.sent[-3:]]
    for name in ("roll_back", "abort", "pause"):
        given = Command(1, 1, name, {}, "", "Lena", "", now)
        entries.append(rules.command_entry(name, "", {}, "Lena", "Drain web-06 on web."))
        entries += [rules.answer_entry(given, answer) for answer in desk.answers.values()]
    with transaction.atomic():
        journal.write(run, entries, at=now)
    if desk.sent and not is_over:
        Intent.objects.create(
            run=run,
            token=1,
            action=rules.action_to_json(desk.sent[-1]),
            noted_at=now,
            sent_at=now,
            deadline_s=12.0,
        )
    for number, answer in enumerate(desk.answers.values(), start=1):
        RunCommand.objects.create(
            run=run,
            seq=number,
            name="resume",
            by=run.created_by,
            by_name="Lena",
            at=now,
            accepted=answer.accepted,
            answer=answer.says,
            answered_at=now,
            on_the_wire="Drain web-06 on web.",
        )
    return run


def text_of(page):
    """Return what a page says, shown or spoken."""
    spoken = " ".join(SPOKEN.findall(page))
    return unescape(re.sub(r"\s+", " ", f"{TAGS.sub(' ', page)} {spoken}"))


def sentences(value, key=""):
    """Yield each text of an answer of the API that is made of words."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in OF_PEOPLE:
                yield from sentences(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from sentences(item, key)
    elif isinstance(value, str) and " " in value:
        yield key, value


@pytest.fixture
def here(db):
    return rows_desk()


def shown(run, person):
    client = Client()
    client.force_login(person)
    pages = {}
    for path in ("", "report/", "journal/"):
        answer = client.get(f"/scaledown/runs/{run.ref}/{path}")
        assert answer.status_code == 200, path
        pages[path or "live page"] = answer.content.decode()
    return pages


def main_of(page):
    """Return the part of a page that is of this run."""
    return page[page.index("<main") : page.index("</main>")]


@pytest.mark.parametrize("name", STATES)
def test_it_is_shown_in_both_wordings_on_pages_and_in_the_api(name, here):
    desk = in_state(name)
    run = put(here, desk)
    manager, customer = Caller(here.manager), Caller(here.approver)
    ours, theirs = manager.get(f"/runs/{run.ref}"), customer.get(f"/runs/{run.ref}")
    for told in (ours, theirs):
        assert told["status"] == desk.status.value
        assert told["says"] or desk.status is RunStatus.SCHEDULED
        assert all(lane["says"] or lane["phase"] in {"queued", "skipped"} for lane in told["lanes"])
    if desk.halt is not None:
        assert ours["halt"]["says"] != theirs["halt"]["says"]
    found = [
        f"API {where} {key}: {says}"
        for where, answer in (
            ("run", theirs),
            ("report", customer.get(f"/runs/{run.ref}/report")),
            ("journal", customer.get(f"/runs/{run.ref}/journal")),
        )
        for key, says in sentences(answer)
        if OURS.search(says)
    ]
    for where, page in shown(run, here.approver).items():
        text = text_of(main_of(page))
        found += [
            f"{where}: …{text[max(0, hit.start() - 60) : hit.end() + 60]}…" for hit in OURS.finditer(text)
        ]
    assert not found, "\n".join(sorted(set(found)))
    live = text_of(main_of(shown(run, here.manager)["live page"]))
    assert LOOKS[desk.status.value].word in live


def test_states_hold_every_phase_status_and_question():
    phases = {way.phase for name in STATES for way in in_state(name).progress.servers}
    statuses = {in_state(name).status for name in STATES}
    verdicts = {
        way.verdict.verdict
        for name in STATES
        for way in in_state(name).progress.servers
        if way.verdict is not None
    }
    assert phases == set(Phase)
    assert statuses == set(RunStatus)
    assert verdicts == set(Verdict)
    for kind in (*phases, *statuses, *verdicts):
        assert kind.value in LOOKS
