"""A benchmark as a kind of run: what the engine sees of the worker that holds it, and what it makes of that. It sends nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Max
from django.urls import reverse

from capacity.loads.models import LoadRun, RunEnding
from portal.errors import Refused
from portal.runs.models import Run
from portal.runs.registry import Told
from portal.runs.types import Action, Answer, Decision, Entry, Outcome, RunStatus, RunView

WAITS_S = 60.0
"""How long a load waits for a worker that takes it, once none is busy with another load."""
NO_WORKER = "No worker took the load for a minute. Nothing was sent. Ask the operator for the worker of the queue `loads`."
BEHIND = "Every worker of loads is busy with another one. This one begins when that ends, as long as its approval is valid."
TOO_LATE = "Its approval ran out while it waited for another load to end. Nothing was sent."
LOST = "The worker that held the load was lost, and the load ended with it. It is not begun again by itself."
_CUSTOMER = "The load on the site has ended."


class BenchmarkKind:
    """Looks at the row that the worker writes, once a second."""

    name = "benchmark"
    call_deadline_s = 5.0
    observe_deadline_s = 5.0
    look_max_age_s = 10.0

    async def observe(self, view: RunView) -> Any:
        """Return what the claiming transaction read (`facts`)."""
        return view.facts

    def decide(self, view: RunView, observation: Any) -> Decision:
        """Follow what the worker says; end the run where it has ended, or nobody holds it any more."""
        progress = dict(view.progress)
        answers = tuple(
            Answer(one.id, True, "The load ends within two seconds.")
            if one.name == "abort"
            else Answer(one.id, False, "A load can only be aborted.")
            for one in view.commands
        )
        is_told = progress.get("told", False)
        if view.status is RunStatus.SCHEDULED:
            is_aborted = any(one.name == "abort" for one in view.commands)
            if is_aborted and not observation["began"]:
                return self._over(
                    progress, answers, RunEnding.ABORTED, "A person aborted it before it began."
                )
            return Decision(progress, status=RunStatus.RUNNING, answers=answers, look_again_s=0.5)
        if observation["ending"]:
            return self._over(progress, answers, observation["ending"], observation["says"], closed=True)
        if not observation["began"]:
            if any(one.name == "abort" for one in view.commands) or view.standstill:
                return self._over(progress, answers, RunEnding.ABORTED, "It was stopped before it began.")
            if observation["is_too_late"]:
                return self._over(progress, answers, RunEnding.FAILED, TOO_LATE)
            if observation["waited_s"] > WAITS_S and not observation["is_behind"]:
                return self._over(progress, answers, RunEnding.FAILED, NO_WORKER)
            waits: tuple[Entry, ...] = ()
            if observation["is_behind"] and not progress.get("waits"):
                progress["waits"] = True
                waits = (Entry("load_waits", BEHIND, "The load waits for another one to end."),)
            return Decision(progress, answers=answers, journal=waits, look_again_s=1.0)
        if observation["is_lost"]:
            return self._over(progress, answers, RunEnding.WORKER_LOST, LOST)
        journal: tuple[Entry, ...] = ()
        if not is_told:
            progress["told"] = True
            journal = (
                Entry(
                    "load_began", "A worker has begun to put the load on.", "Load is put on your site now."
                ),
            )
        return Decision(progress, answers=answers, journal=journal, look_again_s=1.0)

    def _over(
        self,
        progress: dict[str, Any],
        answers: tuple[Answer, ...],
        ending: str,
        says: str,
        *,
        closed: bool = False,
    ) -> Decision:
        label = RunEnding(ending).label
        progress["ending"], progress["says"], progress["closes"] = str(ending), says, not closed
        is_complete = ending == RunEnding.COMPLETED
        return Decision(
            progress,
            status=RunStatus.COMPLETED if is_complete else RunStatus.ABORTED,
            answers=answers,
            journal=(Entry("load_ended", f"The load {label}. {says}".strip(), _CUSTOMER),),
        )

    def effect(self, action: Action, observation: Any) -> bool | None:
        """There is no change whose answer could be lost."""
        return None

    async def act(self, view: RunView, action: Action, *, not_after: float) -> Outcome:
        """Never asked: no decision has an action."""
        raise AssertionError("A benchmark sends nothing through the engine.")

    def settle(self, view: RunView, action: Action, outcome: Outcome) -> Decision:
        """Never asked."""
        raise AssertionError("A benchmark sends nothing through the engine.")


def facts(run: Run) -> Mapping[str, Any]:
    """Return how the worker's row stands; read in the claiming transaction, by the database's clock."""
    from portal.runs.journal import database_now

    now = database_now()
    row = LoadRun.objects.select_related("profile").get(run=run)
    # A worker that is busy with another load takes this one after it: the minute counts from then on.
    idle_since = row.made_at
    is_behind = False
    if row.began_at is None and not row.ending:
        others = LoadRun.objects.exclude(pk=row.pk).filter(began_at__isnull=False)
        is_behind = others.filter(ending="", lease_until__gte=now).exists()
        ended = others.filter(ended_at__gt=row.made_at).aggregate(last=Max("ended_at"))["last"]
        idle_since = max(idle_since, ended or idle_since)
    valid_until = row.profile.valid_until
    return {
        "began": row.began_at is not None,
        "is_lost": row.lease_until is not None and row.lease_until < now,
        "ending": row.ending,
        "says": row.ending_says,
        "waited_s": (now - idle_since).total_seconds(),
        "is_behind": is_behind,
        "is_too_late": valid_until is not None and valid_until <= now,
    }


def project(run: Run, decision: Decision, was: Mapping[str, Any]) -> None:
    """Close the row of a load that nobody holds, in the transaction that ends its run: what came in so far is kept."""
    from capacity.loads import services

    if decision.progress.get("closes") and not was.get("ending"):
        row = LoadRun.objects.get(run=run)
        services.close(row, RunEnding(decision.progress["ending"]), decision.progress["says"])


def may_command(run: Run, name: str, args: Mapping[str, Any]) -> None:
    """Raise Refused for whatever is not the end of it: a load that was held back would be another load."""
    if name != "abort":
        raise Refused("A load can only be aborted.", code="only_abort")


def is_half_way(run: Run) -> bool:
    """Whether load is on the site just now."""
    return LoadRun.objects.filter(run=run, began_at__isnull=False, ending="").exists()


def url_of(run: Run) -> str:
    """Return the page of a run."""
    return reverse("capacity:load", args=[run.plan_ref])


def told(run: Run) -> Told:
    """Return the words of a load's beginning and end."""
    return Told(
        began="Your site gets the load that was agreed, and only as long as it stays well. There is nothing for you to do.",
        stopped="No load is sent any more.",
        became="ended before its time",
    )
