"""What pages and API read of baselines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch, Q, QuerySet

from accounts.models import Account, CloudConnection
from capacity import comparing
from capacity.baselines.compared import READ, standing_of, the_newest
from capacity.baselines.models import (
    BaselineComparison,
    BaselineStatus,
    MeasuredBaseline,
)
from capacity.benchmarks.models import Benchmark
from capacity.markers.models import Marker, MarkerKind


def whole() -> QuerySet[MeasuredBaseline]:
    """Return baselines with everything that is shown of one."""
    return MeasuredBaseline.objects.select_related(
        "account", "connection", "benchmark", "owner", "proposed_by", "request", "request__account"
    ).defer("connection__api_key", "benchmark__result")


def listed() -> QuerySet[MeasuredBaseline]:
    """Return baselines as lists show them, with their newest comparisons."""
    newest = the_newest(BaselineComparison.objects.all())[:READ]
    return (
        MeasuredBaseline.objects.select_related("account", "connection", "owner", "benchmark")
        .defer("connection__api_key", "benchmark__result", "content")
        .prefetch_related(Prefetch("comparisons", newest, to_attr="newest"))
    )


def comparisons() -> QuerySet[BaselineComparison]:
    """Return comparisons with their baseline and what was compared."""
    return BaselineComparison.objects.select_related("baseline", "baseline__account", "benchmark").defer(
        "benchmark__result", "baseline__content"
    )


@dataclass(frozen=True)
class Standing:
    """How a site stands to a baseline: `verdict` "" while nothing comparable came; `counts` says whether this version does."""

    verdict: str
    is_confirmed: bool
    figures: tuple[str, ...]
    says: str


def standing(rows: Iterable[BaselineComparison]) -> Standing:
    """Return how the site stands, by comparisons in whatever order."""
    kept = list(rows)
    found = standing_of(kept)
    labels = tuple(comparing.KIND_OF[key].label for key in sorted(found.figures))
    if found.verdict is None:
        says = "Nothing that can be compared came since." if kept else "Nothing was measured since."
        return Standing("", False, (), says)
    says = {
        comparing.Verdict.BETTER: "The newest measurement is better.",
        comparing.Verdict.SAME: "The newest measurement is the same.",
        comparing.Verdict.WORSE: "The newest measurement is worse. A second one that says so would confirm it.",
    }[found.verdict]
    if found.is_confirmed:
        says = "Worse, and a second measurement confirms it."
    return Standing(found.verdict.value, found.is_confirmed, labels, says)


def is_current(row: MeasuredBaseline) -> bool:
    """Return whether this version is the one that counts. One query."""
    if row.status != BaselineStatus.APPROVED:
        return False
    newer = MeasuredBaseline.objects.filter(
        connection=row.connection_id,
        balancer_id=row.balancer_id,
        status=BaselineStatus.APPROVED,
        version__gt=row.version,
    )
    return not newer.exists()


@dataclass(frozen=True)
class Replaced:
    """The version that another one takes the place of, how the site stands to it, and what is not held any more, in sentences."""

    row: MeasuredBaseline
    standing: Standing
    says: tuple[str, ...]

    @property
    def tone(self) -> str:
        """How much whoever decides must know of it."""
        if self.standing.is_confirmed:
            return "bad"
        return "wait" if len(self.says) > 1 else "idle"


def replaced_of(row: MeasuredBaseline) -> Replaced | None:
    """Return what a version replaces, or replaced as it was approved; None of the first one and of one that was turned down."""
    if row.status not in {BaselineStatus.AWAITING, BaselineStatus.APPROVED}:
        return None
    return replaced_by(
        row.connection, row.balancer_id, row.source, below=row.version, is_done=row.status == "approved"
    )


def replaced_by(
    connection: CloudConnection | None,
    balancer_id: str,
    source: str,
    *,
    below: int | None = None,
    is_done: bool = False,
) -> Replaced | None:
    """Return what a version from such a source replaces: the approved one that counts, or did `below` a number. Two queries."""
    rows = listed().filter(connection=connection, balancer_id=balancer_id, status=BaselineStatus.APPROVED)
    if below is not None:
        rows = rows.filter(version__lt=below)
    old = rows.order_by("-version").first()
    if old is None:
        return None
    stands = standing(getattr(old, "newest", ()))
    return Replaced(old, stands, _replaced_says(old, stands, source, is_done))


def _replaced_says(old: MeasuredBaseline, stands: Standing, source: str, is_done: bool) -> tuple[str, ...]:
    of = {"benchmark": "a benchmark", "series": "a stretch of series"}
    says = [f"It replace{'d' if is_done else 's'} version {old.version}, from {of[old.source]}."]
    if source != old.source:
        what = {
            "benchmark": "Benchmarks of this pool are",
            "series": "The same hours of later weeks are",
        }[old.source]
        says.append(f"{what} held against nothing {'since' if is_done else 'then'}.")
    if stands.verdict == comparing.Verdict.WORSE:
        figures = ", ".join(stands.figures)
        sure = "confirmed by a second measurement" if stands.is_confirmed else "not yet confirmed by a second"
        was, goes = ("was", "went") if is_done else ("is", "goes")
        says.append(
            f"The site {was} worse than version {old.version} ({figures}; {sure}). With that version this {goes} from scorecard, "
            "dashboard and Monday list, but what was measured later than the new one is held against it at once."
        )
    return tuple(says)


def changed_since(rows: Iterable[MeasuredBaseline]) -> dict[int, str]:
    """Return, by baseline, what says that it is older than the software: a change that was announced, else a benchmark of
    another version. Two queries, however many they are.
    """
    kept = list(rows)
    pools: Any = Q(pk__in=[])
    announced: Any = Q(pk__in=[])
    for one in kept:
        pools |= Q(connection=one.connection_id, balancer_id=one.balancer_id, ran_at__gt=one.measured_at)
        of_pool = Q(connection=one.connection_id, balancer_id=one.balancer_id) | Q(connection=None)
        announced |= Q(of_pool, account=one.account_id, at__gt=one.measured_at)
    newest: dict[tuple[int | None, str], str] = {}
    ran_after = Benchmark.objects.filter(pools, set_aside_at=None).exclude(software="").order_by("ran_at")
    for connection, balancer, software in ran_after.values_list("connection_id", "balancer_id", "software"):
        newest[(connection, balancer)] = software
    changes = list(
        Marker.objects.filter(announced).exclude(kind=MarkerKind.OTHER).order_by("-at", "-pk")[:500]
    )
    found = {}
    for one in kept:
        marker = next((each for each in changes if _says_of(each, one)), None)
        other = newest.get((one.connection_id, one.balancer_id), one.software)
        if marker is not None:
            found[one.pk] = f"{marker.software or marker.title} came"
        elif other != one.software:
            found[one.pk] = f"{other} was benchmarked"
    return found


def _says_of(marker: Marker, row: MeasuredBaseline) -> bool:
    """Return whether a change came after a baseline, and brought another version than it was measured of."""
    is_of_pool = marker.connection_id is None or (
        marker.connection_id == row.connection_id and marker.balancer_id == row.balancer_id
    )
    is_later = marker.account_id == row.account_id and marker.at > row.measured_at
    return is_of_pool and is_later and (not marker.software or marker.software != row.software)


def of_account(account: Account) -> QuerySet[MeasuredBaseline]:
    """Return an account's baselines as its list shows them."""
    return listed().filter(account=account)
