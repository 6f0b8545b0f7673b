"""Charts as SVG strings: values in, markup out; no request, database or clock.

Every chart has `role="img"` with a title and a description, colours come from classes in
`static/css/portal.css`, and there is no style attribute (the content security policy forbids it).
Charts fill the width they are given: what must keep its size (text, dots) is placed by percentages,
what may stretch (lines, areas) sits in a nested viewport with `preserveAspectRatio="none"`.
An unknown value is None: it leaves a gap, it is never drawn as zero. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Any

Point = tuple[datetime, float | None]

UNIT = 1000  # the nested viewport is UNIT wide and UNIT high


@dataclass(frozen=True)
class Series:
    """One line of a chart. `tone` is a class suffix (`1` to `4`, or a tone such as `bad`), points rise in time."""

    label: str
    points: Sequence[Point]
    tone: str = "1"
    dashed: bool = False


def in_zone(series: Iterable[Series], zone: tzinfo) -> list[Series]:
    """Return lines with their moments in a zone: charts write times as they come, so that a reader's label needs this."""
    return [replace(one, points=[(at.astimezone(zone), value) for at, value in one.points]) for one in series]


@dataclass(frozen=True)
class Marker:
    """A moment on the time axis with a short word, such as the start of a drain."""

    at: datetime
    label: str


@dataclass(frozen=True)
class NodeLoad:
    """What one node carries. `load` is in the unit of the chart, None if unknown; `state` says why it is not in service."""

    name: str
    load: float | None
    state: str = ""


@dataclass(frozen=True)
class PhaseStep:
    """One phase of a server's way: `state` is done, current, waiting, todo, skipped or failed."""

    key: str
    label: str
    state: str
    note: str = ""


MOST_DIGITS = 1e15
"""From here on a float has no more digits that mean anything, and a row of them fills a page."""
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float | None, digits: int = 1) -> str:
    """Return a number as people read it: thin spaces between thousands, no empty decimals; None is "unknown"."""
    if value is None:
        return "unknown"
    if abs(value) >= MOST_DIGITS:
        mantissa, _, power = f"{value:.2e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}\u202f×\u202f10{str(int(power)).translate(RAISED)}"
    text = f"{value:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text == "-0":
        return "0"
    return text.replace(",", "\u202f")


def nice_ceiling(value: float) -> float:
    """Return the next round number (1, 2, 2.5 or 5 times a power of ten) at or above `value`; at least 1."""
    if not isfinite(value) or value <= 1:
        return 1.0
    power = 10 ** floor(log10(value))
    for step in (1, 2, 2.5, 5, 10):
        if value <= step * power:
            return float(step * power)
    return float(10 * power)


def _percent(value: float) -> str:
    return f"{max(0.0, min(100.0, value)):.2f}".rstrip("0").rstrip(".") + "%"


def _coordinate(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")


def _runs(points: Sequence[Point]) -> list[list[tuple[datetime, float]]]:
    """Return the stretches without a gap."""
    stretches: list[list[tuple[datetime, float]]] = []
    open_stretch: list[tuple[datetime, float]] = []
    for at, value in points:
        if value is None:
            if open_stretch:
                stretches.append(open_stretch)
            open_stretch = []
        else:
            open_stretch.append((at, value))
    if open_stretch:
        stretches.append(open_stretch)
    return stretches


def _last_known(points: Sequence[Point]) -> tuple[datetime, float] | None:
    return next(((at, value) for at, value in reversed(points) if value is not None), None)


def _open(css: str, height: int, title: str, description: str, extra: str = "") -> str:
    return (
        f'<svg class="chart {css}" role="img" width="100%" height="{height}" {extra}'
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
    )


def _stretch_path(
    stretch: Sequence[tuple[datetime, float]],
    x: Callable[[datetime], float],
    y: Callable[[float], float],
    *,
    step: bool = False,
) -> str:
    """Return path data; a single point becomes a short dash, so that it can be seen."""
    first_at, first = stretch[0]
    if len(stretch) == 1:
        return f"M{_coordinate(max(0.0, x(first_at) - 4))} {_coordinate(y(first))}h8"
    parts = [f"M{_coordinate(x(first_at))} {_coordinate(y(first))}"]
    for at, value in stretch[1:]:
        parts.append(
            f"H{_coordinate(x(at))}V{_coordinate(y(value))}"
            if step
            else f"L{_coordinate(x(at))} {_coordinate(y(value))}"
        )
    return "".join(parts)


def sparkline(
    points: Sequence[Point],
    *,
    title: str,
    unit: str = "",
    width: int = 160,
    height: int = 32,
    tone: str = "1",
) -> str:
    """Return a small line without axes for the last `points`, with a dot at the last known value.

    Zero is the bottom. Gaps stand for unknown values; where the newest one is unknown, the dot is hollow.
    """
    known = [value for _, value in points if value is not None]
    if not known:
        description = "No value is known yet."
        return (
            f'<svg class="chart spark is-empty" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title><desc>{description}</desc>'
            f'<line class="gap" x1="2" x2="{width - 2}" y1="{height - 3}" y2="{height - 3}"/></svg>'
        )
    start, end = points[0][0], points[-1][0]
    span = max((end - start).total_seconds(), 1.0)
    top = max(*known, 1.0)

    def x(at: datetime) -> float:
        return 3 + (at - start).total_seconds() / span * (width - 8)

    def y(value: float) -> float:
        return height - 3 - max(value, 0.0) / top * (height - 7)

    lines = "".join(f'<path class="line" d="{_stretch_path(run, x, y)}"/>' for run in _runs(points))
    areas = "".join(
        f'<path class="area" d="{_stretch_path(run, x, y)}V{height - 3}H{_coordinate(x(run[0][0]))}z"/>'
        for run in _runs(points)
        if len(run) > 1
    )
    last = _last_known(points)
    assert last is not None  # `known` is not empty
    newest_known = points[-1][1] is not None
    dot = f'<circle class="dot{"" if newest_known else " hollow"}" cx="{_coordinate(x(last[0]))}" cy="{_coordinate(y(last[1]))}" r="2.5"/>'
    now_text = f"now {number(last[1])}" if newest_known else f"last known {number(last[1])}, now unknown"
    description = f"From {number(known[0])} to {number(last[1])}{' ' + unit if unit else ''}, highest {number(max(known))}; {now_text}."
    return (
        f'<svg class="chart spark tone-{escape(tone)}" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title><desc>{escape(description)}</desc>'
        f'<line class="base" x1="0" x2="{width}" y1="{height - 2.5}" y2="{height - 2.5}"/>{areas}{lines}{dot}</svg>'
    )


def _time_ticks(start: datetime, end: datetime) -> list[datetime]:
    """Return three to six round moments between start and end."""
    span = (end - start).total_seconds()
    for step in (
        1,
        2,
        5,
        10,
        15,
        30,
        60,
        120,
        300,
        600,
        900,
        1800,
        3600,
        7200,
        10800,
        21600,
        43200,
        86400,
    ):
        if span / step <= 5:
            break
    else:
        step = ceil(span / 5 / 86400) * 86400
    first = ceil(start.timestamp() / step) * step
    return [datetime.fromtimestamp(at, UTC) for at in range(int(first), int(end.timestamp()) + 1, int(step))]


def _tick_text(local: datetime, span_s: float) -> str:
    """Return a moment on the time axis as finely as the whole of it asks for."""
    if span_s < 300:
        return f"{local:%H:%M:%S}"
    if span_s <= 2 * 86400:
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b}" if span_s <= 300 * 86400 else f"{local.day} {local:%b} {local:%y}"


def connections_chart(
    series: Sequence[Series],
    *,
    title: str,
    unit: str = "connections",
    markers: Sequence[Marker] = (),
    limit: float | None = None,
    limit_label: str = "limit",
    height: int = 180,
    zone_label: str = "UTC",
) -> str:
    """Return lines over time, made for connections running out; times on the axis are those of the points' zone.

    `unit` stands at the top of the axis; "" where the lines count different things, so that their labels say it.
    Each series ends in its last known value; gaps are unknown values. `limit` draws a dashed line across.
    Without any known value the chart says so instead of drawing an empty axis.
    """
    moments = [at for one in series for at, _ in one.points] + [marker.at for marker in markers]
    known = [value for one in series for _, value in one.points if value is not None]
    if not known or not moments:
        return (
            _open("plot is-empty", height, title, "No value is known yet.")
            + f'<text class="note" x="50%" y="{height // 2}" text-anchor="middle">no count reported yet</text></svg>'
        )
    start, end = min(moments), max(moments)
    span = max((end - start).total_seconds(), 1.0)
    top = nice_ceiling(max([*known, limit or 0.0]))
    plot_top, plot_height = 20, height - 42
    right_room = 0.93  # the last values are written to the right of the lines

    def share(at: datetime) -> float:
        return (at - start).total_seconds() / span * right_room

    def x(at: datetime) -> float:
        return share(at) * UNIT

    def y(value: float) -> float:
        return UNIT - max(value, 0.0) / top * UNIT

    def y_px(value: float) -> float:
        return plot_top + y(value) / UNIT * plot_height

    grid = []
    for value in (0.0, top / 2, top):
        at = _coordinate(y_px(value))
        grid.append(
            f'<line class="{"base" if value == 0 else "grid"}" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
        )
        if value:
            words = f"{number(value)} {unit}" if unit and value == top else number(value)
            grid.append(f'<text class="tick" x="0" y="{_coordinate(y_px(value) - 4)}">{escape(words)}</text>')
    axis = []
    zone = start.tzinfo
    for tick in _time_ticks(start, end):
        where = share(tick) * 100
        # The zone's name stands at the right end, and a longer one needs more of the line.
        if where < 4 or where > (88 if len(zone_label) < 5 else 72):
            continue
        axis.append(
            f'<line class="grid" x1="{_percent(where)}" x2="{_percent(where)}" y1="{plot_top + plot_height}" y2="{plot_top + plot_height + 4}"/>'
        )
        axis.append(
            f'<text class="tick" x="{_percent(where)}" y="{height - 6}" text-anchor="middle">{_tick_text(tick.astimezone(zone), span)}</text>'
        )
    axis.append(f'<text class="tick" x="100%" y="{height - 6}" text-anchor="end">{escape(zone_label)}</text>')
    extras = []
    if limit is not None:
        at = _coordinate(y_px(limit))
        extras.append(f'<line class="limit" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        extras.append(
            f'<text class="limit-label" x="100%" y="{_coordinate(y_px(limit) - 4)}" text-anchor="end">{escape(limit_label)} {number(limit)}</text>'
        )
    for marker in markers:
        where = share(marker.at) * 100
        anchor = "start" if where < 70 else "end"
        extras.append(
            f'<line class="marker" x1="{_percent(where)}" x2="{_percent(where)}" y1="{plot_top - 6}" y2="{plot_top + plot_height}"/>'
        )
        extras.append(
            f'<text class="marker-label" x="{_percent(where)}" y="10" text-anchor="{anchor}">{escape(marker.label)}</text>'
        )
    body, ends, told = [], [], []
    for one in series:
        css = f"line tone-{escape(one.tone)}{' dashed' if one.dashed else ''}"
        body += [
            f'<path class="{css}" vector-effect="non-scaling-stroke" d="{_stretch_path(run, x, y)}"/>'
            for run in _runs(one.points)
        ]
        last = _last_known(one.points)
        if last is None:
            told.append(f"{one.label}: unknown")
            continue
        stale = one.points[-1][1] is None
        where = share(last[0]) * 100
        ends.append(
            f'<circle class="dot tone-{escape(one.tone)}{" hollow" if stale else ""}" cx="{_percent(where)}" cy="{_coordinate(y_px(last[1]))}" r="3"/>'
            f'<text class="value tone-{escape(one.tone)}" x="{_percent(where)}" dx="7" y="{_coordinate(y_px(last[1]) + 4)}">{number(last[1])}</text>'
        )
        told.append(f"{one.label}: {number(last[1])}{' (last known; now unknown)' if stale else ''}")
    until = f"{end:%H:%M:%S}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M:%S}"
    description = (
        f"{unit.capitalize() or 'Values'} from {start:%Y-%m-%d %H:%M:%S} to {until} {zone_label}. "
        + "; ".join(told)
        + "."
    )
    return (
        _open("plot", height, title, description)
        + "".join(grid)
        + "".join(axis)
        + f'<svg x="0" y="{plot_top}" width="100%" height="{plot_height}" viewBox="0 0 {UNIT} {UNIT}" preserveAspectRatio="none">'
        + "".join(body)
        + "</svg>"
        + "".join(extras)
        + "".join(ends)
        + "</svg>"
    )


def load_bars(
    nodes: Sequence[NodeLoad],
    *,
    title: str,
    ceiling: float | None,
    guard: float | None = None,
    floor_count: int | None = None,
    in_service: int | None = None,
    unit: str = "req/s",
    plain: bool = False,
) -> str:
    """Return one bar per node against the ceiling (the most one node carries) and the guard (where the run turns back).

    Where `floor_count` is given, a last line says how many nodes are in service and the fewest allowed;
    `in_service` None means that this could not be counted. A node of unknown load has a hatched bar and
    the word *unknown*. Without a ceiling the bars compare with each other only, and the chart says so.
    `plain` uses the customers' words for ceiling and guard.
    """
    ceiling_word = "carries at most" if plain else "ceiling"
    guard_word = "turns back at" if plain else "guard"
    known = [node.load for node in nodes if node.load is not None]
    top = max([*known, ceiling or 0.0, guard or 0.0, 0.0]) * 1.08
    top = top if top > 0 else 1.0
    row, head = 36, 26
    height = head + row * len(nodes) + (24 if floor_count is not None else 4)
    parts: list[str] = []
    told: list[str] = []
    bars_end = head + row * len(nodes)
    for index, node in enumerate(nodes):
        y = head + row * index
        parts.append(f'<text class="name" x="0" y="{y + 11}">{escape(node.name)}</text>')
        over = node.load is not None and ceiling is not None and node.load > ceiling
        warned = node.load is not None and guard is not None and node.load > guard
        tone = "over" if over else "guarded" if warned else "calm"
        value = f"{number(node.load)} {unit}" if node.load is not None else "unknown"
        if node.load is not None and ceiling:
            value += f" · {number(node.load / ceiling * 100, 0)} %"
        if over:
            value += " · more than one carries" if plain else " · over the ceiling"
        elif warned:
            value += " · high" if plain else " · over the guard"
        if node.state:
            value = f"{node.state} · {value}"
        parts.append(f'<text class="value" x="100%" y="{y + 11}" text-anchor="end">{escape(value)}</text>')
        parts.append(f'<rect class="well" x="0" y="{y + 18}" width="100%" height="7"/>')
        if node.load is None:
            parts.append(f'<line class="gap" x1="0" x2="100%" y1="{y + 21.5}" y2="{y + 21.5}"/>')
        else:
            parts.append(
                f'<rect class="bar {tone}" x="0" y="{y + 18}" width="{_percent(node.load / top * 100)}" height="7"/>'
            )
        told.append(f"{node.name}: {value}")
    marks = [(css, at) for css, at in (("guard", guard), ("ceiling", ceiling)) if at is not None]
    left = 0.0
    for css, at in marks:
        where = _percent(at / top * 100)
        # Short strokes over each bar, so that no line runs through the figures; what they mean stands on top.
        for index in range(len(nodes)):
            y = head + row * index + 15
            parts.append(f'<line class="{css}" x1="{where}" x2="{where}" y1="{y}" y2="{y + 13}"/>')
        words = f"{ceiling_word if css == 'ceiling' else guard_word} {number(at)} {unit}"
        parts.append(f'<line class="{css}" x1="{left + 1.5:.1f}" x2="{left + 1.5:.1f}" y1="0" y2="11"/>')
        parts.append(f'<text class="tick" x="{left + 8:.1f}" y="9">{escape(words)}</text>')
        left += 8 + 6.4 * len(words) + 18
    if floor_count is not None:
        counted = "unknown" if in_service is None else str(in_service)
        parts.append(
            f'<text class="tick" x="0" y="{bars_end + 15}">{counted} in service · never fewer than {floor_count}</text>'
        )
        told.append(f"{counted} in service, never fewer than {floor_count}")
    against = (
        f"{ceiling_word} {number(ceiling)} {unit}"
        if ceiling is not None
        else "not known how much one carries"
        if plain
        else "no ceiling is known"
    )
    description = f"{against[0].upper()}{against[1:]}. " + "; ".join(told) + "."
    return _open("loads", height, title, description) + "".join(parts) + "</svg>"


@dataclass(frozen=True)
class CurvePoint:
    """A curve at one place of its axis, with its interval; None where there is none."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Dot:
    """A measured value. `tone` is a class suffix; one of the tone `bad` is a cross, so that colour alone does not tell it."""

    x: float
    y: float
    tone: str = "1"


def curve_chart(
    curve: Sequence[CurvePoint],
    dots: Sequence[Dot],
    *,
    title: str,
    x_unit: str,
    unit: str,
    limit: float | None = None,
    limit_label: str = "limit",
    height: int = 240,
) -> str:
    """Return measured dots over a number (not a time) with the curve through them and its interval as a band.

    Without a dot the chart says so instead of drawing an empty axis.
    """
    if not dots:
        return (
            _open("plot is-empty", height, title, "Nothing was measured.")
            + f'<text class="note" x="50%" y="{height // 2}" text-anchor="middle">nothing was measured</text></svg>'
        )
    right = nice_ceiling(max([dot.x for dot in dots] + [one.x for one in curve]))
    highs = [one.y if one.high is None else one.high for one in curve]
    top = nice_ceiling(max([dot.y for dot in dots] + highs + [limit or 0.0]))
    plot_top, plot_height = 20, height - 58

    def x(value: float) -> float:
        return value / right * UNIT

    def y(value: float) -> float:
        return UNIT - min(max(value, 0.0), top) / top * UNIT

    def y_px(value: float) -> float:
        return plot_top + y(value) / UNIT * plot_height

    parts = []
    for value in (0.0, top / 2, top):
        at = _coordinate(y_px(value))
        parts.append(
            f'<line class="{"base" if value == 0 else "grid"}" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
        )
        if value:
            words = f"{number(value)} {unit}" if value == top else number(value)
            parts.append(
                f'<text class="tick" x="0" y="{_coordinate(y_px(value) - 4)}">{escape(words)}</text>'
            )
    bottom = plot_top + plot_height
    for share in (0.25, 0.5, 0.75, 1.0):
        anchor = "end" if share == 1.0 else "middle"
        parts.append(
            f'<text class="tick" x="{_percent(share * 100)}" y="{bottom + 16}" text-anchor="{anchor}">{number(right * share)}</text>'
        )
    parts.append(f'<text class="note" x="50%" y="{bottom + 32}" text-anchor="middle">{escape(x_unit)}</text>')
    inner = []
    banded = [one for one in curve if one.low is not None and one.high is not None]
    if len(banded) > 1:
        up = "L".join(f"{_coordinate(x(one.x))} {_coordinate(y(one.high or 0.0))}" for one in banded)
        down = "L".join(
            f"{_coordinate(x(one.x))} {_coordinate(y(one.low or 0.0))}" for one in reversed(banded)
        )
        inner.append(f'<path class="area" d="M{up}L{down}z"/>')
    if len(curve) > 1:
        path = "L".join(f"{_coordinate(x(one.x))} {_coordinate(y(one.y))}" for one in curve)
        inner.append(f'<path class="line" vector-effect="non-scaling-stroke" d="M{path}"/>')
    extras = []
    if limit is not None:
        at = _coordinate(y_px(limit))
        extras.append(f'<line class="limit" x1="0" x2="100%" y1="{at}" y2="{at}"/>')
        extras.append(
            f'<text class="limit-label" x="100%" y="{_coordinate(y_px(limit) - 4)}" text-anchor="end">{escape(limit_label)} {number(limit)}</text>'
        )
    for dot in dots:
        at_x, at_y = _percent(dot.x / right * 100), _coordinate(y_px(dot.y))
        extras.append(
            f'<svg class="cross tone-bad" x="{at_x}" y="{at_y}" overflow="visible"><path d="m-4.5-4.5 9 9m0-9-9 9"/></svg>'
            if dot.tone == "bad"
            else f'<circle class="dot tone-{escape(dot.tone)}" cx="{at_x}" cy="{at_y}" r="4"/>'
        )
    told = "; ".join(
        f"{number(dot.x)}: {number(dot.y)} {unit}{', a cross' if dot.tone == 'bad' else ''}" for dot in dots
    )
    drawn = " A curve is drawn through them." if len(curve) > 1 else ""
    return (
        _open("plot", height, title, f"By {x_unit}. {told}.{drawn}")
        + "".join(parts)
        + f'<svg x="0" y="{plot_top}" width="100%" height="{plot_height}" viewBox="0 0 {UNIT} {UNIT}" preserveAspectRatio="none">'
        + "".join(inner)
        + "</svg>"
        + "".join(extras)
        + "</svg>"
    )


def curve_zoom(
    curve: Sequence[CurvePoint], dots: Sequence[Dot], *, x_unit: str, unit: str, limit: float | None = None
) -> dict[str, Any]:
    """Return what the script of charts that one can zoom into (plot.js) takes of a curve chart: lines over a number."""

    def line(
        label: str, tone: str, points: Sequence[tuple[float, float | None]], **more: Any
    ) -> dict[str, Any]:
        listed = sorted(points)
        return {
            "label": label,
            "tone": tone,
            "times": [one[0] for one in listed],
            "values": [one[1] for one in listed],
            **more,
        }

    good = [(dot.x, dot.y) for dot in dots if dot.tone != "bad"]
    bad = [(dot.x, dot.y) for dot in dots if dot.tone == "bad"]
    banded = [one for one in curve if one.low is not None and one.high is not None]
    lines = [
        line("measured", "1", good, are_dots=True),
        line("outside of what is promised", "bad", bad, are_dots=True),
        line("curve", "2", [(one.x, one.y) for one in curve]),
        line("95 % from", "2", [(one.x, one.low) for one in banded], dashed=True),
        line("to", "2", [(one.x, one.high) for one in banded], dashed=True),
    ]
    return {"series": [one for one in lines if one["times"]], "unit": unit, "limit": limit, "along": x_unit}


@dataclass(frozen=True)
class Pair:
    """Two values of the same thing. None is unknown; `tone` is that of the second bar."""

    label: str
    first: float | None
    second: float | None
    tone: str = "2"


def paired_bars(pairs: Sequence[Pair], *, title: str, unit: str, first_label: str, second_label: str) -> str:
    """Return two bars for each pair, one below the other, on one scale. An unknown value has no bar and the word *unknown*."""
    known = [value for one in pairs for value in (one.first, one.second) if value is not None]
    top = max([*known, 0.0]) * 1.02 or 1.0
    row, head = 48, 4
    parts, told = [], []
    for index, one in enumerate(pairs):
        y = head + row * index
        first, second = (
            "unknown" if value is None else f"{number(value)} {unit}" for value in (one.first, one.second)
        )
        parts.append(f'<text class="name" x="0" y="{y + 11}">{escape(one.label)}</text>')
        parts.append(
            f'<text class="value" x="100%" y="{y + 11}" text-anchor="end">{escape(first)} → {escape(second)}</text>'
        )
        for place, value, tone in ((18, one.first, "1"), (29, one.second, one.tone)):
            parts.append(f'<rect class="well" x="0" y="{y + place}" width="100%" height="7"/>')
            if value is not None:
                parts.append(
                    f'<rect class="bar tone-{escape(tone)}" x="0" y="{y + place}" width="{_percent(value / top * 100)}" height="7"/>'
                )
        told.append(f"{one.label}: {first_label} {first}, {second_label} {second}")
    description = "; ".join(told) + "." if told else "There is nothing to compare."
    return _open("loads", head + row * len(pairs), title, description) + "".join(parts) + "</svg>"


@dataclass(frozen=True)
class TimedDot:
    """A moment on a lane: seconds since the beginning of the axis, its number in the table beside, and what it is called."""

    at_s: float
    number: int
    label: str
    tone: str = "1"


@dataclass(frozen=True)
class TimedLane:
    """One lane of moments. `limit_s` draws by when something was to be, with its words."""

    label: str
    dots: Sequence[TimedDot]
    limit_s: float | None = None
    limit_label: str = ""


DOT_ROOM = 6.5
"""How much of the width, in percent, a numbered dot needs on a phone."""


def stacked(places: Sequence[float], room: float = DOT_ROOM) -> list[int]:
    """Return on which level each dot stands, so that none covers another; places rise, and level 0 is the lane itself."""
    ends: list[float] = []
    found = []
    for place in places:
        level = next((number for number, end in enumerate(ends) if place - end >= room), len(ends))
        if level == len(ends):
            ends.append(place)
        else:
            ends[level] = place
        found.append(level)
    return found


def spoken(seconds: float) -> str:
    """Return a time on an axis of lengths: 45 s, 5 min, 1 h 30 min; before its beginning with a minus sign."""
    sign, rest = ("\u2212" if seconds < 0 else ""), round(abs(seconds))
    if rest < 120:
        return f"{sign}{rest} s" if rest else "0"
    hours, minutes = divmod(rest // 60, 60)
    left = rest % 60
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{left} s" if left else ""]
    return sign + " ".join(part for part in parts if part)


def _length_ticks(start: float, end: float) -> list[float]:
    """Return up to six round lengths between start and end, zero among them."""
    span = max(end - start, 1.0)
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
    step = next((one for one in steps if span / one <= 5), ceil(span / 5 / 86400) * 86400)
    return [float(at) for at in range(ceil(start / step) * step, floor(end) + 1, step)]


def lanes_chart(
    lanes: Sequence[TimedLane],
    *,
    title: str,
    zero_label: str,
    span: tuple[float, float] | None = None,
    span_label: str = "",
) -> str:
    """Return lanes of numbered moments on one axis of lengths; `span` is shaded over all lanes, with its words.

    Dots that would cover each other are stacked. Their numbers are those of the table beside, which says the words.
    Without a moment the chart says so.
    """
    dots = [dot for lane in lanes for dot in lane.dots]
    if not dots:
        return (
            _open("axis is-empty", 60, title, "No moment is known.")
            + '<text class="note" x="50%" y="30" text-anchor="middle">no moment is known</text></svg>'
        )
    # A limit far beyond everything that happened is told in the description alone: it must not press the moments together.
    first, last = min(0.0, *(dot.at_s for dot in dots)), max(0.0, *(dot.at_s for dot in dots))
    limits = [lane.limit_s for lane in lanes if lane.limit_s is not None]
    last = max([last, *(one for one in limits if one <= 2 * max(last, 60.0))])
    length = max(last - first, 1.0)

    def x(at_s: float) -> float:
        return 4.0 + (at_s - first) / length * 92.0

    row, head, foot = 24, 22, 24
    parts: list[str] = []
    told: list[str] = []
    top = 6
    bodies: list[str] = []
    for lane in lanes:
        ordered = sorted(lane.dots, key=lambda dot: (dot.at_s, dot.number))
        levels = stacked([x(dot.at_s) for dot in ordered])
        base = top + head + row * max([1, *(level + 1 for level in levels)]) - row // 2
        bodies.append(f'<text class="name" x="0" y="{top + 12}">{escape(lane.label)}</text>')
        bodies.append(f'<line class="base" x1="0" x2="100%" y1="{base}" y2="{base}"/>')
        if lane.limit_s is not None and lane.limit_s <= last:
            at = _percent(x(lane.limit_s))
            anchor = "end" if x(lane.limit_s) > 50 else "start"
            bodies.append(f'<line class="limit" x1="{at}" x2="{at}" y1="{top + 16}" y2="{base + 10}"/>')
            bodies.append(
                f'<text class="limit-label" x="{at}" y="{top + 12}" text-anchor="{anchor}">{escape(lane.limit_label)}</text>'
            )
        for dot, level in zip(ordered, levels, strict=True):
            at, y = _percent(x(dot.at_s)), base - row * level
            if level:
                bodies.append(f'<line class="marker" x1="{at}" x2="{at}" y1="{y}" y2="{base}"/>')
            bodies.append(
                f'<g><title>{escape(f"{dot.number}. {dot.label}")}</title><circle class="stop tone-{escape(dot.tone)}" cx="{at}" cy="{y}" r="9"/>'
                f'<text class="number" x="{at}" y="{y + 4}" text-anchor="middle">{dot.number}</text></g>'
            )
            told.append(f"{dot.number}, {lane.label}, {spoken(dot.at_s)}: {dot.label}")
        if lane.limit_s is not None:
            told.append(f"{lane.label}: {lane.limit_label}, {spoken(lane.limit_s)}")
        top = base + 18
    bottom = top
    if span is not None:
        left, right = x(max(span[0], first)), x(min(span[1], last))
        parts.append(
            f'<rect class="span" x="{_percent(left)}" width="{_percent(max(right - left, 0.3))}" y="20" height="{bottom - 20}"/>'
        )
        told.append(f"{span_label}: {spoken(span[0])} to {spoken(span[1])}")
    for tick in _length_ticks(first, last):
        where = x(tick)
        anchor = "end" if where > 92 else "start" if where < 8 else "middle"
        parts.append(
            f'<line class="grid" x1="{_percent(where)}" x2="{_percent(where)}" y1="{bottom - 4}" y2="{bottom + 4}"/>'
            f'<text class="tick" x="{_percent(where)}" y="{bottom + 17}" text-anchor="{anchor}">{spoken(tick)}</text>'
        )
    description = f"Times count {zero_label}. " + "; ".join(told) + "."
    return _open("axis", bottom + foot, title, description) + "".join(parts + bodies) + "</svg>"


def phase_track(phases: Sequence[PhaseStep], *, title: str) -> str:
    """Return the way of one server as a row of stations: done, current, still to come, left out or failed.

    The station's shape tells its state as well as its colour: a filled dot (done), a ring with a core
    (current), an empty ring (to come), a stroke (left out), a cross (failed).
    """
    if not phases:
        raise ValueError("a phase track needs at least one phase")
    count = len(phases)
    height = 40
    middle = 12
    parts: list[str] = []
    centres = [(index + 0.5) / count * 100 for index in range(count)]
    for left, right, phase in zip(centres, centres[1:], phases[1:], strict=False):
        css = "rail done" if phase.state in ("done", "current", "failed", "waiting") else "rail"
        parts.append(
            f'<line class="{css}" x1="{_percent(left)}" x2="{_percent(right)}" y1="{middle}" y2="{middle}"/>'
        )
    for centre, phase in zip(centres, phases, strict=True):
        x = _percent(centre)
        state = escape(phase.state)
        parts.append(
            f'<circle class="stop {state}" cx="{x}" cy="{middle}" r="{7 if phase.state in ("current", "failed") else 5}"/>'
        )
        if phase.state in ("current", "waiting"):
            parts.append(f'<circle class="core {state}" cx="{x}" cy="{middle}" r="3"/>')
        elif phase.state == "failed":
            parts.append(
                f'<svg class="mark" x="{x}" y="{middle}" overflow="visible"><path d="m-3-3 6 6m0-6-6 6"/></svg>'
            )
        elif phase.state == "skipped":
            parts.append(
                f'<svg class="mark" x="{x}" y="{middle}" overflow="visible"><path d="M-3 0h6"/></svg>'
            )
        label = escape(phase.label)
        parts.append(
            f'<text class="label {state}" x="{x}" y="{middle + 23}" text-anchor="middle">{label}</text>'
        )
    words = {
        "done": "done",
        "current": "now",
        "todo": "to come",
        "skipped": "left out",
        "failed": "failed",
    }
    told = "; ".join(
        f"{phase.label}: {words.get(phase.state, phase.state)}{' – ' + phase.note if phase.note else ''}"
        for phase in phases
    )
    return _open("track", height, title, told + ".") + "".join(parts) + "</svg>"


@dataclass(frozen=True)
class TableRow:
    """One moment of several series; a value is None where nothing is known at that moment."""

    at: datetime
    values: tuple[float | None, ...]


def table_of(series: Sequence[Series], *, most: int = 240) -> tuple[list[TableRow], int]:
    """Return the series as rows of a table, and how many moments there are in all.

    Above `most` moments the rows are thinned evenly; the first, the last and the highest of each series always stay.
    """
    if most < 2:
        raise ValueError("a table needs room for its first and its last row")
    columns = [dict(one.points) for one in series]
    moments = sorted({at for column in columns for at in column})
    total = len(moments)
    if total > most:
        kept = {moments[round(index * (total - 1) / (most - 1))] for index in range(most)}
        # Whoever reads the table in the place of the chart is to meet its peak.
        kept |= {at for one in series if (at := _highest(one.points)) is not None}
        moments = sorted(kept)
    return [TableRow(at, tuple(column.get(at) for column in columns)) for at in moments], total


def _highest(points: Sequence[Point]) -> datetime | None:
    known = [(value, at) for at, value in points if value is not None]
    return max(known)[1] if known else None


def zoom_data(series: Sequence[Series], *, title: str, unit: str, limit: float | None) -> dict[str, object]:
    """Return what `static/js/plot.js` draws: times in seconds since 1970, unknown values as null."""
    return {
        "title": title,
        "unit": unit,
        "limit": limit,
        "series": [
            {
                "label": one.label,
                "tone": one.tone,
                "dashed": one.dashed,
                "times": [at.timestamp() for at, _ in one.points],
                "values": [value for _, value in one.points],
            }
            for one in series
        ],
    }
