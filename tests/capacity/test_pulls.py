"""Queries to Prometheus against a server that answers as one does: asked on from where it was, never twice at once, never zero."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account, AccountStatus
from capacity.metrics.models import HourlyRollup, Metric, Sample
from capacity.pulls import prometheus, services
from capacity.pulls.lateness import AGAIN, LONGEST_S
from capacity.pulls.models import Pull
from capacity.tasks import pull_samples
from portal.audit.models import AuditEntry
from portal.errors import Refused
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


class Prometheus:
    """Answers range queries: at each whole step the number of its minute, modulo a hundred; nothing after `until`."""

    def __init__(self):
        self.asked = []
        self.headers = []
        self.until = None
        self.sites = ("shop",)
        self.fails = None
        self.warnings = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.headers.append(dict(self.headers))
                query = {name: value[0] for name, value in parse_qs(urlsplit(self.path).query).items()}
                server.asked.append(query)
                status, body = server.answer(query)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, query):
        if self.fails is not None:
            status, error = self.fails
            return status, json.dumps({"status": "error", "errorType": "x", "error": error}).encode()
        start, end, step = float(query["start"]), float(query["end"]), int(query["step"])
        if (end - start) / step + 1 > 11_000:
            return 422, json.dumps(
                {"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution"}
            ).encode()
        moments = [start + n * step for n in range(int((end - start) // step) + 1)]
        if self.until is not None:
            moments = [one for one in moments if one <= self.until.timestamp()]
        result = [
            {"metric": {"site": site}, "values": [[one, str(one // 60 % 100)] for one in moments]}
            for site in (self.sites if moments else ())
        ]
        data = {"resultType": "matrix", "result": result}
        return 200, json.dumps({"status": "success", "data": data, "warnings": self.warnings}).encode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def prom(settings):
    server = Prometheus()
    settings.EGRESS_ALLOW = [server.place]
    yield server
    server.close()


@pytest.fixture
def here():
    return desk()


def add(here, prom, **more):
    fields = {
        "name": "requests_per_s",
        "base_url": f"http://{prom.place}",
        "query": "sum by (site) (rate(http_requests_total[5m]))",
        "resource_label": "site",
        "backfill_days": 1,
        **more,
    }
    return services.add(here.account, fields, actor=here.editor)


def test_the_first_answers_bring_the_days_before_and_later_ones_go_on_from_there(here, prom):
    prom.sites = ("shop", "blog")
    pull = add(here, prom, token="secret-of-prometheus")
    now = (timezone.now() + timedelta(seconds=1)).replace(microsecond=0)
    assert services.pull_due(now) == 1
    pull.refresh_from_db()
    assert (pull.state, pull.series, pull.failures) == ("pull_good", 2, 0)
    metric = Metric.objects.get(account=here.account, resource="shop")
    assert (metric.source, metric.unit, metric.kind) == ("prometheus", "requests/s", "throughput")
    kept = Sample.objects.filter(metric=metric).count()
    assert 24 * 60 - 2 <= kept <= 24 * 60 + 1
    assert HourlyRollup.objects.filter(metric=metric).exists()
    assert prom.headers[0]["Authorization"] == "Bearer secret-of-prometheus"
    assert services.pull_due(now) == 0, "it is not due again at once"

    later = now + 5 * MINUTE
    assert services.pull_due(later) == 1
    assert float(prom.asked[-1]["start"]) == (pull.reached_at - 3 * MINUTE).timestamp()
    assert Sample.objects.filter(metric=metric).count() == kept + 5
    assert pull.samples == 2 * kept
    assert "secret" not in str(AuditEntry.objects.get(what="pull.added").after)


def test_a_long_past_is_fetched_in_pieces_that_prometheus_takes(here, prom):
    pull = add(here, prom, backfill_days=6, step_s=60)
    now = timezone.now()
    turns = services.pull_due(now)
    pull.refresh_from_db()
    assert turns == 2, "6 days of minutes are 8,640 points"
    assert all(
        (float(one["end"]) - float(one["start"])) / 60 + 1 <= prometheus.MOST_POINTS for one in prom.asked
    )
    assert now - pull.reached_at < 2 * MINUTE
    metric = Metric.objects.get(account=here.account)
    assert abs(Sample.objects.filter(metric=metric).count() - 6 * 24 * 60) <= 2


def test_an_answer_without_data_is_no_zero_and_what_comes_late_is_fetched_then(here, prom):
    pull = add(here, prom)
    now = timezone.now()
    prom.until = now - timedelta(days=2)
    services.pull_due(now)
    pull.refresh_from_db()
    assert (pull.state, pull.problem) == ("pull_empty", "")
    assert not Metric.objects.filter(account=here.account).exists()
    prom.until = None
    services.pull_due(now + 2 * MINUTE)
    pull.refresh_from_db()
    assert pull.state == "pull_good"
    assert pull.late_s == LONGEST_S * 7 // 8
    kept = Sample.objects.count()
    assert kept == LONGEST_S // 60 + 2 + 1, "all that may still come was asked for once more"


def test_a_series_that_comes_late_is_fetched_again_as_far_back_as_it_was_late(here, prom):
    pull = add(here, prom, backfill_days=1)
    now = (timezone.now() + MINUTE).replace(second=40, microsecond=0)
    services.pull_due(now)
    for minute in range(1, 31):
        # It delivers every ten minutes what came in since.
        moment = now + minute * MINUTE
        prom.until = moment - (minute % 10) * MINUTE
        services.pull_due(moment)
    pull.refresh_from_db()
    assert pull.state == "pull_good"
    moments = list(Sample.objects.order_by("at").values_list("at", flat=True))
    assert moments[-1] >= now + 29 * MINUTE
    assert {after - before for before, after in pairwise(moments)} == {MINUTE}, "there is no hole"
    begins = (float(prom.asked[-1]["end"]) - float(prom.asked[-1]["start"])) / 60
    assert services.again_s(0, 60) / 60 < begins <= 10 + 3 + 1
    for minute in range(31, 71):
        prom.until = now + minute * MINUTE
        services.pull_due(now + minute * MINUTE)
    pull.refresh_from_db()
    assert pull.late_s < 60, "punctual again, it is asked for less"


def test_one_late_series_among_others_is_not_forgotten_and_one_that_ended_is(here, prom):
    prom.sites = ("shop", "blog")
    pull = add(here, prom)
    now = (timezone.now() + MINUTE).replace(second=40, microsecond=0)
    services.pull_due(now)
    prom.sites = ("shop",)
    for minute in (5, 10, 15):
        services.pull_due(now + minute * MINUTE)
    prom.sites = ("shop", "blog")
    services.pull_due(now + 20 * MINUTE)
    late = Sample.objects.filter(metric__resource="blog", at__gt=now + MINUTE).count()
    assert late == 19, "each minute that it was silent"
    prom.sites = ("shop",)
    for hours in (2, 4, 6, 8):
        services.pull_due(now + timedelta(hours=hours))
    pull.refresh_from_db()
    assert set(pull.newest) == {"shop"}


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        ((400, "parse error"), "refuses the query: parse error"),
        ((503, "busy"), "could not answer"),
        ((401, "no"), "check the token"),
    ],
)
def test_what_goes_wrong_stands_there_is_tried_again_later_and_later_and_mends_itself(
    here, prom, fails, says
):
    pull = add(here, prom)
    prom.fails = fails
    now = timezone.now()
    for failed in range(1, 4):
        assert services.pull_due(now) == 1
        pull.refresh_from_db()
        assert (pull.state, pull.failures) == ("pull_failing", failed)
        assert says in pull.problem
        rest = (pull.next_at - now).total_seconds()
        assert rest == 60 * 2**failed
        now = pull.next_at
    prom.fails = None
    services.pull_due(now)
    pull.refresh_from_db()
    assert (pull.state, pull.failures, pull.problem) == ("pull_good", 0, "")


def test_warnings_of_a_partial_answer_stand_at_the_query_until_one_comes_without(here, prom, client):
    pull = add(here, prom)
    prom.warnings = ["PARTIAL: store eu-2 is away"]
    now = timezone.now()
    services.pull_due(now)
    pull.refresh_from_db()
    assert (pull.state, pull.failures) == ("pull_good", 0)
    assert Sample.objects.exists(), "what it says is kept"
    told = "Prometheus warns, and its answer may not be whole: PARTIAL: store eu-2 is away"
    caller = Caller(here.editor)
    assert caller.get(f"/pulls/{pull.ref}")["problem"] == told
    assert caller.post(f"/pulls/{pull.ref}/try")["note"] == told
    client.force_login(here.editor)
    assert told in client.get(reverse("capacity:pull-list", args=[here.account.ref])).content.decode()
    tried = client.post(reverse("capacity:pull-act", args=[pull.ref]), {"act": "try"}, follow=True)
    assert tried.content.decode().count(told) == 2
    prom.warnings = []
    services.pull_due(now + 5 * MINUTE)
    pull.refresh_from_db()
    assert (pull.state, pull.problem) == ("pull_good", "")


def test_our_own_token_that_a_server_says_back_is_shown_to_nobody(here, prom):
    pull = add(here, prom, token="secret-of-prometheus")
    prom.fails = (400, "Bearer secret-of-prometheus is not known")
    services.pull_due(timezone.now())
    pull.refresh_from_db()
    assert "is not known" in pull.problem
    assert "secret-of-prometheus" not in pull.problem
    assert "[token]" in pull.problem


def test_a_server_that_cannot_be_reached_is_a_problem_of_the_pull_and_not_of_the_worker(here, prom):
    pull = add(here, prom)
    prom.close()
    pull_samples()
    pull.refresh_from_db()
    assert pull.state == "pull_failing"
    assert "No connection" in pull.problem


def test_one_that_a_worker_has_in_hand_is_asked_by_no_other_until_its_lease_is_over(here, prom):
    add(here, prom)
    now = timezone.now()
    with transaction.atomic():
        assert services._take(now) is not None
    assert services._take(now) is None
    assert services._take(now + services._LEASE) is not None, "the worker died: another one asks"


def test_switched_off_or_archived_it_is_not_asked_and_on_again_it_goes_on_from_where_it_was(here, prom):
    pull = add(here, prom)
    services.pull_due(timezone.now())
    reached = Pull.objects.get(pk=pull.pk).reached_at
    services.switch(pull, on=False, actor=here.editor)
    assert services.pull_due(timezone.now() + timedelta(days=1)) == 0
    assert services.switch(pull, on=True, actor=here.editor).reached_at == reached
    Account.objects.filter(pk=here.account.pk).update(status=AccountStatus.ARCHIVED)
    assert services.pull_due(timezone.now() + timedelta(days=1)) == 0
    with pytest.raises(Refused):
        add(here, prom, name="orders_per_min")


def test_switched_off_while_it_is_being_asked_it_stays_off(here, prom, monkeypatch):
    pull = add(here, prom)
    asked = services._ask

    def meanwhile(*args):
        services.switch(pull, on=False, actor=here.editor)
        return asked(*args)

    monkeypatch.setattr(services, "_ask", meanwhile)
    services.pull_due(timezone.now())
    assert not Pull.objects.get(pk=pull.pk).is_on


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"base_url": "http://169.254.169.254"}, None),
        ({"base_url": "http://10.0.0.1:9090"}, None),
        ({"query": ""}, None),
        ({"step_s": 5}, None),
        ({"backfill_days": 400}, None),
        ({"kind": "nonsense"}, None),
        ({"unit": "requests/min"}, "other_unit"),
        ({"base_url": "https://prometheus.example.com/?tenant=1"}, "bad_address"),
        ({"base_url": "https://prometheus.example.com/#x"}, "bad_address"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(here, prom, fields, code):
    with pytest.raises(Refused) as refusal:
        add(here, prom, **fields)
    assert refusal.value.says
    assert code is None or refusal.value.code == code
    assert not Pull.objects.exists()


def test_the_same_query_twice_and_too_many_are_refused(here, prom, monkeypatch):
    add(here, prom)
    with pytest.raises(Refused):
        add(here, prom)
    monkeypatch.setattr(services, "MOST_OF_ACCOUNT", 1)
    with pytest.raises(Refused) as refusal:
        add(here, prom, name="orders_per_min")
    assert refusal.value.code == "too_many"


def test_two_queries_never_write_into_one_series(here, prom):
    add(here, prom, resource_label="")
    with pytest.raises(Refused) as refusal:
        add(here, prom, query="sum(other)", resource_label="")
    assert refusal.value.code == "same_series"
    assert add(here, prom, query="sum by (site) (other)", resource_label="site")


def test_where_all_that_came_is_impossible_the_query_says_why(here, prom):
    pull = add(here, prom, name="error_ratio")
    values = [[timezone.now().timestamp() - 600, "55"]]
    found = {"resultType": "matrix", "result": [{"metric": {"site": "shop"}, "values": values}]}
    prom.answer = lambda query: (200, json.dumps({"status": "success", "data": found}).encode())
    services.pull_due(timezone.now())
    pull.refresh_from_db()
    assert "a share is 0 to 1" in pull.problem
    assert not Metric.objects.exists()


def test_spans_lie_on_whole_steps_and_join(here, prom):
    pull = add(here, prom, step_s=300, backfill_days=30)
    now = datetime(2026, 11, 27, 12, 3, 7, tzinfo=UTC)
    begins, ends = services.span(pull, now)
    assert begins.timestamp() % 300 == ends.timestamp() % 300 == 0
    pull.reached_at = ends
    following, last = services.span(pull, now)
    assert following == ends - AGAIN * timedelta(seconds=300)
    assert last <= now - services.LATE


def test_it_is_entered_tried_switched_and_removed_by_the_api(here, prom):
    caller = Caller(here.editor)
    body = {
        "name": "requests_per_s",
        "base_url": f"http://{prom.place}",
        "query": "sum(x)",
        "token": "secret",
    }
    made = caller.post(f"/accounts/{here.account.ref}/pulls", body, 201)
    assert "token" not in made
    assert made["state"] == "pull_waiting"
    url = f"/pulls/{made['ref']}"
    tried = caller.post(f"{url}/try")
    assert tried["series"] == 1
    assert 9 <= tried["samples"] <= 11
    assert not Sample.objects.exists(), "a try keeps nothing"
    prom.fails = (400, "parse error")
    assert "parse error" in caller.post(f"{url}/try", status=422)["detail"]
    assert caller.post(f"{url}/switch", {"is_on": False})["state"] == "pull_off"
    listed = caller.get(f"/accounts/{here.account.ref}/pulls")["results"]
    assert [row["ref"] for row in listed] == [made["ref"]]
    assert caller.ask("delete", url).status_code == 428
    assert caller.ask("delete", url, **{"If-Match": "*"}).status_code == 204
    assert not Pull.objects.exists()


def test_the_page_enters_tries_and_says_what_went_wrong(here, prom, client):
    client.force_login(here.editor)
    url = reverse("capacity:pull-list", args=[here.account.ref])
    bad = client.post(url, {"base_url": "nonsense", "name": "", "query": ""})
    assert bad.status_code == 422
    form = {
        "base_url": f"http://{prom.place}",
        "query": "sum(x)",
        "name": "requests_per_s",
        "step_s": 60,
        "backfill_days": 1,
        "token": "secret-of-prometheus",
    }
    page = client.post(url, form, follow=True).content.decode()
    assert "It is asked within a minute." in page
    assert "secret-of-prometheus" not in page
    pull = Pull.objects.get()
    act = reverse("capacity:pull-act", args=[pull.ref])
    assert (
        "requests_per_s answers: 1 series" in client.post(act, {"act": "try"}, follow=True).content.decode()
    )
    prom.fails = (400, "parse error")
    assert "parse error" in client.post(act, {"act": "try"}, follow=True).content.decode()
    assert "asked no more" in client.post(act, {"act": "off"}, follow=True).content.decode()
    assert "was removed" in client.post(act, {"act": "remove"}, follow=True).content.decode()
    client.force_login(here.viewer)
    assert client.post(act, {"act": "on"}).status_code in (403, 404)
    assert "Enter a query" not in client.get(url).content.decode()
