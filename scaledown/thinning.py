"""What is kept of the looks of a run that lasts for days: enough for its plots and its sums, and no more.

Every look of the last hour stays. Of older ones one stays a minute, and one per five minutes of those older than six hours;
of each stretch, series and outcome (answered, too late, failed, unknown) these:

- the first one, which stands for all that went (`detail.looks` says for how many), so that sums stay right;
- the highest one (of servers in service the lowest): a peak is no average;
- of failed checks first and last one of each minute, whatever their age, so that what was near a failure stays near one
  (`known.fine_load`).

The time in which a server leaves the pool is kept whole: the report plots how its connections ran out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q

from portal.runs.models import OVER, JournalEntry, Run

WHOLE_FOR = timedelta(hours=1)
MINUTES_FOR = timedelta(hours=6)
LONGEST_WAY_OUT = timedelta(hours=2)
"""A drain that lasts longer than this is thinned like anything else: it is a line, not a curve."""
_ON_ITS_WAY_OUT = frozenset({"server_draining", "server_removing", "server_verifying"})

_THIN = """
WITH old AS (
    SELECT sample.id, sample.at, sample.value, sample.series,
           COALESCE((sample.detail->>'looks')::int, 1) AS looks,
           sample.detail->'ok' = 'false'::jsonb AS failed,
           COALESCE(sample.detail->>'ok', '') || COALESCE(sample.detail->>'slow', '') AS outcome,
           floor(extract(epoch FROM sample.at) / CASE
               WHEN sample.at >= %(minutes_from)s OR sample.detail->'ok' = 'false'::jsonb THEN 60 ELSE 300 END
           ) AS stretch,
           sample.at >= %(minutes_from)s AS is_young
    FROM runs_runsample sample
    WHERE sample.run_id = %(run)s AND sample.at < %(whole_from)s
      AND NOT EXISTS (
          SELECT 1 FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS way(begins, ends)
          WHERE sample.at BETWEEN way.begins AND way.ends)
), placed AS (
    SELECT id, looks, failed,
           row_number() OVER (whole ORDER BY at, id) AS from_first,
           row_number() OVER (whole ORDER BY at DESC, id DESC) AS from_last,
           row_number() OVER (whole ORDER BY
               CASE WHEN series LIKE 'serving:%%' THEN -value ELSE value END DESC NULLS LAST, at, id) AS from_highest,
           dense_rank() OVER (ORDER BY series, outcome, value IS NULL, is_young, stretch) AS stretch_id
    FROM old
    WINDOW whole AS (PARTITION BY series, outcome, value IS NULL, is_young, stretch)
), judged AS (
    SELECT id, looks, stretch_id, from_first = 1 AS is_first,
           from_first = 1 OR from_highest = 1 OR (COALESCE(failed, false) AND from_last = 1) AS stays
    FROM placed
), gone AS (
    DELETE FROM runs_runsample WHERE id IN (SELECT id FROM judged WHERE NOT stays) RETURNING id
), summed AS (
    SELECT stretch_id, sum(looks) AS went FROM judged WHERE NOT stays GROUP BY stretch_id
), told AS (
    UPDATE runs_runsample sample
    SET detail = jsonb_set(sample.detail, '{looks}', to_jsonb(judged.looks + summed.went))
    FROM judged JOIN summed USING (stretch_id)
    WHERE sample.id = judged.id AND judged.is_first
    RETURNING sample.id
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM told)
"""


def thin_samples(now: datetime) -> int:
    """Thin what live runs, and those that ended within a day, have kept; return how many points went.

    Done twice, or by two at once, it changes nothing more. Two queries, and two for each run that is older than an hour.
    """
    runs = Run.objects.filter(~Q(status__in=OVER) | Q(ended_at__gte=now - timedelta(days=1)))
    return sum(
        _thin(run_id, now)
        for run_id in runs.filter(created_at__lt=now - WHOLE_FOR).values_list("pk", flat=True)
    )


def _thin(run_id: int, now: datetime) -> int:
    ways = list(_ways_out(run_id))
    with connection.cursor() as cursor:
        cursor.execute(
            _THIN,
            {
                "run": run_id,
                "whole_from": now - WHOLE_FOR,
                "minutes_from": now - MINUTES_FOR,
                "begins": [begins for begins, _ in ways],
                "ends": [ends for _, ends in ways],
            },
        )
        (went, _told) = cursor.fetchone()
    return int(went)


def _ways_out(run_id: int) -> Iterable[tuple[datetime, datetime]]:
    """Yield from when to when servers left the pool: from the beginning of a drain until the pool was judged without it."""
    lines = JournalEntry.objects.filter(run_id=run_id, kind__startswith="server_").order_by("seq")
    open_since: dict[str, datetime] = {}
    for kind, subject, at in lines.values_list("kind", "subject", "at"):
        if kind in _ON_ITS_WAY_OUT:
            open_since.setdefault(subject, at)
        elif subject in open_since:
            begins = open_since.pop(subject)
            yield begins, min(at, begins + LONGEST_WAY_OUT)
    for begins in open_since.values():
        yield begins, begins + LONGEST_WAY_OUT


def looks_of(detail: dict[str, object]) -> int:
    """Return for how many looks a kept point stands."""
    looks = detail.get("looks", 1)
    return looks if isinstance(looks, int) else 1
