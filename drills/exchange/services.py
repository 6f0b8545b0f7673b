"""Experiments taken over as drafts of drills, and drills handed out as experiments and journals.

    look(account, raw) -> Looked                       nothing is kept
    take_over(account, draft, taking, actor=user) -> Taken
    experiment_of(drill) -> dict, journal_of(held) -> dict

Nothing that a file names is run, imported or asked. What goes out names no people and holds no secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.db import transaction
from django.http import Http404

from accounts.changes import check_active, check_no_pin
from accounts.models import Account, CloudConnection, User
from capacity.models import Probe
from capacity.services import set_probe
from drills.exchange import taking
from drills.interchange.chaostoolkit import (
    BLANKED,
    Imported,
    Unmapped,
    export_experiment,
    import_experiment,
    is_secret,
)
from drills.interchange.drafts import Draft, draft_from_plain, draft_to_plain
from drills.interchange.journals import export_journal
from drills.interchange.reading import read_object
from drills.plans import services as drills
from drills.plans.models import Drill, HeldDrill
from drills.scenarios import services as scenarios
from drills.scenarios.selectors import Shown, library
from drills.scenarios.selectors import scenario as scenario_by_key
from drills.types import DrillPlan, DrillProbe, plan_from_plain, progress_from_plain
from portal import access
from portal.access import Permission
from portal.audit.subjects import named_in
from portal.errors import Refused
from portal.frozen import replace
from portal.runs.types import RunStatus

NOTE = "Taken over from an experiment of the Chaos Toolkit."
SOMEBODY = "somebody"
MOST_PROBES_OF_POOL = 40


# --- coming in ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Looked:
    """What was read of a file. `scenario` None: the team has none that says the same, so one is made."""

    imported: Imported
    scenario: Shown | None
    became: list[taking.Became]
    left: tuple[Unmapped, ...]
    needs_claim: bool


@dataclass(frozen=True)
class Taking:
    """What whoever takes a draft over says of it. `probes`: those that the pool lacks are added to it."""

    title: str
    connection: CloudConnection | None = None
    balancer_id: str = ""
    recovered_s: float | None = None
    probes: bool = False
    facilitator: User | None = None


@dataclass(frozen=True)
class Taken:
    """What came of it."""

    drill: Drill
    scenario: Shown
    is_new_scenario: bool
    probes_added: int


def look(account: Account, raw: bytes | Mapping[str, Any]) -> Looked:
    """Return what an experiment comes to for an account. Keeps nothing. Raises Refused. One query."""
    imported = import_experiment(raw)
    found = fitting(account, imported.draft)
    return Looked(
        imported,
        found,
        taking.became(imported),
        taking.left_of(imported),
        found is None and not taking.claims_anything(imported.draft),
    )


def fitting(account: Account, draft: Draft) -> Shown | None:
    """Return the scenario of the account's team that a draft is held by; None where none says the same."""
    known = library(account.team)
    alike = [one for one in known if taking.fits(one.scenario, draft)]
    alike += [
        one
        for one in known
        if one.key == draft.scenario_key and taking.fits(one.scenario, draft, own_script=True)
    ]
    return next((one for one in alike if one.key == draft.scenario_key), alike[0] if alike else None)


def carried(draft: Draft) -> str:
    """Return a draft as the form that asks about it carries it: no more of the file than is taken over."""
    return json.dumps(draft_to_plain(draft), ensure_ascii=False)


def carried_back(text: str) -> Draft:
    """Return the draft that `carried` wrote. Raises Refused for anything else."""
    return draft_from_plain(read_object(text.encode()))


@transaction.atomic
def take_over(account: Account, draft: Draft, asked: Taking, *, actor: User) -> Taken:
    """Draw up a drill from a draft, with a new scenario of the team's own where none says the same."""
    check_active(account)
    drills.require(actor, Permission.DRILL_DRAFT, account)
    check_no_pin(asked.title)
    shown = fitting(account, draft)
    is_new = shown is None
    if shown is None:
        drills.require(actor, Permission.SCENARIO_EDIT, account)
        made = scenarios.write_scenario(
            account.team, taking.scenario_of(draft, asked.recovered_s), actor=actor, note=NOTE
        )
        shown = scenario_by_key(account.team, made.key)
        assert shown is not None
    choice = taking.choice_of(
        draft, shown.scenario, recovered_s=asked.recovered_s, balancer_id=asked.balancer_id
    )
    added = 0
    if asked.probes and asked.connection is not None and asked.balancer_id:
        drills.require(actor, Permission.SAMPLE_ADD, account)
        added = _add_probes(account, asked.connection, asked.balancer_id, draft, actor)
    drill = drills.draft(
        account=account,
        scenario=shown,
        title=asked.title.strip() or shown.scenario.title,
        choice=choice,
        connection=asked.connection,
        facilitator=asked.facilitator or _leader(account, actor),
        actor=actor,
    )
    return Taken(drill, shown, is_new, added)


def _leader(account: Account, actor: User) -> User:
    """Return who leads it until somebody else is chosen: whoever takes it over, where they may."""
    if access.can(actor, Permission.DRILL_RUN, account):
        return actor
    found: User | None = access.holders(Permission.DRILL_RUN, account).first()
    return found or actor


def _add_probes(
    account: Account, connection: CloudConnection, balancer_id: str, draft: Draft, actor: User
) -> int:
    """Give a pool the probes of a draft that it lacks; return how many. What is asked the same way is no second probe."""
    rows = Probe.objects.filter(connection=connection, balancer_id=balancer_id)
    known = {(one.url, one.method, one.must_contain) for one in rows}
    names = {one.name for one in rows}
    added = 0
    for one in draft.probes:
        if (one.url, one.method, one.must_contain) in known:
            continue
        if len(names) >= MOST_PROBES_OF_POOL:
            raise Refused(
                f"A pool has at most {MOST_PROBES_OF_POOL} probes. Take it over without them, and choose.",
                code="too_many",
            )
        name = next(
            name
            for name in (one.name, *(f"{one.name[:70]} ({number})" for number in range(2, 99)))
            if name not in names
        )
        set_probe(
            account,
            connection,
            balancer_id,
            name=name,
            actor=actor,
            url=one.url,
            method=one.method,
            expected_status_low=one.expected_status_low,
            expected_status_high=one.expected_status_high,
            must_contain=one.must_contain,
            timeout_s=one.timeout_s,
        )
        names.add(name)
        added += 1
    return added


# --- going out ----------------------------------------------------------------------------------------------


def experiment_of(drill: Drill) -> dict[str, Any]:
    """Return a drill's plan as an experiment. Raises Http404 for a draft: what is not frozen is no plan yet. Two queries."""
    plan = drills.data_of(drill)
    if plan is None:
        raise Http404("This drill is a draft. It is an experiment once it was submitted.")
    return export_experiment(fit_to_travel(drill.account, plan))


def journal_of(held: HeldDrill) -> dict[str, Any]:
    """Return a drill that is over as a journal. Raises Http404 while it is not over. Three queries."""
    run = type(held.run).objects.get(pk=held.run.pk)
    plan = fit_to_travel(held.drill.account, plan_from_plain(run.plan))
    found = export_journal(plan, progress_from_plain(run.progress), RunStatus(run.status))
    if found is None:
        raise Http404("This drill is not over.")
    return found


def fit_to_travel(account: Account, plan: DrillPlan) -> DrillPlan:
    """Return a plan whose texts name no people of the account, and whose addresses hold no secrets."""
    texts = [plan.scenario_title, plan.objective, plan.undo]
    texts += [text for one in plan.steps for text in (one.title, one.text, one.done_when)]
    words = sorted(
        {
            word
            for person in named_in(account, "\n".join(texts))
            for word in (
                str(person),
                *(getattr(person, name, "") for name in ("name", "email", "phone")),
            )
            if isinstance(word, str) and len(word) >= 3
        },
        key=lambda word: -len(word),
    )

    found = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words)) if words else None

    def clean(text: str) -> str:
        return text if found is None else found.sub(SOMEBODY, text)

    return replace(
        plan,
        scenario_title=clean(plan.scenario_title),
        objective=clean(plan.objective),
        undo=clean(plan.undo),
        steps=tuple(
            replace(one, title=clean(one.title), text=clean(one.text), done_when=clean(one.done_when))
            for one in plan.steps
        ),
        probes=tuple(_without_secrets(one) for one in plan.probes),
    )


def _without_secrets(probe: DrillProbe) -> DrillProbe:
    """Return a probe without what looks like a secret in its address: whoever runs the file enters their own."""
    parts = urlsplit(probe.url)
    pairs = [one.partition("=") for one in parts.query.split("&")] if parts.query else []
    query = "&".join(
        f"{name}={BLANKED}" if value and is_secret(name) else f"{name}{sign}{value}"
        for name, sign, value in pairs
    )
    host = parts.netloc.rpartition("@")[2]
    if (query, host) == (parts.query, parts.netloc):
        return probe
    return replace(probe, url=urlunsplit(parts._replace(netloc=host, query=query)))
