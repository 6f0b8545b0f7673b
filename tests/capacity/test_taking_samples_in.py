"""Samples from outside: what is read, what is refused and with which words, and what is kept of it."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from capacity.metrics import services
from capacity.metrics.models import HourlyRollup, Metric, Sample
from capacity.metrics.reading import Key, Limits, Problem, Reading, read_csv, read_list
from capacity.metrics.services import SamplesRefused, limits_at, take_in
from portal.audit.models import AuditEntry
from portal.errors import Refused
from tests import factories as make

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIMITS = Limits(NOW - timedelta(days=400), NOW + timedelta(minutes=10), "api")
AT = "2026-11-23T11:00:00Z"
ROW = {"name": "requests_per_s", "at": AT, "value": 120.5}


def read(**fields):
    (found,) = read_list([{**ROW, **fields}], LIMITS)
    return found


def seconds(found) -> float:
    return found.at_us / 1e6 - datetime(2026, 11, 23, 11, tzinfo=UTC).timestamp()


# --- reading ------------------------------------------------------------------------------------------------


def test_a_sample_says_metric_moment_and_value():
    found = read(resource=" shop ", unit="requests/s", kind="throughput")
    assert found == Reading(
        1, Key("requests_per_s", "shop", "api"), found.at_us, 120.5, "requests/s", "throughput"
    )
    assert seconds(found) == 0
    assert read(source="grafana").key.source == "grafana"


@pytest.mark.parametrize(
    ("at", "after_s"),
    [
        ("2026-11-23T11:00:01Z", 1),
        ("2026-11-23T12:00:01+01:00", 1),
        ("2026-11-23 11:00:00.25+00:00", 0.25),
        (1795431600 + 1, 1),
        ("1795431600.5", 0.5),
        ("2026-11-23T12:10:00Z", 4200),
    ],
)
def test_a_moment_has_a_zone_or_is_seconds_since_1970(at, after_s):
    assert seconds(read(at=at)) == after_s


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2026-11-23T11:00:00", "with its zone"),
        ("yesterday", "with its zone"),
        ("", "with its zone"),
        (None, "with its zone"),
        (True, "with its zone"),
        ([1], "with its zone"),
        (4_000_000_000, "in the future"),
        (1e30, "with its zone"),
        ("0001-01-01T00:00:00+14:00", "with its zone"),
        ("2026-11-23T12:10:01Z", "in the future"),
        (1795431600_000, "no milliseconds"),
        ("2025-10-19T11:59:59Z", "kept since 2025-10-19"),
    ],
)
def test_a_moment_that_is_none_or_out_of_reach_is_told(at, says):
    found = read(at=at)
    assert isinstance(found, Problem)
    assert found.says.startswith("at: ")
    assert says in found.says


@pytest.mark.parametrize(
    ("value", "number"), [(0, 0), ("-1.5", -1.5), ("1e3", 1000), (".5", 0.5), (10**20, 1e20)]
)
def test_a_value_is_a_number(value, number):
    assert read(value=value).value == number


@pytest.mark.parametrize(
    "value", [None, "", "nan", "inf", "1_000", "1,5", "١", True, float("nan"), 1e101, 10**400, {}]
)
def test_what_is_no_number_is_never_taken_for_one(value):
    assert read(value=value) == Problem(1, "value: this is no number (written with a point, at most 1e100).")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": ""}, "say which figure"),
        ({"name": None}, "say which figure"),
        ({"name": 7}, "no text"),
        ({"name": "x" * 101}, "longer than 100"),
        ({"resource": "web\n1"}, "not printed"),
        ({"unit": "\u202e"}, "not printed"),
        ({"kind": "speed"}, "this is none"),
        ({"kind": ["x"]}, "this is none"),
        ({"vlaue": 3}, "no field “vlaue”"),
    ],
)
def test_other_fields_are_held_to_what_they_are(fields, says):
    assert says in read(**fields).says


def test_what_is_no_object_is_told_by_its_place():
    assert [found.line for found in read_list([ROW, 7, ROW], LIMITS)] == [1, 2, 3]
    assert isinstance(list(read_list([ROW, 7, ROW], LIMITS))[1], Problem)


def lines(text: str):
    return list(read_csv(io.StringIO(text, newline=""), LIMITS))


def test_columns_come_in_any_order_and_lines_are_counted_as_an_editor_does():
    found = lines(f'\ufeffvalue;at;Name;resource\r\n1;{AT};a;"two\nlines"\r\n\r\n2;{AT};a;web\r\n3;{AT}\r\n')
    assert [each.line for each in found] == [3, 5, 6]
    assert [type(each) for each in found] == [Problem, Reading, Problem]
    assert "2 cells" in found[2].says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "first line of the CSV is empty"),
        ("name,at\n", "no column value"),
        ("name,at,value,host\n", "“host”"),
        ("name,at,value,at\n", "twice"),
        (f'name,at,value\na,{AT},"1\n', "quote that does not end"),
    ],
)
def test_a_file_that_is_no_such_list_is_refused_whole(text, says):
    with pytest.raises(Refused, match=says):
        lines(text)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=30), st.text(max_size=8)), max_size=5))
def test_no_line_whatever_it_holds_is_more_than_a_problem(rows):
    out = io.StringIO()
    csv.writer(out).writerows([("name", "at", "value"), *rows])
    try:
        found = lines(out.getvalue())
    except Refused:
        return
    assert all(isinstance(each, Reading | Problem) for each in found)


# --- keeping ------------------------------------------------------------------------------------------------


def taken(account, *rows, keep_good=False, actor=None):
    return take_in(account, read_list(rows, LIMITS), keep_good=keep_good, actor=actor)


@pytest.mark.django_db
def test_a_metric_begins_with_its_first_sample_as_its_usual_kind():
    account = make.account()
    by = make.member(account, "editor")
    found = taken(account, ROW, {**ROW, "name": "carts", "unit": "carts", "kind": "count"}, actor=by)
    assert (found.read, found.written, found.metrics_added, found.wrong) == (2, 2, 2, 0)
    usual, own = Metric.objects.order_by("-name")
    assert (usual.unit, usual.kind, usual.source, usual.last_value) == (
        "requests/s",
        "throughput",
        "api",
        120.5,
    )
    assert (own.unit, own.kind) == ("carts", "count")
    assert HourlyRollup.objects.count() == 2
    entries = AuditEntry.objects.filter(what="metric.begun")
    assert {(entry.actor_ref, entry.after["unit"]) for entry in entries} == {
        (str(by.ref), "requests/s"),
        (str(by.ref), "carts"),
    }


@pytest.mark.django_db
def test_resource_name_and_source_tell_series_apart_and_accounts_too():
    one, other = make.account(), make.account()
    for account in (one, other):
        taken(account, ROW, {**ROW, "resource": "web-1"}, {**ROW, "source": "prometheus"})
    assert Metric.objects.filter(account=one).count() == Metric.objects.filter(account=other).count() == 3
    assert taken(one, ROW).metrics_added == 0


@pytest.mark.django_db
def test_with_a_wrong_line_nothing_is_kept_unless_the_good_ones_are_asked_for():
    account = make.account()
    rows = [ROW, {**ROW, "value": "x"}, {**ROW, "at": "2026-11-23T11:05:00Z"}]
    with pytest.raises(SamplesRefused, match="One line is wrong, so nothing was taken in") as refused:
        taken(account, *rows)
    assert [problem.line for problem in refused.value.taken.problems] == [2]
    assert not Metric.objects.exists()
    assert not Sample.objects.exists()
    found = taken(account, *rows, keep_good=True)
    assert (found.read, found.good, found.written, found.wrong) == (3, 2, 2, 1)
    assert Sample.objects.count() == 2


@pytest.mark.django_db
def test_where_no_line_is_good_the_good_ones_are_not_nothing():
    with pytest.raises(SamplesRefused, match="2 lines are wrong"):
        taken(make.account(), {}, {**ROW, "value": None}, keep_good=True)
    assert taken(make.account(), keep_good=True).read == 0


@pytest.mark.django_db
def test_a_unit_that_changes_is_told_and_not_mixed_in():
    account = make.account()
    taken(account, {**ROW, "name": "wait", "unit": "ms", "kind": "latency"})
    found = taken(
        account,
        {**ROW, "name": "wait", "unit": "s"},
        {**ROW, "name": "wait", "kind": "count"},
        {**ROW, "name": "wait", "unit": "ms", "value": 9},
        {**ROW, "name": "wait", "value": 10},
        keep_good=True,
    )
    assert found.problems == [
        Problem(1, "unit: wait is kept in “ms”, not in “s”."),
        Problem(2, "kind: wait is kept as “latency”, not as “count”."),
    ]
    assert Sample.objects.get().value == 10


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"unit": "requests/min"}, "unit: requests_per_s is in “requests/s”, never in “requests/min”"),
        ({"kind": "other"}, "kind: requests_per_s is “throughput”, never “other”"),
        ({"name": "latency_p95_ms", "unit": "s"}, "unit: latency_p95_ms is in “ms”, never in “s”"),
        ({"name": "error_ratio", "unit": "percent"}, "unit: error_ratio is in “share”"),
        ({"name": "cpu_share", "value": 50}, "a share is 0 to 1, so it cannot be 50. Divide percentages"),
        ({"name": "disk", "unit": "share", "value": -0.1}, "a share is 0 to 1"),
        ({"value": -1}, "value: -1 is below 0"),
        ({"name": "wait", "kind": "latency", "value": -0.5}, "value: -0.5 is below 0"),
    ],
)
def test_a_unit_or_value_that_would_be_read_as_another_is_refused(fields, says):
    account = make.account()
    found = taken(account, {**ROW, **fields}, {**ROW, "name": "balance", "value": -3}, keep_good=True)
    (problem,) = found.problems
    assert (problem.line, says in problem.says) == (1, True), problem.says
    assert Metric.objects.get().name == "balance", "no metric begins with what is refused"


@pytest.mark.django_db
def test_a_metric_that_is_known_is_held_to_its_unit_where_the_sample_names_none():
    account = make.account()
    taken(account, {**ROW, "name": "disk", "unit": "share", "kind": "use", "value": 1.0002})
    with pytest.raises(SamplesRefused) as refused:
        taken(account, {**ROW, "name": "disk", "value": 55})
    assert "a share is 0 to 1, so it cannot be 55" in refused.value.taken.problems[0].says
    assert Sample.objects.get().value == 1.0002


@pytest.mark.django_db
def test_an_account_has_a_bounded_number_of_metrics(monkeypatch):
    monkeypatch.setattr(services, "MOST_METRICS", 2)
    account = make.account()
    found = taken(account, *({**ROW, "name": name} for name in "abca"), keep_good=True)
    assert (found.metrics_added, [problem.line for problem in found.problems]) == (2, [3])
    assert "at most 2 metrics" in found.problems[0].says


@pytest.mark.django_db
def test_a_long_list_is_kept_in_parts_and_forgotten_whole(monkeypatch):
    monkeypatch.setattr(services, "_BLOCK", 2)
    monkeypatch.setattr(services, "SHOWN", 1)
    account = make.account()
    rows = [{**ROW, "at": 1795431600 + n, "value": n} for n in range(5)]
    with pytest.raises(SamplesRefused) as refused:
        taken(account, *rows, {}, {})
    assert (refused.value.taken.read, refused.value.taken.wrong) == (7, 2)
    assert [problem.line for problem in refused.value.taken.problems] == [6]
    assert not Sample.objects.exists()
    assert taken(account, *rows).written == 5
    assert (HourlyRollup.objects.get().count, HourlyRollup.objects.get().mean) == (5, 2)


@pytest.mark.django_db
def test_samples_are_taken_as_far_back_as_they_are_kept(settings):
    settings.SAMPLE_DAYS = 30
    limits = limits_at(NOW, "api")
    assert (limits.begins, limits.ends) == (NOW - timedelta(days=30), NOW + timedelta(minutes=10))


# --- the command --------------------------------------------------------------------------------------------


def file_of(path, *rows, packed=False):
    text = "".join(f"{','.join(map(str, row))}\n" for row in (("name", "at", "value"), *rows))
    (path).write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return str(path)


def at(minutes_ago):
    return (timezone.now() - timedelta(minutes=minutes_ago)).isoformat()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["samples.csv", "samples.csv.gz"])
def test_the_command_takes_a_file_in(tmp_path, capsys, name):
    account = make.account()
    packed = name.endswith(".gz")
    path = file_of(tmp_path / name, ("orders_per_min", at(5), 7), ("orders_per_min", at(4), 8), packed=packed)
    call_command("import_samples", path, account=account.number)
    said = capsys.readouterr().out
    assert said == "2 samples read, 2 of them new or changed; 1 metrics begun; 0 lines wrong.\n"
    call_command("import_samples", path, account=str(account.ref))
    assert "2 samples read, 0 of them new or changed; 0 metrics begun" in capsys.readouterr().out
    assert Metric.objects.get().source == "file"


@pytest.mark.django_db
def test_the_command_tells_what_is_wrong_by_line(tmp_path, capsys):
    account = make.account()
    path = file_of(tmp_path / "samples.csv", ("a", at(5), 7), ("a", at(4), "x"))
    with pytest.raises(CommandError, match="One line is wrong, so nothing was taken in"):
        call_command("import_samples", path, account=account.number)
    assert "line 3: value: this is no number" in capsys.readouterr().err
    assert not Sample.objects.exists()
    call_command("import_samples", path, account=account.number, keep="good", source="grafana")
    assert "1 samples read, 1 of them" in capsys.readouterr().out
    assert Metric.objects.get().source == "grafana"


@pytest.mark.django_db
def test_the_command_says_what_it_cannot_read(tmp_path):
    account = make.account()
    broken = tmp_path / "cut.csv.gz"
    broken.write_bytes(gzip.compress(b"name,at,value\n" * 100)[:30])
    latin = tmp_path / "latin.csv"
    latin.write_bytes("name,at,value\nTür,,\n".encode("latin-1"))
    for path in (str(tmp_path / "none.csv"), str(broken), str(latin)):
        with pytest.raises(CommandError, match="could not be read"):
            call_command("import_samples", path, account=account.number)
    with pytest.raises(CommandError, match="no account"):
        call_command("import_samples", str(latin), account="nobody's")
