"""From what the selectors say to what the components of the design system draw. Pure: values in, values out.

Nothing is decided here: which word a reader sees, where a button leads and how a line is toned, no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from capacity.models import CountKind
from portal.runs.types import RunStatus
from portal.ui.charts import Marker, NodeLoad, Series
from portal.ui.lanes import Lane as LaneShown
from portal.ui.states import look_of
from scaledown.courses import Point
from scaledown.figures import FigureRow, figures_of
from scaledown.live import CountShown, JournalShown, Lane, LiveRun
from scaledown.offers import Offer
from scaledown.preview import Preview
from scaledown.report import Report

_TONES = ("1", "2", "3", "4")
_BAD = ("halt", "fail", "doubt", "other_hand", "gone", "refus", "overdue", "standstill", "void")
_GOOD = ("retired", "passes", "completed", "preflight_good", "restored", "left_pool")
_WAIT = ("command", "paused", "limit", "put_back", "in_charge", "inconclusive")


def zoned(points: Sequence[Point], zone: tzinfo) -> list[tuple[datetime, float | None]]:
    """Return the points as charts take them, in the reader's zone."""
    return [(point.at.astimezone(zone), point.value) for point in points]


def zone_label(zone: tzinfo) -> str:
    """Return how a chart names its zone: the city, or UTC."""
    return str(zone).rsplit("/", 1)[-1].replace("_", " ")


@dataclass(frozen=True)
class EntryShown:
    """One line of the journal as the component shows it."""

    seq: int
    at: datetime
    text: str
    subject: str
    who: str
    tone: str


def tone_of(kind: str, says: str = "") -> str:
    """Return how a kind of journal entry is toned."""
    if kind == "standstill_lifted":
        return "good"
    word = f"{kind} {says}".lower() if kind in {"status", "phase", "verdict"} else kind
    for tone, marks in (("bad", _BAD), ("good", _GOOD), ("wait", _WAIT)):
        if any(mark in word for mark in marks):
            return tone
    return "move" if kind in {"phase", "intent", "outcome", "status"} else "idle"


def entries_shown(entries: Iterable[JournalShown], names: frozenset[str]) -> list[EntryShown]:
    """Return journal lines for the component. Subjects are shown where they are a server's name."""
    return [
        EntryShown(
            entry.seq,
            entry.at,
            entry.says,
            entry.subject if entry.subject in names and entry.subject not in entry.says else "",
            entry.actor_name if entry.actor_name and entry.actor_name not in entry.says else "",
            tone_of(entry.kind, entry.says),
        )
        for entry in entries
    ]


def button(live: LiveRun, offer: Offer, *, customer: bool) -> dict[str, Any]:
    """Return what `{% command %}` takes: a form of its own, or the page that asks first."""
    url = reverse("scaledown:run-command", args=[live.ref, offer.name.replace("_", "-")])
    # The address carries the arguments: what is pressed is what was offered, to a run as it was shown.
    shown = {
        "url": f"{url}?{urlencode({**plain_args(offer), 'seen_status': live.status})}",
        "label": offer.customer_label if customer else offer.label,
        "leaves": offer.customer_leaves if customer else offer.leaves,
        "tone": "danger" if offer.is_dangerous else "",
        "name": offer.name,
    }
    if offer.is_dangerous or offer.needs_reason:
        shown["confirm_url"] = f"{url}?{urlencode(plain_args(offer))}"
        shown["label"] = f"{shown['label']}…"
    return shown


def refused_resume(live: LiveRun, *, customer: bool) -> dict[str, Any]:
    """Return the button to go on as it is while something is in the way: off, with the sentence."""
    return {
        "url": reverse("scaledown:run-command", args=[live.ref, "resume"]),
        "label": "Go on" if customer else "Resume the run",
        "refused": live.cannot_go_on,
        "name": "resume",
    }


def plain_args(offer: Offer) -> dict[str, str]:
    """Return an offer's arguments as a form or an address carries them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in offer.args.items()
    }


def _grade(lane: Lane) -> str:
    """Return the strength of the evidence while it matters and there is some."""
    count = lane.count
    if count is None or lane.phase not in {"draining", "removing", "verifying"}:
        return ""
    return "" if count.grade == "measured" and count.connections is None else count.grade


def _source_words(source: str) -> str:
    """Return where a count came from with the kind of page in words; the rest of the source stays as it is."""
    kind, gap, rest = source.partition(" ")
    return f"{CountKind(kind).label}{gap}{rest}" if kind in CountKind.values else source


def _is_newer(point: Point, count: CountShown) -> bool:
    """Whether a sample was taken after the count that the drain rests on."""
    return count.connections is not None and count.at is not None and point.at > count.at


_IN_FLIGHT = frozenset(
    {"draining", "removing", "verifying", "imaging", "deleting", "confirming", "recreating", "joining"}
)
_OUT = _IN_FLIGHT | {"held"}


def _lane_says(live: LiveRun, lane: Lane) -> str:
    """Return a server's own sentence. While the run rests it is what was true before, and says so."""
    if (
        (live.halt is None and not live.standstill and live.status != RunStatus.PAUSED)
        or lane.phase not in _OUT
        or lane.is_going_back
        or not lane.says
    ):
        return lane.says
    return "" if live.halt is not None and lane.says == live.halt.says else f"Before the stop: {lane.says}"


def lane_shown(
    live: LiveRun, lane: Lane, zone: tzinfo, *, customer: bool, with_hold: bool, with_image: bool = False
) -> LaneShown:
    """Return one server's lane. Its commands are posted with the server's id."""
    count = lane.count
    sentence = _lane_says(live, lane)
    if count is not None and count.connections is None and count.problem and not customer:
        sentence = f"{sentence} No count: {count.problem}".strip()
    last = next((point for point in reversed(lane.connections) if point.value is not None), None)
    connections, observed_at = (count.connections, count.at) if count is not None else (None, None)
    if last is not None and last.value is not None and (count is None or _is_newer(last, count)):
        # The number and the plot beside it are one: the newest that was counted. Before its drain a server
        # is counted too; then there is no grade, since nothing rests on it.
        connections, observed_at = int(last.value), last.at
    return LaneShown(
        ref=lane.server_id,
        name=lane.server_name,
        phase=lane.phase,
        address=", ".join(lane.addresses) if not customer else "",
        left_at=lane.left_from,
        # What goes back by itself is not what stands still.
        halted=live.halt is not None and lane.phase in _IN_FLIGHT and not lane.is_going_back,
        is_going_back=lane.is_going_back,
        connections=connections,
        points=zoned(lane.connections, zone),
        grade=_grade(lane),
        source=_source_words(count.source) if count is not None and not customer else "",
        observed_at=observed_at,
        sentence=sentence,
        since=lane.since,
        with_hold=with_hold,
        with_image=with_image,
        is_plain=customer,
        commands=tuple(button(live, offer, customer=customer) for offer in lane.offers),
    )


def of_total(live: LiveRun) -> str:
    """Return out of how many servers the deleted ones are, and how many are gone but not by this run, or could not be put back."""
    words = f"of {live.total} server{'' if live.total == 1 else 's'}"
    gone, left_out = (sum(1 for lane in live.lanes if lane.phase == phase) for phase in ("gone", "left_out"))
    words += f", {gone} gone by another hand" if gone else ""
    return f"{words}, {left_out} not put back" if left_out else words


def load_nodes(live: LiveRun, *, customer: bool) -> list[NodeLoad]:
    """Return one bar per server that still runs, with its state where it is on its way out."""
    # A customer's words for a phase are a sentence; beside a bar there is room for a few words only.
    words = {one.state: "on its way out" if customer else look_of(one.state).word for one in live.loads} | {
        "in service": ""
    }
    return [NodeLoad(one.server_name, one.load_rps, words[one.state]) for one in live.loads]


def drains(live: LiveRun, zone: tzinfo) -> list[Series]:
    """Return the connections of the servers whose drain has begun, the newest four."""
    rows = [lane for lane in live.lanes if lane.connections and lane.count is not None][-4:]
    return [
        Series(lane.server_name, zoned(lane.connections, zone), tone=tone)
        for lane, tone in zip(rows, _TONES, strict=False)
    ]


def report_drains(report: Report, zone: tzinfo) -> list[Series]:
    """Return the connections of every server of a report, four lines a chart at most."""
    rows = [server for server in report.servers if server.connections][:4]
    return [
        Series(server.server_name, zoned(server.connections, zone), tone=tone)
        for server, tone in zip(rows, _TONES, strict=False)
    ]


def report_vital(report: Report, zone: tzinfo) -> list[dict[str, Any]]:
    """Return the vital figures of a report, each with its lines: as it went, and a week earlier where that is known."""
    return [
        {
            "vital": one,
            "series": [
                Series(one.name, zoned(one.course, zone)),
                *(
                    [Series("A week earlier", zoned(one.week_before, zone), tone="2", dashed=True)]
                    if one.week_before
                    else []
                ),
            ],
        }
        for one in report.vital
    ]


def peak_vital(report: Report) -> list[FigureRow]:
    """Return the vital figures of the peak watch as they were last judged."""
    judged = [one.numbers for one in report.peak_watch.vital if one.numbers]
    return list(figures_of({"vital": judged}, for_customer=False))


def drain_marks(report: Report, zone: tzinfo) -> list[Marker]:
    """Return the moments at which servers left the pool."""
    return [
        Marker(server.left_pool_at.astimezone(zone), f"{server.server_name} left")
        for server in report.servers[:4]
        if server.left_pool_at is not None
    ]


def peak_nodes(preview: Preview, ceiling_rps: float | None) -> list[NodeLoad]:
    """Return the projected load per server after each step, as the chart of bars takes it."""
    return [
        NodeLoad(f"{step.nodes_left} left, without {step.server_name}", step.peak_load_rps)
        for step in preview.steps
    ]


def charge_words(names: Sequence[str]) -> str:
    """Return names as people list them: a, b and c."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True)
class VerdictRows:
    """One verdict with its numbers as a table shows them."""

    server_name: str
    verdict: str
    says: str
    at: datetime | None
    rows: tuple[FigureRow, ...]


def newest_verdict(live: LiveRun, *, customer: bool) -> VerdictRows | None:
    """Return the newest verdict of a run with its numbers; None while there is none."""
    judged = [(lane.verdict, lane.server_name) for lane in live.lanes if lane.verdict is not None]
    if not judged:
        return None
    verdict, name = max(judged, key=lambda one: one[0].at)
    rows = figures_of(verdict.numbers, for_customer=customer)
    return VerdictRows(name, verdict.verdict, verdict.says, verdict.at, rows)


def report_verdicts(report: Report, *, customer: bool) -> list[VerdictRows]:
    """Return the newest verdict about each server of a report, where there is one."""
    return [
        VerdictRows(
            server.server_name,
            server.verdict,
            server.verdict_says,
            None,
            figures_of(server.verdict_numbers, for_customer=customer),
        )
        for server in report.servers
        if server.verdict
    ]
