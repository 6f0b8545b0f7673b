"""`forecast` and `detect_events` on files: what is printed, what is refused, and that no database is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from capacity.growth import detect_events, forecast
from capacity.growth.answers import events_answer, forecast_answer
from capacity.growth.series import read_values
from tests.capacity.made_up import traffic, with_event

ROOT = Path(__file__).resolve().parents[2]
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)


def lines_of(values, *, timed=False, header=""):
    rows = [header] if header else []
    for step, value in enumerate(values):
        when = (BEGIN + timedelta(hours=step)).isoformat()
        rows.append(f"{when},{float(value)!r}" if timed else f"{float(value)!r}")
    return "\n".join(rows) + "\n"


def asked(command, *argv):
    out = StringIO()
    call_command(command, *argv, stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "series.csv"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("timed", "header"), [(False, ""), (False, "rps"), (True, ""), (True, "timestamp,value")]
)
def test_the_forecast_of_a_file_is_that_of_its_values(file, timed, header):
    values = traffic(1, hours=400)
    path = file(lines_of(values, timed=timed, header=header))
    answer = json.loads(
        asked(
            "forecast",
            "--csv",
            path,
            "--horizon",
            "5",
            "--season",
            "24",
            "--season2",
            "168",
            "--format",
            "json",
        )
    )
    made = forecast(values, 5, (24, 168))
    assert answer["model"] == made.model
    for name in ("point", "lower50", "upper80", "lower95", "upper95"):
        assert answer[name] == pytest.approx(getattr(made, name).tolist())
    assert answer["backtest"]["mase"] == pytest.approx(made.mase)
    assert answer["at"] == (
        ["2026-10-17T16:00:00Z"] + [f"2026-10-17T{hour}:00:00Z" for hour in range(17, 21)] if timed else None
    )


def test_times_out_of_order_and_holes_are_put_on_an_even_grid(file):
    values = traffic(2, hours=300)
    rows = lines_of(values, timed=True).splitlines()
    kept = [row for number, row in enumerate(rows) if not 100 <= number < 110]
    kept[3], kept[50] = kept[50], kept[3]
    read = read_values("\n".join(kept))
    assert read.step_s == 3600.0
    assert len(read.values) == 300
    assert np.flatnonzero(np.isnan(read.values)).tolist() == list(range(100, 110))
    assert read.values[5] == values[5]


def test_missing_values_seconds_and_other_separators_are_read():
    read = read_values("t;v\n0;1\n60;\n120;nan\n240;5\n")
    assert read.step_s == 60.0
    assert np.isnan(read.values[[1, 2, 3]]).all()
    assert read.values[[0, 4]].tolist() == [1.0, 5.0]
    assert read_values("1\n2\nnull\n4\n").values[[0, 1, 3]].tolist() == [1.0, 2.0, 4.0]
    assert read_values("2026-01-01 00:00,1,\n2026-01-01T01:00Z,2,\n").step_s == 3600.0


@pytest.mark.parametrize("begins", ["", "rps\n", "\n\n", "\ufeffrps\r\n"])
def test_an_empty_line_between_values_is_a_missing_one(begins):
    read = read_values(f"{begins}1\n\n3\n   \n5\n\n \n")
    assert np.array_equal(read.values, [1, np.nan, 3, np.nan, 5], equal_nan=True)
    assert (read.step_s, read.notes) == (None, ("2 of 5 lines are empty: each is a missing value.",))


def test_a_missing_value_as_pandas_writes_it_counts_at_the_end_too():
    assert np.array_equal(read_values('rps\n1.0\n2.0\n""\n').values, [1, 2, np.nan], equal_nan=True)


@pytest.mark.parametrize("head", ["", "value\r\r\n"])
def test_line_ends_that_were_written_twice_make_no_value_missing(head):
    found = read_values(head + "".join(f"{n}\r\r\n" for n in range(30)))
    assert found.values.tolist() == list(range(30))
    assert found.notes == ()


def test_empty_lines_among_times_are_passed_over():
    read = read_values("\n0;1\n\n60;2\n;\n120;3\n\n")
    assert read.values.tolist() == [1.0, 2.0, 3.0]


def test_what_stands_twice_is_told(file):
    rows = lines_of(traffic(7, hours=300), timed=True).splitlines()
    # An hour that the clock has twice, written without its zone; and one that was asked for again within its step.
    text = "\n".join([*rows[:200], rows[199].split(",")[0] + ",77", *rows[200:], "2026-10-01T00:05:00Z,88"])
    read = read_values(text)
    assert len(read.values) == 300
    assert (read.values[199], read.values[0]) == (77.0, 88.0)
    (note,) = read.notes
    assert note.startswith("2 of 302 lines are left out: a later one has the same time")
    for command, more in (("forecast", ("--horizon", "3")), ("detect_events", ())):
        answer = json.loads(asked(command, "--csv", file(text), *more, "--format", "json"))
        assert answer["notes"][0] == note
    assert asked("detect_events", "--csv", file(text)).startswith(note)


def test_a_second_season_alone_counts_for_both_commands(file):
    path = file(lines_of(traffic(8, hours=400)))
    for command, more in (("forecast", ("--horizon", "3")), ("detect_events", ())):
        answer = json.loads(asked(command, "--csv", path, *more, "--season2", "168", "--format", "json"))
        assert answer["seasons"] == [168]


def test_a_forecast_beyond_the_calendar_has_no_times():
    text = "\n".join(f"{9000 + year}-01-01,{year}" for year in range(0, 900, 20))
    answer = forecast_answer(text, 10, (1, 1))
    assert answer["at"][0].startswith("9900-")
    assert answer["at"][-1] is None


def test_the_windows_of_a_file_come_with_scores_and_times(file):
    values = with_event(traffic(3), 401, 12, 4.0)
    timed = json.loads(
        asked("detect_events", "--csv", file(lines_of(values, timed=True)), "--format", "json")
    )
    plain = json.loads(asked("detect_events", "--csv", file(lines_of(values)), "--format", "json"))
    (window,) = timed["windows"]
    assert timed["seasons"] == plain["seasons"] == [24, 168]
    assert {name: window[name] for name in plain["windows"][0]} == plain["windows"][0]
    assert window["starts_at"] == (BEGIN + timedelta(hours=window["begin"])).isoformat().replace(
        "+00:00", "Z"
    )
    assert window["score"] == pytest.approx(detect_events(values, (24, 168))[0].score)
    assert abs(window["begin"] - 401) <= 1
    assert abs(window["end"] - 413) <= 2


def test_people_can_read_the_answers_too(file):
    path = file(lines_of(with_event(traffic(4), 300, 10, 5.0), timed=True))
    said = asked("forecast", "--csv", path, "--horizon", "2", "--season", "24")
    assert said.startswith("Model: ")
    assert "seasonal naive" in said
    assert "2026-10-31T00:00:00Z" in said
    assert "times normal" in asked("detect_events", "--csv", path)
    assert asked("detect_events", "--csv", file(lines_of(traffic(5)))) == "No events.\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no values"),
        ("value\n", "header and no values"),
        ("1\n2\nx\n", "Line 3: 'x' is no number"),
        ("2026-01-01T00:00Z,1\nyesterday,2\n", "Line 2: 'yesterday' is no time"),
        ("2026-01-01T00:00Z,1\n5\n", "Line 2: a time and a value are expected"),
        ("1\n2\n3\n", "At least 8 values are needed, and there are 3"),
        ("1\n" * 20 + "inf\n", "Value 21 is infinite"),
        ("0,1\n1,1\n" + "".join(f"{step},1\n" for step in range(2, 12)) + "9e9,1\n", "lie too far apart"),
        ("t,v\n1760000400000,1\n1760004000000,2\n", "Line 2: '1760000400000' is no time in seconds.*milli"),
        ("1e400,1\n1,2\n", "Line 1: '1e400' is no time"),
        ("2026-01-01T00:00Z,1\nnan,2\n", "Line 2: 'nan' is no time"),
        ("20261001,5\n20261002,6\n", "Line 1: 20261001 would be seconds.* Write a date as 2026-10-01"),
        ("1,2,3\n" * 50, "Line 1 has 3 columns. A value a line is expected, or a time and a value"),
        ("time,value\n0,1\n60,2,web\n", "Line 3 has 3 columns"),
        ("101,5\n103,2\n98,7\n", "Line 3: the time 98 does not come after 103.*with a point"),
        (
            "value,time\n7,1760000400\n5,1760004000\n",
            "Line 3: the time 5 does not come after 7.*stands first",
        ),
        ("2026-01-01;1,5\n2026-01-02;1,6\n", "Line 1: '1,5' is no number. Numbers are written with a point"),
        ("2026-01-01T00:00Z,x\n2026-01-01T01:00Z,2\n", "Line 1: 'x' is no number"),
        ("1_000\n2\n3_000\n", "Line 3: '3_000' is no number"),
        ('value\n"1\n2\n3\n', "Line 4 is no CSV"),
        ("nan\n" * 40, "At least 8 values are needed, and there are 0"),
        ("1\n2\n", "At least 8 values are needed, and there are 2"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(file, text, sentence):
    for command, more in (("forecast", ("--horizon", "3")), ("detect_events", ())):
        with pytest.raises(CommandError, match=sentence):
            asked(command, "--csv", file(text), *more)


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(CommandError, match="could not be read"):
        asked("detect_events", "--csv", "/nowhere/series.csv")


def test_a_file_of_another_encoding_is_told(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_text("value\n1\n", encoding="utf-16")
    with pytest.raises(CommandError, match=r"excel.csv could not be read: it is not UTF-8\.$"):
        asked("forecast", "--csv", str(path), "--horizon", "3")


def test_they_start_without_a_database_and_without_the_apps_of_the_portal(file):
    path = file(lines_of(traffic(6, hours=300)))
    nothing = {"PATH": os.environ["PATH"], "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
    for argv in (["forecast", "--horizon", "3", "--season", "24"], ["detect_events"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "manage.py", *argv, "--csv", path, "--format", "json"],
            cwd=ROOT,
            env=nothing,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)
        loaded = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
        assert "capacity.growth.analysis" in loaded
        assert not loaded & {"psycopg", "rest_framework", "allauth", "capacity.models", "celery", "scipy"}
    refused = subprocess.run(
        [sys.executable, "manage.py", "forecast", "--csv", "/nowhere", "--horizon", "3"],
        cwd=ROOT,
        env=nothing,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("CommandError: /nowhere could not be read")


def test_times_that_are_a_little_late_are_hours_all_the_same_and_have_their_day():
    rng = np.random.default_rng(3)
    hours = np.arange(40 * 24)
    at = hours * 3600.0 + rng.uniform(-100, 100, len(hours)) + 1_760_000_400
    values = 100 + 40 * np.sin(2 * np.pi * hours / 24)
    text = "time,value\n" + "\n".join(f"{t:.0f},{v:.2f}" for t, v in zip(at, values, strict=True))
    answer = forecast_answer(text, 24, None)
    assert answer["seasons"] == [24, 168]
    assert max(answer["point"]) - min(answer["point"]) > 70
    last, first = datetime.fromtimestamp(at[-1], UTC), datetime.fromisoformat(answer["at"][0])
    assert abs((first - last).total_seconds() - 3600) < 250
    assert forecast_answer(text, 24, (1, 1))["seasons"] == []


def months(first, each=1, count=120, *, day=None, clock="T00:00:00Z", without=()):
    """Lines of a file with a value every `each` months from `first` on, `day` or the last of the month."""
    begin = datetime.fromisoformat(first)
    lines = []
    for step in range(count):
        year, month = divmod(begin.year * 12 + begin.month - 1 + step * each, 12)
        last = (datetime(year + month // 11, (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
        at = f"{year}-{month + 1:02}-{min(day or begin.day, last):02}"
        if step not in without:
            lines.append(f"{at}{clock},{100 + 10 * np.sin(2 * np.pi * month / 12) + step}")
    return lines


@pytest.mark.parametrize(
    ("lines", "following"),
    [
        (months("2016-01-01"), ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"]),
        (months("2016-01-01", clock=""), ["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
        (months("2016-01-15", without=(3, 50, 51)), ["2026-01-15T00:00:00Z", "2026-02-15T00:00:00Z"]),
        # The last of each month, whatever its day, and whatever month comes first.
        (months("2016-02-28", day=31), ["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"]),
        (months("2016-01-30"), ["2026-01-30T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-30T00:00:00Z"]),
        # The first of a month on a wall that is ahead of UTC, or behind it.
        (months("2016-01-01", clock="T00:00:00+02:00"), ["2025-12-31T22:00:00Z", "2026-01-31T22:00:00Z"]),
        (months("2016-01-01", clock="T00:00:00-08:00"), ["2026-01-01T08:00:00Z", "2026-02-01T08:00:00Z"]),
        (months("2016-02-01", 3, 40), ["2026-02-01T00:00:00Z", "2026-05-01T00:00:00Z"]),
        (months("1976-02-29", 12, 50), ["2026-02-28T00:00:00Z", "2027-02-28T00:00:00Z"]),
    ],
)
def test_months_are_those_of_the_calendar(lines, following):
    answer = forecast_answer("\n".join(lines), 12, None)
    assert not any("left out: a later one" in note for note in answer["notes"])
    assert answer["at"][: len(following)] == following
    read = read_values("\n".join(lines))
    assert read.values[np.isfinite(read.values)].tolist() == [float(line.split(",")[1]) for line in lines]
    assert len(read.values) == (40 if "-05-01" in lines[1] else 50 if "1976" in lines[0] else 120)


def test_a_month_that_stands_twice_is_told_as_one():
    lines = months("2016-01-01")
    read = read_values("\n".join([*lines, "2016-03-01T12:00:00Z,7"]))
    assert (len(read.values), read.values[2]) == (120, 7.0)
    assert "lies in the same step of a month." in read.notes[0]


@pytest.mark.parametrize("days", [7, 28, 30, 31])
def test_steps_of_so_many_days_are_no_months(days):
    begin = datetime(2016, 1, 1, tzinfo=UTC)
    lines = [f"{(begin + timedelta(days=days * step)).isoformat()},{step}" for step in range(60)]
    read = read_values("\n".join(lines))
    assert (read.step_s, read.calendar, len(read.values)) == (days * 86_400.0, None, 60)


def test_events_of_months_have_the_calendars_times():
    lines = months("2016-01-01")
    for n in (80, 81):
        lines[n] = f"{lines[n].split(',')[0]},900"
    assert [
        (one["starts_at"], one["ends_at"]) for one in events_answer("\n".join(lines), None)["windows"]
    ] == [("2022-09-01T00:00:00Z", "2022-11-01T00:00:00Z")]


@pytest.mark.parametrize("day", [1, 15, 28, 29, 30, 31])
@pytest.mark.parametrize("hour", [0, 6, 12, 22])
@pytest.mark.parametrize("each", [1, 3, 12])
def test_months_are_those_of_the_calendar_at_whatever_day_and_hour(day, hour, each):
    moments = []
    for step in range(30):
        year, month = divmod(2019 * 12 + step * each, 12)
        last = (
            datetime(year + (month == 11), month % 12 + 2 if month < 11 else 1, 1) - timedelta(days=1)
        ).day
        moments.append(datetime(year, month + 1, min(day, last), hour, tzinfo=UTC))
    read = read_values("".join(f"{one.isoformat()},{n}\n" for n, one in enumerate(moments)))
    assert read.values.tolist() == list(range(30))
    assert [read.at(step) for step in range(30)] == moments
    assert read_values("9999-10-31T20:00Z,1\n9999-11-30T20:00Z,2\n9999-12-31T20:00Z,3\n").values[-1] == 3


@pytest.mark.parametrize("is_last", [True, False])
def test_months_are_those_of_the_calendar_on_the_day_that_is_worked_on(is_last):
    moments = []
    for step in range(48):
        year, month = divmod(2020 * 12 + step, 12)
        first = datetime(year, month + 1, 1, tzinfo=UTC)
        day = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1) if is_last else first
        while day.weekday() > 4:
            day += timedelta(days=-1 if is_last else 1)
        moments.append(day)
    read = read_values("".join(f"{one:%Y-%m-%d},{n}\n" for n, one in enumerate(moments)))
    assert (read.values.tolist(), read.notes) == (list(range(48)), ())
    assert read.at(49) == datetime(2024, 2, 29 if is_last else 1, tzinfo=UTC)
    odd = [moments[0].replace(day=1), *moments[1:5], moments[5].replace(day=15), *moments[6:]]
    assert read_values("".join(f"{one:%Y-%m-%d},1\n" for one in odd)).values.tolist() == [1.0] * 48
    even = [moments[0] + timedelta(days=30 * n) for n in range(30)]
    assert read_values("".join(f"{one:%Y-%m-%d},1\n" for one in even)).calendar is None


def working_days(first="2024-11-01", count=300, clock="", without=()):
    """Lines of a file with a value each working day: Wednesday has most."""
    rng, day, lines = np.random.default_rng(5), datetime.fromisoformat(first), []
    while len(lines) < count:
        if day.weekday() < 5 and f"{day:%Y-%m-%d}" not in without:
            value = 200 * (1, 1.1, 1.2, 1.1, 1)[day.weekday()] * (1 + 0.02 * rng.normal())
            lines.append(f"{day:%Y-%m-%d}{clock},{value:.2f}")
        day += timedelta(days=1)
    return lines


@pytest.mark.parametrize(
    ("clock", "following"),
    [
        ("", ("2026-12-28T00:00:00Z", "2026-12-29T00:00:00Z")),
        ("T17:30:00Z", ("2026-12-28T17:30:00Z", "2026-12-29T17:30:00Z")),
        # On a wall that is ahead of UTC it is still Sunday there, and on one behind it Saturday already.
        ("T00:00:00+01:00", ("2026-12-27T23:00:00Z", "2026-12-28T23:00:00Z")),
        ("T17:00:00-08:00", ("2026-12-29T01:00:00Z", "2026-12-30T01:00:00Z")),
    ],
)
@pytest.mark.parametrize("season", [None, (5, 1), (7, 1)])
def test_days_without_weekends_are_steps_of_working_days(clock, following, season):
    holidays = ("2024-12-25", "2024-12-26", "2025-05-01", "2025-12-25", "2025-12-26", "2026-05-01")
    lines = working_days(count=555, clock=clock, without=holidays)
    answer = forecast_answer("\n".join(lines), 5, season)
    assert answer["seasons"] == [5]
    assert answer["at"][:2] == list(following)
    assert answer["point"] == pytest.approx([200, 220, 240, 220, 200], rel=0.03)
    assert answer["notes"][0] == "No value lies on a weekend, so a step is a working day and a week has five."
    assert ("season of 7 steps is taken as one of 5" in answer["notes"][-1]) is (season == (7, 1))
    read = read_values("\n".join(lines))
    assert int(np.isnan(read.values).sum()) == len(holidays), "a holiday is a missing value"
    assert read.step_s == 7 * 86_400 / 5


def test_events_of_working_days_have_their_dates():
    lines = working_days()
    place = next(n for n, line in enumerate(lines) if line.startswith("2025-09-11"))
    for n in (place, place + 1):
        lines[n] = f"{lines[n].split(',')[0]},900"
    (window,) = events_answer("\n".join(lines), None)["windows"]
    assert (window["starts_at"], window["ends_at"]) == ("2025-09-11T00:00:00Z", "2025-09-15T00:00:00Z")


@pytest.mark.parametrize(
    "lines",
    [
        # One value on a Saturday; a week and a half; days of which Monday and Tuesday have none.
        [*working_days(count=60), "2025-01-25,200"],
        working_days("2024-11-04", count=9),
        [f"{datetime(2024, 11, 6) + timedelta(days=7 * (n // 5) + n % 5):%Y-%m-%d},{n}" for n in range(60)],
    ],
)
def test_other_days_are_days(lines):
    read = read_values("\n".join(lines))
    assert (read.calendar, read.step_s, read.notes) == (None, 86_400.0, ())


def test_months_may_be_written_without_their_day():
    lines = [f"{2020 + n // 12}-{n % 12 + 1:02},{n}" for n in range(30)]
    assert forecast_answer("month,value\n" + "\n".join(lines), 2, None)["at"] == [
        "2022-07-01T00:00:00Z",
        "2022-08-01T00:00:00Z",
    ]
    with pytest.raises(ValueError, match="'2020-13' is no time"):
        read_values("2020-12,1\n2020-13,2\n")


def test_steps_that_were_counted_have_no_dates(file):
    lines = [f"{2000 + n},{100 + n % 5}" for n in range(24)]
    lines[20] = "2020,900"
    text = "\n".join(lines)
    answer = forecast_answer(text, 2, None)
    assert answer["at"] is None
    (window,) = events_answer(text, None)["windows"]
    assert (window["begin"], "starts_at" in window) == (20, False)
    assert "1970" not in asked("forecast", "--csv", file(text), "--horizon", "2")
