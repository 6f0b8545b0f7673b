"""Samples in and series out through the API."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client

from capacity.metrics import api as metrics_api
from capacity.metrics import wire
from capacity.metrics.models import Metric, Sample
from portal.audit.models import AuditEntry
from tests import factories as make

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ROW = {"name": "requests_per_s", "resource": "shop", "at": "2026-11-23T11:00:00Z", "value": 120.5}


@pytest.fixture(autouse=True)
def _now():
    cache.clear()
    with time_machine.travel(NOW, tick=False):
        yield


class Desk:
    """An editor's token, and what is sent with it."""

    def __init__(self, role="editor", **token):
        self.account = make.account()
        self.user = make.member(self.account, role)
        self.client = Client()
        self.headers = make.bearer(make.token(self.user, **token))

    def get(self, path):
        return self.client.get(path, **self.headers)

    def send(self, data, *, content_type="application/json", query="", **headers):
        return self.client.post(
            f"/api/v1/accounts/{self.account.ref}/samples{query}",
            data,
            content_type,
            **self.headers,
            **headers,
        )

    def json(self, *rows, **more):
        return self.send(json.dumps({"samples": rows}), **more)

    def csv(self, text, **more):
        return self.send(text.encode(), content_type="text/csv", **more)


CSV = "name,resource,at,value\nrequests_per_s,shop,2026-11-23T11:00:00Z,120.5\n"


def packed(body):
    """Pack without the time: what a test is called by must be the same in each process of the suite."""
    return gzip.compress(body, mtime=0)


def test_json_and_csv_are_the_same_samples():
    desk = Desk()
    taken = {"read": 1, "written": 1, "metrics_added": 1, "wrong": 0, "problems": []}
    assert desk.json(ROW).json() == taken
    again = desk.csv(CSV)
    assert (again.status_code, again.json()) == (200, {**taken, "written": 0, "metrics_added": 0})
    assert Sample.objects.get().value == 120.5


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff"])
def test_a_csv_without_a_first_line_is_told_of_csv(text):
    # The client of the tests leaves the type of an empty body out by itself.
    answer = Desk().csv(text, CONTENT_TYPE="text/csv; charset=utf-8")
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "The first line of the CSV is empty. It names name, at, value, and where you like resource, unit, kind, source. "
        "Nothing was taken in."
    )


def test_no_samples_are_none_in_either_form():
    desk = Desk()
    for answer in (desk.csv("name,at,value\n"), desk.json()):
        assert (answer.status_code, answer.json()["read"]) == (200, 0)


def test_a_body_may_be_packed():
    desk = Desk()
    packed = desk.send(
        gzip.compress(CSV.encode()), content_type="text/csv; charset=utf-8", HTTP_CONTENT_ENCODING="gzip"
    )
    assert packed.json()["written"] == 1
    body = gzip.compress(json.dumps({"samples": [{**ROW, "value": 7}]}).encode())
    assert desk.send(body, HTTP_CONTENT_ENCODING="GZIP").json()["written"] == 1


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (packed(CSV.encode())[:-9], "gzip", 400),
        (packed(CSV.encode()) + b"more", "gzip", 400),
        (b"plain", "gzip", 400),
        (CSV.encode(), "br", 415),
        (b"\xff\xfe", "", 400),
        (packed(b" " * (wire.MOST_BYTES + 1)), "gzip", 413),
        (b" " * (wire.MOST_BYTES + 1), "", 413),
        (packed(b"name,at,value\n" + b"\n" * (wire.MOST_BYTES - 14)), "gzip", 200),
    ],
)
def test_a_body_that_is_cut_off_too_large_or_packed_otherwise_is_refused(body, coding, status):
    desk = Desk()
    answer = desk.send(body, content_type="text/csv", **({"HTTP_CONTENT_ENCODING": coding} if coding else {}))
    assert answer.status_code == status
    if status == 413:
        assert "8 MiB" in answer.json()["detail"]


def test_with_a_wrong_line_nothing_is_kept_and_each_is_named():
    desk = Desk()
    answer = desk.json(ROW, {**ROW, "value": None}, {**ROW, "at": "x"})
    assert answer.status_code == 422
    assert {line: says[0].split(":")[0] for line, says in answer.json()["errors"].items()} == {
        "line 2": "value",
        "line 3": "at",
    }
    assert not Metric.objects.exists()
    kept = desk.json(ROW, {**ROW, "value": None}, query="?keep=good").json()
    assert (kept["written"], kept["wrong"], kept["problems"][0]["line"]) == (1, 1, 2)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 422),
        ("7", 422),
        ('{"samples": {}}', 422),
        ('{"samples": [], "keep": "good"}', 422),
        ('{"samples": [NaN]}', 400),
        ("{", 400),
        ('{"samples": []}', 200),
    ],
)
def test_a_body_of_another_shape_is_refused(body, status):
    assert Desk().send(body).status_code == status


def test_a_file_without_its_columns_is_refused():
    answer = Desk().csv("a,b\n1,2\n")
    assert (answer.status_code, answer.json()["type"].rsplit(":")[-1]) == (422, "no-columns")


def test_keep_is_none_or_good():
    assert Desk().json(ROW, query="?keep=all").status_code == 400


def test_one_request_has_a_bounded_number_of_samples(monkeypatch):
    monkeypatch.setattr(metrics_api, "MOST_SAMPLES", 2)
    desk = Desk()
    assert desk.json(ROW, ROW, ROW).status_code == 422
    assert desk.json(ROW, ROW).status_code == 200


def test_a_repeated_request_gets_the_same_answer_and_one_that_keeps_otherwise_is_another():
    desk = Desk()
    key = {"HTTP_IDEMPOTENCY_KEY": "k"}
    first = desk.json(ROW, {}, query="?keep=good", **key)
    again = desk.json(ROW, {}, query="?keep=good", **key)
    assert (again.json(), again.headers["Idempotent-Replay"]) == (first.json(), "true")
    assert desk.json(ROW, {}, query="?keep=none", **key).status_code == 409


def test_who_may_write_and_read_is_said_by_role_and_scope():
    assert Desk("viewer").json(ROW).status_code == 403
    assert Desk(scopes=["capacity:read"]).json(ROW).status_code == 403
    desk = Desk(scopes=["capacity:write"])
    assert desk.json(ROW).status_code == 200
    assert desk.get(f"/api/v1/accounts/{desk.account.ref}/metrics").status_code == 403
    other = Desk()
    for path in ("points", "vital"):
        assert other.get(f"/api/v1/metrics/{Metric.objects.get().ref}/{path}").status_code in {404, 405}
    assert other.get(f"/api/v1/metrics/{Metric.objects.get().ref}/points").status_code == 404


def test_metrics_are_listed_with_their_last_value():
    desk = Desk()
    desk.json(ROW, {**ROW, "name": "carts", "unit": "carts"})
    usual = desk.get(f"/api/v1/accounts/{desk.account.ref}/metrics").json()["results"][1]
    assert usual.pop("ref") == str(Metric.objects.get(name="requests_per_s").ref)
    assert usual == {
        "name": "requests_per_s",
        "resource": "shop",
        "source": "api",
        "unit": "requests/s",
        "kind": "throughput",
        "good": "more",
        "adds_up": True,
        "is_vital": False,
        "last_at": "2026-11-23T11:00:00Z",
        "last_value": 120.5,
    }


def test_a_figure_becomes_vital_on_record():
    desk = Desk()
    desk.json(ROW)
    path = f"/api/v1/metrics/{Metric.objects.get().ref}/vital"
    for _ in range(2):
        answer = desk.client.post(path, {"is_vital": True}, "application/json", **desk.headers)
        assert answer.json()["is_vital"] is True
    entry = AuditEntry.objects.get(what="metric.vital")
    assert (entry.before["is_vital"], entry.after["is_vital"]) == (False, True)


# --- the series ---------------------------------------------------------------------------------------------


def series(desk, query=""):
    return desk.get(f"/api/v1/metrics/{Metric.objects.get().ref}/points{query}")


def with_samples():
    desk = Desk()
    first = NOW - timedelta(hours=3)
    desk.json(*({**ROW, "at": (first + timedelta(minutes=20 * n)).isoformat(), "value": n} for n in range(6)))
    return desk


def test_hours_are_read_with_their_figures():
    found = series(with_samples()).json()
    assert (found["step"], found["next"]) == ("hour", None)
    assert found["results"] == [
        {"at": "2026-11-23T09:00:00Z", "value": 1, "count": 3, "min": 0, "max": 2, "p50": 1, "p95": 1.9},
        {"at": "2026-11-23T10:00:00Z", "value": 4, "count": 3, "min": 3, "max": 5, "p50": 4, "p95": 4.9},
    ]


def test_days_and_samples_are_read_likewise():
    desk = with_samples()
    (day,) = series(desk, "?step=day").json()["results"]
    assert (day["at"], day["count"], day["value"]) == ("2026-11-23T00:00:00Z", 6, 2.5)
    raw = series(desk, "?step=raw&from=2026-11-23T09:20:00Z&to=2026-11-23T10:00:00%2B00:00").json()["results"]
    assert [(point["at"], point["value"], point["count"]) for point in raw] == [
        ("2026-11-23T09:20:00Z", 1, None),
        ("2026-11-23T09:40:00Z", 2, None),
    ]


def test_the_answer_says_of_which_stretch_it_is_also_where_that_has_no_sample():
    desk = with_samples()
    asked = "?from=2026-10-01T00:00:00Z&to=2026-10-02T02:00:00%2B02:00"
    found = series(desk, asked).json()
    assert (found["from"], found["to"], found["results"]) == (
        "2026-10-01T00:00:00Z",
        "2026-10-02T00:00:00Z",
        [],
    )
    found = series(desk).json()
    begins, ends = (datetime.fromisoformat(found[name]) for name in ("from", "to"))
    assert ends - begins == timedelta(days=7)


@pytest.mark.parametrize(
    "asked", ["?from=2026-10-02T00:00:00Z&to=2026-10-01T00:00:00Z", "?from=2099-01-01T00:00:00Z"]
)
def test_a_stretch_that_ends_before_it_begins_is_refused(asked):
    answer = series(with_samples(), asked)
    assert answer.status_code == 422
    assert answer.json()["errors"] == {"from": ["`from` lies behind `to`; without `to` that is now."]}


def test_points_are_thinned_to_the_fields_that_are_asked_for():
    desk = with_samples()
    found = series(desk, "?fields=at,value&limit=1").json()
    assert found["results"] == [{"at": "2026-11-23T09:00:00Z", "value": 1}]
    assert desk.get(found["next"]).json()["results"] == [{"at": "2026-11-23T10:00:00Z", "value": 4}]
    answer = series(desk, "?fields=at,median")
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[-1]) == (422, "unknown-field")


@pytest.mark.parametrize("asked", ["?fields=", "?fields=,", "?fields=at&fields=value", "?limit=1&limit=2"])
def test_a_parameter_that_says_nothing_or_two_things_is_refused(asked):
    answer = series(with_samples(), asked)
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[-1]) == (400, "unknown-parameter")


def test_the_rest_of_a_long_series_follows():
    desk = with_samples()
    values, path = [], series(desk, "?step=raw&limit=4").json()
    values += [point["value"] for point in path["results"]]
    rest = desk.get(path["next"]).json()
    assert (values, [point["value"] for point in rest["results"]], rest["next"]) == (
        [0, 1, 2, 3],
        [4, 5],
        None,
    )


def test_no_samples_are_no_points():
    assert series(with_samples(), "?to=2026-11-01T00:00:00Z").json()["results"] == []


@pytest.mark.parametrize(
    "query",
    [
        "?step=week",
        "?from=2026-11-23",
        "?to=soon",
        "?to=0001-01-01T00:00:00Z",
        "?from=9999-12-31T00:00:00Z",
        "?limit=0",
        "?limit=5001",
        "?limit=x",
        "?limit=000000001999999",
        f"?limit={'9' * 5000}",
        "?until=1",
    ],
)
def test_what_cannot_be_asked_is_refused(query):
    assert series(with_samples(), query).status_code == 400


def test_an_archived_account_takes_no_samples_in():
    desk = Desk()
    assert desk.json(ROW).status_code == 200
    type(desk.account).objects.filter(pk=desk.account.pk).update(status="archived")
    answer = desk.json(ROW | {"value": 130.0})
    assert (answer.status_code, answer.json()["type"].rsplit(":", 1)[-1]) == (422, "archived")
    assert Sample.objects.get().value == 120.5
    metric = Metric.objects.get()
    vital = desk.client.post(
        f"/api/v1/metrics/{metric.ref}/vital", {"is_vital": True}, "application/json", **desk.headers
    )
    assert vital.status_code == 422
    assert desk.get(f"/api/v1/metrics/{metric.ref}/points").status_code == 200
