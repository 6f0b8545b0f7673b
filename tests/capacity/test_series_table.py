"""The tables behind a series' chart: every moment or its group is there, the highest among them, with what is drawn beside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from capacity.metrics.chart import Drawn
from capacity.metrics.overlays import Event, Moment
from capacity.metrics.series import Step
from capacity.metrics.table import MOST_ROWS, short, tables_of

BEGINS = datetime(2026, 11, 1, tzinfo=UTC)
CONE = ("point", "lower50", "upper50", "lower80", "upper80", "lower95", "upper95")
STOCKHOLM = ZoneInfo("Europe/Stockholm")


def drawn(step: Step, every_s: int, values: list[float | None], *, spread: float | None = None) -> Drawn:
    at = [BEGINS.timestamp() + every_s * index for index in range(len(values))]
    low, high = (
        (None, None)
        if spread is None
        else ([one and one - spread for one in values], [one and one + spread for one in values])
    )
    return Drawn(step, BEGINS, BEGINS + timedelta(seconds=every_s * len(values)), at, values, low, high)


def tables(found: Drawn, *, band=None, cone=None, events=(), moments=(), zone=UTC, unit="req/s"):
    return tables_of(found, {"band": band, "cone": cone}, events, moments, zone=zone, unit=unit)


def column(table, name: str) -> list[str | None]:
    return [row.values[table.heads.index(name)] for row in table.rows]


def test_a_year_by_the_day_has_a_row_for_each_day_and_says_which_is_the_highest():
    values = [100.0] * 366
    values[300] = 329.8
    found = tables(drawn(Step.DAY, 86_400, values, spread=20))
    assert len(found.measured.rows) == 366
    assert found.measured.time_head == "Day (UTC)"
    assert [row.at for row in found.measured.rows[:2]] == ["1 Nov 2026", "2 Nov 2026"]
    assert max(float(one) for one in column(found.measured, "most")) == 349.8
    assert [row.at for row in found.measured.rows if "the most" in row.notes] == ["28 Aug 2027"]
    assert found.highest == "The most was 349.8 req/s on 28 Aug 2027."


@pytest.mark.parametrize(
    ("step", "every_s", "count", "says"),
    [
        (Step.RAW, 300, 9 * 288, "Each row stands for 1 hour"),
        (Step.HOUR, 3600, 31 * 24, "Each row stands for 3 hours"),
        (Step.HOUR, 3600, 92 * 24, "Each row stands for 6 hours"),
        (Step.HOUR, 3600, 100 * 24, "Each row stands for 12 hours"),
        (Step.RAW, 10, 2160, "Each row stands for 1 minute"),
        (Step.DAY, 86_400, 3660, "Each row stands for 28 days"),
    ],
)
def test_more_moments_than_anybody_reads_are_grouped_and_the_highest_of_each_group_is_told(
    step, every_s, count, says
):
    values: list[float | None] = [50.0 + index % 7 for index in range(count)]
    values[count // 2 + 1] = 999.0
    found = tables(drawn(step, every_s, values))
    assert 100 < len(found.measured.rows) <= MOST_ROWS
    assert found.measured.says.startswith(says)
    assert max(float(one) for one in column(found.measured, "most")) == 999.0
    assert min(float(one) for one in column(found.measured, "least")) == 50.0
    (top,) = [row for row in found.measured.rows if any(one.startswith("the most") for one in row.notes)]
    assert top.values[found.measured.heads.index("most")] == "999"
    assert len({row.at for row in found.measured.rows}) == len(found.measured.rows), "no two rows read alike"


def test_rows_finer_than_a_day_have_the_readers_time_of_day():
    found = tables(drawn(Step.HOUR, 3600, [1.0, 2.0], spread=0.5), zone=STOCKHOLM)
    assert found.measured.time_head == "Time (Europe/Stockholm)"
    assert [row.at for row in found.measured.rows] == ["1 Nov 2026, 01:00", "1 Nov 2026, 02:00"]
    samples = tables(drawn(Step.RAW, 10, [1.0, 2.0]))
    assert [row.at for row in samples.measured.rows] == ["1 Nov 2026, 00:00", "1 Nov 2026, 00:00:10"]


def test_the_band_the_events_and_the_moments_stand_in_their_rows():
    found = drawn(Step.RAW, 1800, [10.0, 11.0, 12.0, 13.0])
    hours = [BEGINS.timestamp(), BEGINS.timestamp() + 3600]
    made = tables(
        found,
        band={"at": hours, "low": [5.0, 6.0], "high": [20.0, 22.0]},
        events=[Event(BEGINS + timedelta(minutes=45), BEGINS + timedelta(minutes=80), "Sale")],
        moments=[Moment(BEGINS + timedelta(minutes=95), "shop 4.13")],
    ).measured
    assert made.heads == ("value", "usual from", "usual to")
    assert column(made, "usual from") == ["5", "5", "6", "6"]
    assert column(made, "usual to") == ["20", "20", "22", "22"]
    assert [row.notes for row in made.rows] == [(), ("Sale",), ("Sale",), ("the most", "shop 4.13")]


def test_a_group_that_lies_in_an_event_says_so_and_has_the_band_of_all_its_hours():
    found = drawn(Step.HOUR, 3600, [100.0] * 31 * 24, spread=1)
    hours = found.at
    made = tables(
        found,
        band={"at": hours, "low": [80.0, 60.0, 70.0] * 248, "high": [120.0, 110.0, 190.0] * 248},
        events=[Event(BEGINS + timedelta(hours=4), BEGINS + timedelta(hours=5), "Sale")],
    ).measured
    assert made.rows[1].notes == ("Sale",)
    assert (column(made, "usual from")[0], column(made, "usual to")[0]) == ("60", "190")


def test_the_forecast_has_a_table_of_its_own_and_keeps_its_highest_hour():
    cone = {name: [float(place)] * 672 for place, name in enumerate(CONE)}
    cone["at"] = [BEGINS.timestamp() + 3600 * index for index in range(672)]
    cone["point"][401] = 77.0
    made = tables(drawn(Step.HOUR, 3600, [1.0, 2.0], spread=0), cone=cone).forecast
    assert made.heads == ("expected", "most expected", "80 % sure: from", "to", "95 % sure: from", "to")
    assert "77" in column(made, "most expected")
    assert 100 < len(made.rows) <= MOST_ROWS
    short_one = tables(
        drawn(Step.HOUR, 3600, [1.0, 2.0], spread=0),
        cone={name: values[:24] for name, values in cone.items()},
    ).forecast
    assert (len(short_one.rows), short_one.heads[0], short_one.says) == (24, "expected", "")
    assert "most expected" not in short_one.heads
    assert tables(drawn(Step.HOUR, 3600, [1.0])).forecast is None


def test_a_gap_is_a_row_without_a_value():
    made = tables(drawn(Step.HOUR, 3600, [1.0, None, 3.0], spread=0)).measured
    assert [row.values for row in made.rows] == [("1", "1", "1"), (None, None, None), ("3", "3", "3")]
    empty = tables(drawn(Step.HOUR, 3600, [], spread=0))
    assert (empty.measured.rows, empty.highest) == ((), "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00123456, "0.001235"),
        (12.346, "12.35"),
        (1234.56, "1\u202f235"),
        (99_999.0, "99\u202f999"),
        (-3.14159, "-3.142"),
    ],
)
def test_values_have_four_digits(value, text):
    assert short(value) == text
