"""Benchmarks that were taken in: kept with their file, told once, described, set aside; pages and API."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection as database
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Account
from capacity import demo
from capacity.benchmarks import services
from capacity.benchmarks.models import Benchmark, BenchmarkFile
from capacity.importers import ImportRefused, parse
from capacity.models import Ceiling
from portal.audit.models import AuditEntry
from portal.errors import Refused, StaleState
from portal.events.models import Event
from tests.capacity.benchmarks import FILES, data
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller

NAMES = sorted(file.name for file in FILES.iterdir() if file.name != "README.md")


@pytest.fixture
def here(db):
    return desk()


def taken(here, name="k6-handle-summary.json", **more) -> Benchmark:
    return services.take_in(here.account, data(name), file_name=name, actor=here.manager, **more)[0]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_kept_byte_for_byte_and_its_page_opens(here, client, name):
    row = taken(here, name)
    assert services.file_of(Benchmark.objects.get(pk=row.pk)) == data(name)
    client.force_login(here.viewer)
    page = client.get(reverse("capacity:benchmark", args=[row.ref]))
    assert page.status_code == 200
    answer = client.get(reverse("capacity:benchmark-file", args=[row.ref]))
    assert answer.content == data(name)
    assert answer["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer["Content-Type"] == "application/octet-stream"


def test_what_the_file_tells_stands_in_the_list_and_what_it_does_not_is_unknown(here, client):
    row = taken(here, "wrk.txt", node_count=4)
    assert (row.tool, row.format, row.ran_at, row.p95_ms) == ("wrk", "wrk-text", None, None)
    assert row.requests_per_s == pytest.approx(row.result["requests_per_s"])
    assert row.requests_per_s_per_node == pytest.approx(row.requests_per_s / 4)
    client.force_login(here.viewer)
    html = client.get(reverse("capacity:benchmark-list", args=[here.account.ref])).content.decode()
    assert "wrk: wrk.txt" in html
    assert "not told" in html


def test_percentiles_and_fast_answers_are_told_with_the_digits_that_count(here, client):
    client.force_login(here.viewer)
    pages = []
    for name, before, after in (
        ("locust_stats.csv", b"140,140,140", b"140,141,142"),
        ("wrk-latency.txt", b"50%    6.29ms", b"50%  250.00us"),
    ):
        content = data(name).replace(before, after).replace(b"68,180,180,180", b"68,180,181,182")
        row, _ = services.take_in(here.account, content, file_name=name, actor=here.manager)
        html = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
        pages.append(re.findall(r'<th scope="row">([^<]*)</th><td class="r">([^<]* ms)<', html))
    assert ("99.99", "181 ms") in pages[0]
    assert [at_most for percent, at_most in pages[0] if percent == "100"] == ["182 ms"]
    assert pages[1][0] == ("50", "0.25 ms")


def test_a_moment_that_the_file_tells_stays_whatever_a_person_says(here):
    told = taken(here, "jmeter.jtl", ran_at=timezone.now())
    assert told.ran_at.isoformat().replace("+00:00", "Z") == told.result["started_at"]
    with pytest.raises(Refused) as refusal:
        services.describe(told, actor=here.manager, ran_at=timezone.now())
    assert refusal.value.code == "told_by_the_file"
    untold = taken(here, "wrk.txt")
    moment = timezone.now() - timedelta(days=3)
    assert services.describe(untold, actor=here.manager, ran_at=moment).ran_at == moment
    with pytest.raises(Refused) as future:
        services.describe(untold, actor=here.manager, ran_at=timezone.now() + timedelta(days=1))
    assert future.value.code == "in_the_future"


def test_a_mix_is_spelt_as_the_account_spells_it_already(here):
    """Capitals and blanks make no other mix; whoever mends the spelling of the only one may."""
    row = taken(here, mix="70 % cached,  25 % search")
    assert row.mix == "70 % cached, 25 % search"
    assert taken(here, "wrk.txt", mix=" 70 % Cached, 25 % search ").mix == row.mix
    other = taken(here, "hey.txt", mix="All cached")
    assert services.describe(other, actor=here.manager, mix="all cached").mix == "all cached"


def test_a_file_of_a_clock_that_is_ahead_is_refused(here):
    """It would be the newest one, which sets the ceiling, until its day."""
    later = int((timezone.now() + timedelta(days=30)).timestamp() * 1000)
    line = f"{later},100,home,200,OK,t-1,text,true,,1,1,1,1,https://shop.example.com,50,0,1"
    head = data("jmeter.jtl").split(b"\n", 1)[0]
    with pytest.raises(Refused, match="which is in the future") as refusal:
        services.take_in(
            here.account, head + b"\n" + line.encode() + b"\n", file_name="x.jtl", actor=here.manager
        )
    assert refusal.value.code == "in_the_future"
    assert not Benchmark.objects.exists()


def test_the_same_file_again_is_the_benchmark_that_is_there(here):
    first = taken(here, node_count=4)
    again, is_new = services.take_in(
        here.account, data("k6-handle-summary.json"), file_name="other.json", actor=here.lead, node_count=9
    )
    assert (again, is_new, again.node_count) == (first, False, 4)
    assert BenchmarkFile.objects.count() == 1
    assert AuditEntry.objects.filter(what="benchmark.taken_in").count() == 1
    assert Event.objects.filter(type="benchmark.taken_in").count() == 1
    other = Account.objects.exclude(pk=here.account.pk).first()
    elsewhere, is_new = services.take_in(
        other, data("k6-handle-summary.json"), file_name="x", actor=here.stranger
    )
    assert is_new
    assert elsewhere.account == other


@pytest.mark.django_db(transaction=True)
def test_handed_in_by_two_at_the_same_moment_it_is_there_once():
    here = desk()
    begun, found = threading.Barrier(2), []

    def hand_in(person):
        try:
            begun.wait()
            found.append(services.take_in(here.account, data("hey.txt"), file_name="hey.txt", actor=person))
        finally:
            connections.close_all()

    both = [threading.Thread(target=hand_in, args=[one]) for one in (here.manager, here.lead)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert sorted(is_new for _, is_new in found) == [False, True]
    assert len({row.pk for row, _ in found}) == Benchmark.objects.count() == 1


def test_what_cannot_be_read_leaves_nothing(here):
    for content in (b"", b"\x00\x01", data("k6-lines.json")[:700], b"{}"):
        with pytest.raises(ImportRefused):
            services.take_in(here.account, content, file_name="x", actor=here.manager)
    with pytest.raises(Refused) as large:
        services.take_in(here.account, b"x" * (services.MOST_BYTES + 1), file_name="x", actor=here.manager)
    assert large.value.code == "too_large"
    assert not Benchmark.objects.exists()
    assert not AuditEntry.objects.filter(what__startswith="benchmark.").exists()


def test_an_archived_account_takes_nothing_in(here):
    row = taken(here)
    Account.objects.filter(pk=here.account.pk).update(status="archived")
    here.account.refresh_from_db()
    for act in (
        lambda: taken(here, "hey.txt"),
        lambda: services.describe(row, actor=here.manager, node_count=2),
        lambda: services.set_aside(row, because="Old.", actor=here.manager),
    ):
        with pytest.raises(Refused) as refusal:
            act()
        assert refusal.value.code == "archived"


def test_a_connection_of_another_account_is_refused(here):
    other = Account.objects.exclude(pk=here.account.pk).first()
    with pytest.raises(Refused):
        services.take_in(
            other, data("hey.txt"), file_name="x", actor=here.stranger, connection=here.connection
        )


def test_labels_of_a_script_are_text_and_nothing_else(here, client):
    lines = data("jmeter.jtl").decode().splitlines()
    label = lines[0].split(",").index("label")
    cells = lines[1].split(",")
    cells[label] = "<script>alert(1)</script> ⟦a⟧"
    content = "\n".join([lines[0], ",".join(cells), *lines[2:]]).encode()
    row, _ = services.take_in(here.account, content, file_name="<b>.jtl", actor=here.manager)
    client.force_login(here.viewer)
    html = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [a]" in html
    assert "<b>.jtl" not in html


def test_set_aside_it_stays_to_be_read_with_the_reason_and_can_count_again(here, client):
    row = taken(here)
    for _ in range(2):
        services.set_aside(row, because="The generator was at its limit.", actor=here.manager)
    with pytest.raises(Refused):
        services.set_aside(row, because="  ", actor=here.manager)
    with pytest.raises(StaleState, match=r"The generator was at its limit.*not kept"):
        services.set_aside(row, because="The wrong pool.", actor=here.lead)
    client.force_login(here.viewer)
    html = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
    assert "The generator was at its limit." in html
    assert "It does not count" in html
    assert "set-aside" not in html
    for _ in range(2):
        row = services.count_again(row, actor=here.lead)
    assert (row.set_aside_at, row.set_aside_because) == (None, "")
    whats = AuditEntry.objects.filter(what__startswith="benchmark.").order_by("pk")
    assert [one.what for one in whats] == [
        "benchmark.taken_in",
        "benchmark.set_aside",
        "benchmark.counts_again",
    ]


def test_the_demo_has_a_step_test_in_which_six_servers_come_to_their_limit(here):
    begins = datetime(2026, 11, 9, 6, 30, tzinfo=UTC)
    found = parse(demo.step_test(begins), "steps_stats_history.csv")
    assert (found.started_at - begins).total_seconds() <= demo.EVERY_S
    assert [step.users for step in found.steps] == list(demo.USERS)
    rates = [step.requests_per_s for step in found.steps]
    assert rates == sorted(rates)
    assert max(rates) == pytest.approx(540, rel=0.02)
    assert found.steps[0].failures == 0 < found.steps[-1].failures
    assert found.steps[0].p95_ms < found.steps[-1].p95_ms
    for _ in range(2):
        demo.load(here.account, here.connection, "71", actor=here.manager)
    row = Benchmark.objects.get()
    assert (row.node_count, row.ran_at < timezone.now()) == (6, True)


# --- pages ------------------------------------------------------------------------------------------------------


def handed_in(client, here, name, **more):
    file = SimpleUploadedFile(name, data(name))
    return client.post(
        reverse("capacity:benchmark-list", args=[here.account.ref]), {"file": file, **more}, follow=True
    )


def said(client, row, **typed):
    """Type what is said of a benchmark into its page, as somebody who sees it as it is now."""
    address = reverse("capacity:benchmark", args=[row.ref])
    typed.setdefault("seen", client.get(address).context["form"]["seen"].value())
    return client.post(address, typed)


def test_a_file_is_handed_in_described_and_set_aside_in_the_browser(here, client):
    client.force_login(here.editor)
    pool = f"{here.connection.ref}:71"
    page = handed_in(
        client, here, "locust_stats_history.csv", title="Before Black Friday", pool=pool, node_count="6"
    )
    assert "The benchmark was taken in." in page.content.decode()
    row = Benchmark.objects.get()
    assert (row.title, row.balancer_id, row.node_count) == ("Before Black Friday", "71", 6)
    assert "How it went" in page.content.decode()
    again = handed_in(client, here, "locust_stats_history.csv")
    assert "This very file was taken in before; here it is." in again.content.decode()
    said(client, row, node_count="8", software="shop 4.12")
    row.refresh_from_db()
    assert (row.node_count, row.software) == (8, "shop 4.12")
    assert said(client, row, node_count="-1").status_code == 422
    aside = reverse("capacity:benchmark-aside", args=[row.ref])
    assert client.post(aside, {"reason": ""}).status_code == 422
    assert (
        "It does not count any more."
        in client.post(aside, {"reason": "Wrong."}, follow=True).content.decode()
    )
    # Of somebody who had the page open still.
    late = client.post(aside, {"reason": "Another."})
    assert (late.status_code, "set this aside already (“Wrong.”)" in late.content.decode()) == (409, True)
    assert "It counts again." in client.post(aside, {"act": "count"}, follow=True).content.decode()


def test_a_pool_that_was_not_said_is_said_later_on_its_page(here, client):
    taken(here, "hey.txt", connection=here.connection, balancer_id="71")
    row = taken(here, "wrk.txt")
    client.force_login(here.editor)
    address = reverse("capacity:benchmark", args=[row.ref])
    assert f"{here.connection.ref}:71" in client.get(address).content.decode()
    said(client, row, pool=f"{here.connection.ref}:71", node_count="6")
    row.refresh_from_db()
    assert (row.connection, row.balancer_id, row.node_count) == (here.connection, "71", 6)
    assert said(client, row, pool=f"{here.connection.ref}:99").status_code == 422
    client.force_login(here.viewer)
    assert f"{here.connection.ref}:71" not in client.get(address).content.decode()


def test_who_saw_another_environment_keeps_nothing_and_reads_what_it_is_now(here, client):
    row = taken(here, "wrk.txt", node_count=6, flavor="general1-4", generator_cpu=0.4)
    client.force_login(here.editor)
    seen = client.get(reverse("capacity:benchmark", args=[row.ref])).context["form"]["seen"].value()
    assert said(client, row, node_count="7", flavor="general1-4", generator_cpu="40").status_code == 302
    late = said(client, row, node_count="6", flavor="general1-4", software="shop 5", seen=seen)
    html = late.content.decode()
    assert late.status_code == 409
    assert "Somebody changed this meanwhile" in html
    assert "Servers that took part: 7" in html
    assert "How busy the load generator was (%): 40" in html
    assert "Size of the servers: " not in html, "what is the same is not told"
    assert 'value="shop 5"' in html, "what was typed stays"
    row.refresh_from_db()
    assert (row.node_count, row.software) == (7, "")
    services.set_aside(row, because="Wrong.", actor=here.manager)
    again = late.context["form"]["seen"].value()
    assert said(client, row, node_count="6", software="shop 5", seen=again).status_code == 302
    row.refresh_from_db()
    assert (row.node_count, row.software) == (6, "shop 5")
    assert said(client, row, node_count="8", seen="").status_code == 409


def test_a_pool_that_something_rests_on_stays(here, client):
    row = taken(here, "wrk.txt", connection=here.connection, balancer_id="71")
    assert services.describe(row, actor=here.manager, pool=(here.connection, "72")).balancer_id == "72"
    Ceiling.objects.create(
        account=here.account,
        connection=here.connection,
        balancer_id="72",
        requests_per_s=90.0,
        source="wrk",
        rank="steps",
        benchmark=row,
        at=timezone.now(),
    )
    with pytest.raises(Refused) as refusal:
        services.describe(row, actor=here.manager, pool=(here.connection, "71"))
    assert refusal.value.code == "pool_stays"
    client.force_login(here.editor)
    address = reverse("capacity:benchmark", args=[row.ref])
    assert 'name="pool"' not in client.get(address).content.decode()
    said(client, row, pool=f"{here.connection.ref}:71", node_count="3")
    row.refresh_from_db()
    assert (row.balancer_id, row.node_count) == ("72", 3)


def test_handed_in_again_what_was_missing_is_taken_and_what_stays_is_said(here, client):
    taken(here, "hey.txt", connection=here.connection, balancer_id="71")
    row = taken(here, "wrk.txt", flavor="general1-4")
    client.force_login(here.editor)
    page = handed_in(
        client,
        here,
        "wrk.txt",
        pool=f"{here.connection.ref}:71",
        node_count="6",
        flavor="general1-8",
        reason="Before the sale.",
        title="The sale",
    )
    row.refresh_from_db()
    assert (row.connection, row.balancer_id, row.node_count) == (here.connection, "71", 6)
    assert (row.flavor, row.reason, row.title) == ("general1-4", "Before the sale.", "wrk: wrk.txt")
    html = page.content.decode()
    assert "New of it: Pool, Servers that took part, Why it was run." in html
    assert "stays: Size of the servers." in html
    assert "Its name stays “wrk: wrk.txt”." in html
    assert AuditEntry.objects.filter(what="benchmark.described").count() == 1


def test_a_refusal_names_the_line_and_keeps_what_was_typed(here, client):
    client.force_login(here.editor)
    cut = data("k6-lines.json")[:700]
    answer = client.post(
        reverse("capacity:benchmark-list", args=[here.account.ref]),
        {"file": SimpleUploadedFile("k6.json", cut), "software": "shop 4.12"},
    )
    html = answer.content.decode()
    assert answer.status_code == 422
    assert "Line " in html
    assert 'value="shop 4.12"' in html


def test_who_only_reads_is_offered_nothing_to_change(here, client):
    row = taken(here)
    client.force_login(here.viewer)
    html = client.get(reverse("capacity:benchmark-list", args=[here.account.ref])).content.decode()
    assert "Hand one in" not in html
    html = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
    assert "Does not count…" not in html
    assert "Keep it" not in html


def test_the_list_costs_the_same_with_many(here, client):
    client.force_login(here.manager)
    address = reverse("capacity:benchmark-list", args=[here.account.ref])
    taken(here)
    client.get(address)
    with CaptureQueriesContext(
        database,
    ) as few:
        client.get(address)
    for name in NAMES[:12]:
        taken(here, name)
    with CaptureQueriesContext(database) as many:
        html = client.get(address).content.decode()
    assert len(many) == len(few) <= 14
    asked = [one["sql"] for one in many.captured_queries]
    assert not any('"result",' in sql or '"result" FROM' in sql or '"packed"' in sql for sql in asked)
    assert html.count("<tr>") > 10


def test_what_proves_nothing_says_so_in_the_list_on_its_page_and_by_the_api(here, client):
    good = taken(here, "k6-handle-summary.json")
    reasons = {
        taken(here, "wrk.txt", was_aborted=True): "It was stopped before its end.",
        taken(here, "hey.txt", generator_cpu=0.97): "The load generator’s own processor was 97% busy.",
    }
    portals = taken(here, "ab.txt")
    portals.result["invalid"] = "Of 900 requests that the profile asked for, 300 were sent."
    portals.save(update_fields=["result"])
    reasons[portals] = portals.result["invalid"]
    socketless = taken(here, "vegeta.json")
    socketless.result["errors"] = [{"kind": "dial tcp: connect: cannot assign requested address", "count": 4}]
    socketless.save(update_fields=["result"])
    reasons[socketless] = "The load generator had no socket left for some requests: the site was never asked."
    client.force_login(here.viewer)
    html = client.get(reverse("capacity:benchmark-list", args=[here.account.ref])).content.decode()
    assert html.count("proves nothing") == len(reasons)
    api = Caller(here.viewer)
    listed = {one["ref"]: one for one in api.get(f"/accounts/{here.account.ref}/benchmarks")["results"]}
    assert listed[str(good.ref)]["invalid_because"] == ""
    for row, because in reasons.items():
        assert because in html
        assert listed[str(row.ref)]["invalid_because"] == because
        assert api.get(f"/benchmarks/{row.ref}")["invalid_because"] == because
        page = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
        assert "It proves nothing" in page
        assert because in page
    page = client.get(reverse("capacity:benchmark", args=[good.ref])).content.decode()
    assert "proves nothing" not in page


def test_a_run_that_only_failed_has_carried_nothing(here, client):
    row = taken(here, "hey-nothing.txt", node_count=2, flavor="general1-4")
    client.force_login(here.viewer)
    html = client.get(reverse("capacity:benchmark-list", args=[here.account.ref])).content.decode()
    assert "every request failed" in html
    assert "19\u202f258.6" not in html
    page = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
    assert "every request failed" in page
    assert "A server carried" not in page
    assert "19\u202f258.6 failures a second: nothing was carried" in page
    assert Caller(here.viewer).get(f"/benchmarks/{row.ref}")["requests_per_s_per_node"] is None


def test_no_chart_of_a_run_mixes_units(here, client):
    row = taken(here, "locust_stats_history.csv")
    client.force_login(here.viewer)
    page = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
    drawn = [json.loads(one) for one in re.findall(r'<script type="application/json">(.*?)</script>', page)]
    assert {
        (chart["title"], chart["unit"]): [one["label"] for one in chart["series"]] for chart in drawn
    } == {
        ("Requests and failures a second over time", "requests/s"): [
            "requests a second",
            "failures a second",
        ],
        ("Users over time", "users"): ["users"],
        ("Latency over time", "ms"): ["95 of 100 within", "50 of 100 within"],
    }


def test_the_figure_on_top_is_rounded_as_in_the_table_below(here, client):
    row = taken(here, "hey.txt")
    Benchmark.objects.filter(pk=row.pk).update(p95_ms=12.5)
    client.force_login(here.viewer)
    page = client.get(reverse("capacity:benchmark", args=[row.ref])).content.decode()
    assert '<div class="figure-value">12.5 <small>ms</small></div>' in page


# --- API ----------------------------------------------------------------------------------------------------------


def test_a_file_is_handed_in_and_read_by_the_api(here):
    editor = Caller(here.editor)
    body = {
        "content": data("vegeta.json").decode(),
        "file_name": "vegeta.json",
        "node_count": 6,
        "connection": str(here.connection.ref),
        "balancer_id": "71",
    }
    address = f"/accounts/{here.account.ref}/benchmarks"
    made = editor.post(address, body, status=201)
    assert (made["tool"], made["balancer_id"], made["node_count"]) == ("vegeta", "71", 6)
    assert made["result"]["latency"]["percentiles"]
    refused = editor.post(
        address,
        {**body, "node_count": 7, "balancer_id": "72", "reason": "Not kept.", "flavor": "x"},
        status=409,
    )
    assert refused["type"].endswith("taken-in-before")
    assert "connection and balancer_id, node_count." in refused["detail"]
    assert f"PATCH /api/v1/benchmarks/{made['ref']}" in refused["detail"]
    assert editor.get(f"/benchmarks/{made['ref']}")["flavor"] == "", "nothing of it was kept"
    again = editor.post(address, {**body, "reason": "Before the sale."}, status=200)
    assert (again["ref"], again["node_count"], again["reason"]) == (made["ref"], 6, "Before the sale.")
    again = editor.post(address, {**body, "reason": "In other words."}, status=200)
    assert again["reason"] == "Before the sale."
    (listed,) = editor.get(address)["results"]
    assert "result" not in listed
    one = f"/benchmarks/{made['ref']}"
    tag = editor.ask("get", one).headers["ETag"]
    assert editor.ask("patch", one, {"software": "shop 4.12"}).status_code == 428
    patched = editor.ask("patch", one, {"software": "shop 4.12"}, **{"If-Match": tag})
    assert (patched.status_code, patched.json()["software"], patched.json()["node_count"]) == (
        200,
        "shop 4.12",
        6,
    )
    assert patched.headers["ETag"] == editor.ask("get", one).headers["ETag"] != tag
    pool = {"connection": str(here.connection.ref), "balancer_id": "72"}
    assert editor.ask("patch", one, pool, **{"If-Match": tag}).status_code == 412
    moved = editor.ask("patch", one, pool, **{"If-Match": patched.headers["ETag"]})
    assert moved.json()["balancer_id"] == "72"
    half = editor.ask("patch", one, {"connection": str(here.connection.ref)}, **{"If-Match": "*"})
    assert (half.status_code, half.json()["type"].rsplit(":", 1)[-1]) == (422, "no-balancer")
    file = editor.ask("get", f"{one}/file")
    assert file.content == data("vegeta.json")
    aside = editor.post(f"{one}/set-aside", {"reason": "Wrong pool."})
    assert aside["set_aside_because"] == "Wrong pool."
    assert editor.post(f"{one}/set-aside", {"reason": "Wrong pool."})["set_aside_at"] == aside["set_aside_at"]
    other = editor.post(f"{one}/set-aside", {"reason": "Another."}, status=409)
    assert other["type"].endswith(":aside-already")
    assert editor.post(f"{one}/count-again")["set_aside_at"] is None
    assert Caller(here.viewer).get(one)["ref"] == made["ref"]
    Caller(here.viewer).post(f"{one}/set-aside", {"reason": "x"}, status=403)
    Caller(here.stranger).get(one, status=404)


def test_the_api_refuses_with_the_line_and_what_to_do(here):
    editor, address = Caller(here.editor), f"/accounts/{here.account.ref}/benchmarks"
    cut = data("k6-lines.json")[:700].decode()
    answer = editor.post(address, {"content": cut}, status=422)
    assert answer["detail"].startswith("Line ")
    assert editor.post(address, {"content": "hello"}, status=422)["type"].endswith("benchmark-refused")
    assert editor.post(address, {"content": data("hey.txt").decode(), "balancer_id": "71"}, status=422)[
        "type"
    ].endswith("no-connection")
    editor.post(address, {"content": data("hey.txt").decode(), "nodes": 3}, status=422)
    assert not Benchmark.objects.exists()
