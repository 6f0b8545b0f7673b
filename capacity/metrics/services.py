"""Taking samples in: whoever hands in a list gets all of it kept, or the good lines, or nothing, as asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from django.db import transaction

from accounts.changes import check_active
from capacity.metrics.kinds import USUAL, MetricKind, why_impossible, why_unlike
from capacity.metrics.models import Metric
from capacity.metrics.partitions import kept_from
from capacity.metrics.reading import AHEAD, Key, Limits, Problem, Reading
from portal.audit.services import Recorded, record, record_many, snapshot
from portal.audit.subjects import named_in
from portal.errors import Refused

if TYPE_CHECKING:
    from accounts.models import Account, User

MOST_METRICS = 2000
# Told by line; the rest is counted.
SHOWN = 100
# Held in memory at a time.
_BLOCK = 50_000


@dataclass
class Taken:
    """What became of a list: lines read, values that were new or different, metrics that it began, what was wrong."""

    read: int = 0
    written: int = 0
    metrics_added: int = 0
    wrong: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def good(self) -> int:
        """How many lines could be read."""
        return self.read - self.wrong

    def complain(self, line: int, says: str) -> None:
        """Count a line that is wrong, and keep the sentence of the first ones."""
        self.wrong += 1
        if len(self.problems) < SHOWN:
            self.problems.append(Problem(line, says))


class SamplesRefused(Refused):
    """Some lines are wrong, and the caller wants all or nothing. Nothing was kept."""

    def __init__(self, taken: Taken) -> None:
        wrong = "One line is" if taken.wrong == 1 else f"{taken.wrong:,} lines are"
        super().__init__(f"{wrong} wrong, so nothing was taken in.", code="wrong_lines")
        self.taken = taken


def limits_at(now: datetime, source: str) -> Limits:
    """Return which samples are taken at this moment; `source` is of those that name none."""
    return Limits(kept_from(now), now + AHEAD, source)


@transaction.atomic
def take_in(
    account: Account, rows: Iterable[Reading | Problem], *, keep_good: bool, actor: User | None
) -> Taken:
    """Keep samples; metrics that are not known yet begin with them.

    Raises SamplesRefused where a line is wrong, unless `keep_good` and at least one is good; then nothing was kept.
    Raises Refused for an archived account.
    """
    # Here and not above: the pages and the API load no numpy before somebody sends samples.
    from capacity.metrics import store

    check_active(account)
    store.lock(account.pk)
    known = {Key(row.name, row.resource, row.source): row for row in Metric.objects.filter(account=account)}
    taken = Taken()
    source = iter(rows)
    while block := list(islice(source, _BLOCK)):
        taken.read += len(block)
        good = _fitting(account, block, known, taken, actor)
        # Once it is clear that nothing is kept, the rest is only looked through.
        if good and (keep_good or not taken.wrong):
            taken.written += store.write(account.pk, store.samples_of(good))
    if taken.wrong and not (keep_good and taken.good):
        raise SamplesRefused(taken)
    return taken


def _fitting(
    account: Account,
    block: Sequence[Reading | Problem],
    known: dict[Key, Metric],
    taken: Taken,
    actor: User | None,
) -> list[tuple[int, int, float]]:
    """Return (metric, moment, value) of the good lines, in their order; the others are told of."""
    readings = []
    for reading in _readings(block, taken):
        why = why_unlike(reading.key.name, reading.unit, reading.kind)
        if not why and reading.key not in known:
            # No metric begins with what it cannot have.
            why = why_impossible(reading.value, *_begun_as(reading))
        if why:
            taken.complain(reading.line, why)
        else:
            readings.append(reading)
    _begin(account, readings, known, taken, actor)
    found = []
    for reading in readings:
        metric = known.get(reading.key)
        if metric is None:
            taken.complain(
                reading.line,
                f"name: an account has at most {MOST_METRICS:,} metrics; this would be one more.",
            )
        elif reading.unit and reading.unit != metric.unit:
            taken.complain(
                reading.line, f"unit: {metric} is kept in “{metric.unit}”, not in “{reading.unit}”."
            )
        elif reading.kind and reading.kind != metric.kind:
            taken.complain(
                reading.line, f"kind: {metric} is kept as “{metric.kind}”, not as “{reading.kind}”."
            )
        elif why := why_impossible(reading.value, metric.unit, metric.kind):
            taken.complain(reading.line, why)
        else:
            found.append((metric.pk, reading.at_us, reading.value))
    return found


def _readings(block: Sequence[Reading | Problem], taken: Taken) -> Iterator[Reading]:
    for each in block:
        if isinstance(each, Problem):
            taken.complain(*each)
        else:
            yield each


def _begun_as(reading: Reading) -> tuple[str, str]:
    """Return unit and kind of a metric that begins with this sample."""
    unit, kind = USUAL.get(reading.key.name, ("", MetricKind.OTHER))
    return reading.unit or unit, reading.kind or kind


def _begin(
    account: Account, readings: Sequence[Reading], known: dict[Key, Metric], taken: Taken, actor: User | None
) -> None:
    """Make the metrics of which these are the first samples, as their first lines say."""
    new: dict[Key, Metric] = {}
    for reading in readings:
        if reading.key in known or reading.key in new or len(known) + len(new) >= MOST_METRICS:
            continue
        unit, kind = _begun_as(reading)
        new[reading.key] = Metric(account=account, **reading.key._asdict(), unit=unit, kind=kind)
    if new:
        Metric.objects.bulk_create(new.values())
        record_many(
            "metric.begun",
            [Recorded(subject=row, after=snapshot(row)) for row in new.values()],
            actor=actor,
            account=account,
            people=named_in(account, "\n".join(text for key in new for text in key)),
        )
        known |= new
        taken.metrics_added += len(new)


@transaction.atomic
def set_vital(metric: Metric, is_vital: bool, *, actor: User | None) -> Metric:
    """Count a metric among its account's vital figures, or no more."""
    locked = Metric.objects.select_for_update(of=("self",)).select_related("account").get(pk=metric.pk)
    check_active(locked.account)
    if locked.is_vital != is_vital:
        before = snapshot(locked)
        locked.is_vital = is_vital
        locked.save(update_fields=["is_vital"])
        record(
            "metric.vital",
            actor=actor,
            account=locked.account,
            subject=locked,
            before=before,
            after=snapshot(locked),
        )
    return locked
