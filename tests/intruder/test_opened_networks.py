"""A private network that is opened for one account is closed for every other, whatever name or moment is chosen."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.management import CommandError, call_command

from accounts import networks
from accounts.models import Account, OpenedNetwork
from capacity.counts import CountKind, CountSource, read_count
from capacity.hosts import services as hosts
from capacity.loads.pins import pins_of
from capacity.loads.profile import Asked, Profile, Shape, Stops
from capacity.probes import ProbeSpec, run_probe
from capacity.pulls import services as pulls
from portal import egress
from portal.audit.models import AuditEntry
from portal.errors import Refused, Trouble
from portal.webhooks.services import check_address
from scaledown.driver import answers_directly
from tests import factories as make
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db

NAME = "inside.shop.example"
AT = datetime(2026, 11, 28, 10, 0, tzinfo=UTC)


class Inside:
    """A server on an address that is closed to everybody, and the name that leads there."""

    def __init__(self):
        self.asked = []
        inside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                inside.asked.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"7")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://{NAME}:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def leads_to(monkeypatch):
    """Where the name leads now; each look-up is counted."""
    found, real = {"addresses": ["127.0.0.1"], "asked": 0}, socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        if host not in (NAME, NAME.encode()):
            return real(host, port, *args, **kwargs)
        found["asked"] += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found["addresses"]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


@pytest.fixture
def inside(leads_to, settings):
    settings.EGRESS_ALLOW, settings.EGRESS_ALLOW_NETWORKS = [], []
    server = Inside()
    yield server
    server.close()


@pytest.fixture
def here(inside):
    made = desk()
    # The one address that a test can listen at is none that the command opens, so the row is written.
    OpenedNetwork.objects.create(account=made.account, network="127.0.0.1/32", reason="the test's server")
    made.other = Account.objects.get(number="200")
    made.stranger = made.other.memberships.get().user
    return made


def pull_of(account, actor, url):
    fields = {
        "name": "requests_per_s",
        "base_url": url,
        "query": "up",
        "resource_label": "",
        "backfill_days": 1,
    }
    return pulls.add(account, fields, actor=actor)


def test_a_query_reaches_the_network_of_its_own_account_and_no_others(here, inside):
    mine = pull_of(here.account, here.editor, inside.url)
    theirs = pull_of(here.other, here.stranger, inside.url)
    with pytest.raises(Trouble):
        pulls.ask_once(mine)  # It was asked: a 7 is just no answer of a Prometheus.
    assert len(inside.asked) == 1
    with pytest.raises(Refused) as caught:
        pulls.ask_once(theirs)
    assert caught.value.code == "closed_address"
    assert len(inside.asked) == 1
    with pytest.raises(Refused):
        pull_of(here.other, here.stranger, f"http://127.0.0.1:{inside.port}")


def test_a_name_that_changes_where_it_leads_is_judged_as_it_is_asked(here, inside, leads_to):
    leads_to["addresses"] = ["8.8.8.8"]
    theirs = pull_of(here.other, here.stranger, inside.url)
    for addresses in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"]):
        leads_to["addresses"], leads_to["asked"] = addresses, 0
        with pytest.raises(Refused) as caught:
            pulls.ask_once(theirs)
        assert caught.value.code == "closed_address"
        assert leads_to["asked"] == 1  # Not once to judge it and once more to connect.
    assert inside.asked == []


def test_side_by_side_in_one_event_loop_each_request_has_the_rules_of_its_own_account(here, inside):
    mine = egress.rules_from_settings(networks.networks_of(here.account))
    theirs = egress.rules_from_settings(networks.networks_of(here.other))

    async def ask():
        try:
            return await asyncio.gather(
                *(egress.fetch(inside.url, rules=mine if n % 2 else theirs) for n in range(12)),
                return_exceptions=True,
            )
        finally:
            await egress.close()

    answers = asyncio.run(ask())
    assert [one.status for one in answers[1::2]] == [200] * 6
    assert {type(one) for one in answers[::2]} == {Refused}
    assert len(inside.asked) == 6


@pytest.mark.parametrize("has_it", [True, False])
def test_probes_counts_looks_at_nodes_and_loads_go_where_the_account_may(here, inside, has_it):
    opened = networks.networks_of(here.account if has_it else here.other)
    profile = Profile(
        requests=(Asked("GET", f"{inside.url}/", 1),),
        shape=Shape(kind="steady", unit="users", level=1.0, duration_s=30),
        stops=Stops(error_ratio=0.5, window_s=5),
        max_users=1,
        max_requests_per_s=1.0,
    )

    async def ask():
        probe = await run_probe(ProbeSpec("home", inside.url, networks=opened), AT)
        source = CountSource(
            CountKind.PLAIN_NUMBER, f"http://{{address}}:{inside.port}/count", networks=opened
        )
        count = await read_count(source, "127.0.0.1", lambda: AT)
        node = await answers_directly(f"http://127.0.0.1:{inside.port}/", opened)
        await egress.close()
        return probe.ok, count.connections, node

    assert asyncio.run(ask()) == ((True, 7, True) if has_it else (None, None, None))
    if has_it:
        assert pins_of(profile, opened) == {f"{NAME}:{inside.port}": ["127.0.0.1"]}
    else:
        with pytest.raises(Refused):
            pins_of(profile, opened)
    assert bool(inside.asked) == has_it


def test_the_proof_of_a_host_is_not_looked_for_in_anothers_network(here, inside):
    theirs = hosts.add(here.other, f"{NAME}:{inside.port}", actor=here.stranger)
    assert "the portal does not ask" in hosts.find(theirs)[1]
    mine = hosts.add(here.account, f"{NAME}:{inside.port}", actor=here.editor)
    assert "the portal does not ask" not in hosts.find(mine)[1]
    assert inside.asked == []  # It was connected to, and speaks no TLS.


@pytest.mark.parametrize("where", ["https://10.1.2.3/hook", "https://192.168.4.4:8443/hook"])
def test_events_go_to_no_private_address_whatever_is_open(here, settings, where):
    settings.EGRESS_ALLOW_NETWORKS = ["10.0.0.0/8", "192.168.0.0/16"]
    with pytest.raises(Refused, match="public addresses only"):
        check_address(where)


def test_a_name_of_a_webhook_that_leads_inside_is_refused_as_it_is_posted(here, inside, settings):
    settings.EGRESS_ALLOW_NETWORKS = ["127.0.0.0/8"]

    async def post():
        try:
            return await egress.exchange(
                inside.url, method="POST", content=b"{}", rules=egress.public_rules()
            )
        finally:
            await egress.close()

    with pytest.raises(Refused):
        asyncio.run(post())
    assert inside.asked == []


# -- the operator's command ------------------------------------------------------------------------------------


def run(act, *args):
    out = io.StringIO()
    call_command("networks", act, *args, stdout=out)
    return out.getvalue()


@pytest.fixture
def operator(here):
    return make.user("Olga", email="olga@ops.example", is_operator=True)


def opens(here, network="10.1.0.0/16", number="100", *more):
    return run(
        "open",
        "--account",
        number,
        "--network",
        network,
        "--by",
        "olga@ops.example",
        "--reason",
        "shop",
        *more,
    )


def test_an_operator_opens_lists_and_closes_and_all_of_it_is_on_record(here, operator):
    assert opens(here) == "10.1.0.0/16 is open for Shop.\n"
    assert networks.networks_of(here.account) == ("10.1.0.0/16", "127.0.0.1/32")
    assert networks.networks_of(here.other) == ()
    assert "10.1.0.0/16  Shop" in run("list")
    closing = ("--network", "10.1.0.0/16", "--by", "olga@ops.example", "--reason", "gone")
    assert "is closed" in run("close", "--account", "100", *closing)
    assert networks.networks_of(here.account) == ("127.0.0.1/32",)
    entries = AuditEntry.objects.filter(what__startswith="network.").order_by("pk")
    assert [(one.what, one.account_ref) for one in entries] == [
        ("network.opened", here.account.ref),
        ("network.closed", here.account.ref),
    ]
    with pytest.raises(CommandError, match="is not open"):
        run("close", "--account", "100", *closing)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("10.1.0.1/16", "CIDR"),
        ("all", "CIDR"),
        ("0.0.0.0/0", "no private network"),
        ("8.8.8.0/24", "no private network"),
        ("127.0.0.0/8", "no private network"),
        ("169.254.0.0/16", "no private network"),
        ("100.100.100.200/32", "metadata"),
        ("::/0", "no private network"),
    ],
)
def test_what_is_no_private_network_is_opened_for_nobody(here, operator, network, says):
    with pytest.raises(CommandError, match=says):
        opens(here, network)
    assert OpenedNetwork.objects.count() == 1


def test_what_another_account_has_open_is_opened_only_knowingly(here, operator):
    opens(here)
    for network in ("10.1.2.0/24", "10.0.0.0/8", "10.1.0.0/16"):
        with pytest.raises(CommandError, match="each account would reach"):
            opens(here, network, "200")
    opens(here, "10.1.2.0/24", "200", "--shared")
    assert networks.networks_of(here.other) == ("10.1.2.0/24",)
    with pytest.raises(CommandError, match="already"):
        opens(here)


def test_only_operators_open_and_only_with_a_reason(here, operator):
    args = ("--account", "100", "--network", "10.1.0.0/16")
    with pytest.raises(CommandError, match="Say why"):
        run("open", *args, "--by", "olga@ops.example")
    with pytest.raises(CommandError, match="no active operator"):
        run("open", *args, "--by", here.lead.email, "--reason", "x")
    assert OpenedNetwork.objects.count() == 1


def test_the_settings_and_the_api_show_an_accounts_networks_to_its_own_people_alone(here, operator, client):
    opens(here, "10.1.0.0/16")
    opens(here, "10.7.0.0/16", "200")
    client.force_login(here.lead)
    page = client.get(f"/accounts/{here.account.ref}/settings/").content.decode()
    assert "10.1.0.0/16" in page
    assert "10.7.0.0/16" not in page
    found = Caller(here.viewer).get(f"/accounts/{here.account.ref}/networks")["results"]
    assert [(one["network"], one["reason"]) for one in found][:1] == [("10.1.0.0/16", "shop")]
    Caller(here.viewer).get(f"/accounts/{here.other.ref}/networks", status=404)
