"""Charts are SVG that says in words what it draws, and never draws an unknown value as zero."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from portal.ui.charts import (
    CurvePoint,
    Dot,
    Marker,
    NodeLoad,
    Pair,
    PhaseStep,
    Series,
    TimedDot,
    TimedLane,
    connections_chart,
    curve_chart,
    in_zone,
    lanes_chart,
    load_bars,
    nice_ceiling,
    number,
    paired_bars,
    phase_track,
    sparkline,
    spoken,
    stacked,
    table_of,
)

SVG = "{http://www.w3.org/2000/svg}"
START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NASTY = 'web-1"><script>alert(1)</script>&'


def points(*values: float | None, every_s: int = 10) -> list[tuple[datetime, float | None]]:
    return [(START + timedelta(seconds=every_s * index), value) for index, value in enumerate(values)]


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def description(svg: str) -> str:
    return parse(svg).findtext(f"{SVG}desc") or ""


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in parse(svg).iter(f"{SVG}text")]


ALL = {
    "sparkline": lambda text: sparkline(points(3, 2, None, 1), title=text, unit=text),
    "empty sparkline": lambda text: sparkline(points(None, None), title=text),
    "connections": lambda text: connections_chart(
        [Series(text, points(9, 4, None, 1)), Series("b", points(2, 2), tone="2")],
        title=text,
        markers=[Marker(START, text)],
        limit=8,
        limit_label=text,
        zone_label=text,
    ),
    "empty connections": lambda text: connections_chart([Series(text, [])], title=text),
    "loads": lambda text: load_bars(
        [NodeLoad(text, 50, text), NodeLoad("b", None)],
        title=text,
        ceiling=100,
        guard=80,
        floor_count=2,
        in_service=None,
        unit=text,
    ),
    "curve": lambda text: curve_chart(
        [CurvePoint(1, 2.0, 1.0, 3.0), CurvePoint(9, 8.0, 7.0, 9.0)],
        [Dot(1, 2.0, text), Dot(9, 8.0)],
        title=text,
        x_unit=text,
        unit=text,
        limit=7.0,
        limit_label=text,
    ),
    "empty curve": lambda text: curve_chart([], [], title=text, x_unit=text, unit=text),
    "pairs": lambda text: paired_bars(
        [Pair(text, 1.0, 2.0, text), Pair("b", None, 3.0)],
        title=text,
        unit=text,
        first_label=text,
        second_label=text,
    ),
    "lanes": lambda text: lanes_chart(
        [TimedLane(text, [TimedDot(5.0, 1, text, text), TimedDot(6.0, 2, text)], 60.0, text)],
        title=text,
        zero_label=text,
        span=(0.0, 4.0),
        span_label=text,
    ),
    "empty lanes": lambda text: lanes_chart([TimedLane(text, [])], title=text, zero_label=text),
    "phases": lambda text: phase_track([PhaseStep("a", text, "current", text)], title=text),
}


@pytest.mark.parametrize("name", ALL)
def test_a_chart_has_a_role_a_title_and_a_description(name):
    root = parse(ALL[name]("Connections of web-12"))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Connections of web-12"
    assert root.findtext(f"{SVG}desc")


@pytest.mark.parametrize("name", ALL)
def test_text_from_people_cannot_break_out_of_a_chart(name):
    svg = ALL[name](NASTY)
    assert "<script" not in svg
    assert NASTY in (parse(svg).findtext(f"{SVG}title") or "")


@pytest.mark.parametrize("name", ALL)
def test_a_chart_carries_no_style_attribute_and_no_handler(name):
    for element in parse(ALL[name]("x")).iter():
        assert not [key for key in element.attrib if key == "style" or key.startswith("on")]


def test_unknown_values_leave_a_gap_in_the_line():
    svg = connections_chart([Series("web-12", points(9, 8, None, 5, 4))], title="t")
    assert len(re.findall(r'<path class="line', svg)) == 2


def test_a_single_known_value_between_gaps_is_still_drawn():
    svg = sparkline(points(None, 7, None), title="t")
    assert len(re.findall(r'<path class="line"', svg)) == 1


def test_the_last_known_value_is_labelled_and_said_to_be_old_when_the_newest_is_unknown():
    svg = connections_chart([Series("web-12", points(9, 4, None))], title="t")
    assert "4" in texts(svg)
    assert "web-12: 4 (last known; now unknown)" in description(svg)
    assert "hollow" in svg


def test_a_drain_that_ran_out_shows_its_zero():
    svg = connections_chart([Series("web-12", points(9, 4, 0))], title="t")
    assert "0" in texts(svg)
    assert "web-12: 0." in description(svg)


def test_without_any_count_the_chart_says_so():
    svg = connections_chart([Series("web-12", points(None, None))], title="t")
    assert texts(svg) == ["no count reported yet"]
    assert "0" not in "".join(texts(svg))


def test_lines_stay_inside_the_drawing():
    svg = connections_chart([Series("a", points(0, 1000, 3))], title="t", limit=1200)
    data = re.findall(r' d="([^"]+)"', svg)
    numbers = [float(value) for one in data for value in re.findall(r"-?\d+(?:\.\d+)?", one)]
    assert min(numbers) >= 0
    assert max(numbers) <= 1000


def test_the_time_axis_is_in_the_zone_of_the_points():
    zone = ZoneInfo("Europe/Berlin")
    local = [(at.astimezone(zone), value) for at, value in points(5, 4, 3, 2, 1, every_s=600)]
    svg = connections_chart([Series("a", local)], title="t", zone_label="Berlin")
    assert any(text.startswith("13:") for text in texts(svg))
    assert "Berlin" in texts(svg)


def test_a_load_bar_is_as_long_as_its_share_and_says_when_it_is_over():
    svg = load_bars(
        [NodeLoad("web-1", 50), NodeLoad("web-2", 85), NodeLoad("web-3", 120)],
        title="t",
        ceiling=100,
        guard=80,
    )
    bars = [node for node in parse(svg).iter(f"{SVG}rect") if "bar" in (node.get("class") or "")]
    widths = [float((bar.get("width") or "").rstrip("%")) for bar in bars]
    assert widths[1] / widths[0] == pytest.approx(85 / 50, abs=0.01)
    assert [bar.get("class") for bar in bars] == ["bar calm", "bar guarded", "bar over"]
    assert "web-2: 85 req/s · 85 % · over the guard" in description(svg)
    assert "web-3: 120 req/s · 120 % · over the ceiling" in description(svg)


@pytest.mark.parametrize(
    ("load", "tone"), [(80, "calm"), (80.1, "guarded"), (100, "guarded"), (100.1, "over")]
)
def test_guard_and_ceiling_are_passed_only_above_them(load, tone):
    assert f'class="bar {tone}"' in load_bars([NodeLoad("a", load)], title="t", ceiling=100, guard=80)


def test_a_node_of_unknown_load_has_no_bar_and_the_word():
    svg = load_bars([NodeLoad("web-1", None)], title="t", ceiling=100)
    assert 'class="bar' not in svg
    assert "web-1: unknown" in description(svg)


def test_without_a_ceiling_the_chart_says_that_none_is_known():
    svg = load_bars([NodeLoad("web-1", 0)], title="t", ceiling=None)
    assert "No ceiling is known" in description(svg)
    assert "%" not in description(svg)


def test_the_floor_is_told_and_an_uncounted_pool_is_unknown():
    svg = load_bars([NodeLoad("web-1", 5)], title="t", ceiling=None, floor_count=2, in_service=None)
    assert "unknown in service · never fewer than 2" in texts(svg)


def test_a_phase_track_tells_each_station_in_words():
    svg = phase_track(
        [
            PhaseStep("queued", "queued", "done"),
            PhaseStep("draining", "drain", "current", "2 open"),
            PhaseStep("held", "hold", "skipped"),
            PhaseStep("deleting", "delete", "failed"),
            PhaseStep("retired", "retired", "todo"),
        ],
        title="web-12",
    )
    assert description(svg) == (
        "queued: done; drain: now – 2 open; hold: left out; delete: failed; retired: to come."
    )


def test_a_phase_track_without_phases_is_refused():
    with pytest.raises(ValueError, match="at least one phase"):
        phase_track([], title="t")


@pytest.mark.parametrize(
    ("value", "rounded"), [(0, 1), (1, 1), (1.1, 2), (2.1, 2.5), (48, 50), (51, 100), (100, 100), (101, 200)]
)
def test_the_axis_ends_at_a_round_number(value, rounded):
    assert nice_ceiling(value) == rounded


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0, "0"),
        (12.0, "12"),
        (12.34, "12.3"),
        (1234567, "1\u202f234\u202f567"),
        (-1.6545e99, "-1.65\u202f×\u202f10⁹⁹"),
        (1e15, "1\u202f×\u202f10¹⁵"),
    ],
)
def test_numbers_read_as_people_write_them(value, text):
    assert number(value) == text


def test_the_table_of_a_chart_has_a_row_per_moment_and_unknown_where_a_series_has_none():
    rows, total = table_of([Series("a", points(9, None)), Series("b", points(1, 2, 3))])
    assert [row.values for row in rows] == [(9, 1), (None, 2), (None, 3)]
    assert total == 3


def test_a_long_table_is_thinned_and_keeps_its_ends_and_its_peak():
    rows, total = table_of([Series("a", points(*range(1000)))], most=50)
    assert (len(rows), total) == (50, 1000)
    assert (rows[0].values, rows[-1].values) == ((0,), (999,))
    peaked = [*range(501), 9999, *range(498)]
    rows, _ = table_of([Series("a", points(*peaked)), Series("b", points(*[None] * 1000))], most=50)
    assert max(row.values[0] for row in rows) == 9999


def test_a_curve_lies_inside_its_drawing_with_its_band_and_its_dots():
    svg = curve_chart(
        [CurvePoint(n, n * 3.0, n * 2.0, n * 4.0) for n in range(1, 10)],
        [Dot(2, 6.0), Dot(8, 24.0)],
        title="t",
        x_unit="users",
        unit="req/s",
    )
    data = re.findall(r' d="([^"]+)"', svg)
    numbers = [float(value) for one in data for value in re.findall(r"-?\d+(?:\.\d+)?", one)]
    assert (min(numbers) >= 0, max(numbers) <= 1000) == (True, True)
    assert (svg.count('class="area"'), svg.count("<circle")) == (1, 2)
    assert "2: 6 req/s; 8: 24 req/s. A curve is drawn through them." in description(svg)


def test_measured_values_without_a_curve_are_dots_alone():
    svg = curve_chart([], [Dot(2, 6.0)], title="t", x_unit="users", unit="req/s")
    assert 'class="line"' not in svg
    assert "curve" not in description(svg)


def test_a_step_that_fails_is_a_cross_and_not_told_by_colour_alone():
    svg = curve_chart([], [Dot(2, 6.0), Dot(3, 5.0, "bad")], title="t", x_unit="users", unit="req/s")
    assert (svg.count("<circle"), svg.count('class="cross')) == (1, 1)
    assert "2: 6 req/s; 3: 5 req/s, a cross." in description(svg)


def test_the_axis_says_what_it_counts_where_all_lines_count_the_same():
    lines = [Series("a", points(9, 4))]
    assert "10 ms" in texts(connections_chart(lines, title="t", unit="ms"))
    mixed = connections_chart(lines, title="t", unit="")
    assert "10" in texts(mixed)
    assert description(mixed).startswith("Values from ")


def test_of_a_pair_the_unknown_one_has_no_bar_and_says_unknown():
    svg = paired_bars(
        [Pair("p95", 100.0, None), Pair("p50", 50.0, 25.0)],
        title="t",
        unit="ms",
        first_label="baseline",
        second_label="newer",
    )
    assert svg.count('class="bar') == 3
    assert "p95: baseline 100 ms, newer unknown; p50: baseline 50 ms, newer 25 ms." in description(svg)
    widths = re.findall(r'class="bar [^"]+" x="0" y="\d+" width="([\d.]+)%"', svg)
    assert float(widths[1]) == pytest.approx(float(widths[0]) / 2, abs=0.01)
    assert float(widths[2]) == pytest.approx(float(widths[0]) / 4, abs=0.01)


def test_moments_that_would_cover_each_other_are_stacked():
    assert stacked([0.0, 10.0, 20.0], 5.0) == [0, 0, 0]
    assert stacked([0.0, 1.0, 2.0, 6.0], 5.0) == [0, 1, 2, 0]
    assert stacked([0.0, 5.0], 5.0) == [0, 0]
    assert stacked([]) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0"),
        (-60, "\u221260 s"),
        (119, "119 s"),
        (120, "2 min"),
        (400, "6 min 40 s"),
        (5400, "1 h 30 min"),
    ],
)
def test_lengths_on_an_axis_are_said_shortly(seconds, said):
    assert spoken(seconds) == said


def test_lanes_tell_each_moment_with_its_number_and_its_time():
    svg = lanes_chart(
        [
            TimedLane("People", [TimedDot(90.0, 2, "Acknowledged")], 150.0, "by here"),
            TimedLane(
                "Systems",
                [TimedDot(0.0, 1, "Disrupted", "bad"), TimedDot(30.0, 3, "Recovered")],
                9000.0,
                "too far",
            ),
        ],
        title="Axis",
        zero_label="from the disruption",
        span=(0.0, 20.0),
        span_label="disrupted",
    )
    assert "2, People, 90 s: Acknowledged" in svg
    assert "disrupted: 0 to 20 s" in svg
    assert "People: by here, 2 min 30 s" in svg
    # A limit far beyond everything is told, not drawn: it would press the moments together.
    assert "Systems: too far, 2 h 30 min" in svg
    assert svg.count('class="limit"') == 1
    places = [float(one) for one in re.findall(r'cx="([0-9.]+)%"', svg)]
    assert all(0 <= one <= 100 for one in places)


def test_lines_are_written_in_the_readers_zone():
    noon = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
    line = Series("web", [(noon, 1.0), (noon + timedelta(minutes=1), None)])
    (moved,) = in_zone([line], ZoneInfo("Europe/Stockholm"))
    assert [f"{at:%H:%M}" for at, _ in moved.points] == ["13:00", "13:01"]
    assert [value for _, value in moved.points] == [1.0, None]
    assert [at for at, _ in moved.points] == [at for at, _ in line.points]
