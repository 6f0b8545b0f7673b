"""Hosts of an account: what is published is found at the right place, by the right rules, and what is gone is withdrawn."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from django.urls import reverse
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.models import AccountStatus
from capacity.hosts import services
from capacity.hosts.models import LASTS, WELL_KNOWN, ProvenHost
from capacity.hosts.places import place_of
from portal.audit.models import AuditEntry
from portal.errors import Refused, TryLater
from portal.txt import txt_records
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller


class NameServer:
    """Answers for TXT records over UDP. `records` by name; a name in `broken` gets SERVFAIL."""

    def __init__(self):
        self.records, self.broken, self.asked = {}, set(), []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                wire, whence = self.socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(wire)
            name = query.question[0].name.to_text(omit_final_dot=True).lower()
            self.asked.append(name)
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            if name in self.broken:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif name in self.records:
                texts = self.records[name]
                answer.answer.append(dns.rrset.from_text_list(f"{name}.", 60, "IN", "TXT", texts))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self.socket.sendto(answer.to_wire(), whence)


@pytest.fixture
def names(monkeypatch):
    server = NameServer()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    yield server
    server.socket.close()


class Site:
    """A host on loopback that may have the file."""

    def __init__(self):
        self.status, self.body, self.asked = 404, b"", []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append(self.path)
                self.send_response(site.status)
                if site.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(site.body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def site(settings):
    one = Site()
    settings.EGRESS_ALLOW = [one.place]
    yield one
    one.close()


@pytest.fixture
def here(db):
    return desk()


# -- which host is meant ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("shop.example.com", "shop.example.com"),
        (" Shop.Example.COM. ", "shop.example.com"),
        ("https://shop.example.com/cart?x=1", "shop.example.com"),
        ("http://shop.example.com:80/", "shop.example.com"),
        ("shop.example.com:443", "shop.example.com"),
        ("shop.example.com:8443", "shop.example.com:8443"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_has_one_spelling(typed, place):
    assert place_of(typed) == place


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "://",
        "ftp://shop.example.com",
        "user@shop.example.com",
        "https://user:word@shop.example.com/",
        "*.example.com",
        "shop_1.example.com",
        "shop.example.com:0",
        "shop.example.com:99999",
        "192.0.2.7",
        "[2001:db8::1]",
        "0x7f000001",
        "2130706433",
        "a b.example.com",
        "a" * 64 + ".example.com",
    ],
)
def test_what_is_no_name_of_a_host_is_refused(typed):
    with pytest.raises(Refused):
        place_of(typed)


@pytest.mark.parametrize(
    "typed", ["192.0.2.7", "¹", "１９２.0.2.7", "1９２。0。2。7:8080", "0x7f000001", "𝟏𝟐𝟕.1"]
)
def test_an_address_is_no_name_in_whatever_digits_it_is_typed(typed):
    with pytest.raises(Refused) as refused:
        place_of(typed)
    assert refused.value.code == "address_as_host"


@given(st.text(max_size=80))
@example("¹")
def test_whatever_is_typed_is_a_place_that_stays_the_same_or_refused(typed):
    try:
        place = place_of(typed)
    except Refused:
        return
    assert place_of(place) == place
    assert place.isascii()
    assert "/" not in place
    assert "@" not in place


@pytest.mark.parametrize(
    "typed", ["localhost", "127.0.0.1:8000", "metadata.google.internal", "shop.example.com:22"]
)
def test_hosts_that_the_portal_never_asks_are_not_entered(here, typed):
    with pytest.raises(Refused):
        services.add(here.account, typed, actor=here.editor)
    assert not ProvenHost.objects.exists()


# -- looking for the proof -----------------------------------------------------------------------------


def test_records_are_read_whole_and_a_name_server_that_fails_is_no_absence(names):
    names.records["a.example.com"] = ['"one" "two"', '"three"']
    assert sorted(txt_records("a.example.com")) == ["onetwo", "three"]
    assert txt_records("b.example.com") == ()
    names.broken.add("c.example.com")
    with pytest.raises(TryLater):
        txt_records("c.example.com", timeout_s=1.0)
    with pytest.raises(Refused):
        txt_records("a" * 70 + ".example.com")


def test_a_txt_record_proves_the_host_and_the_record_of_another_account_does_not(here, names, monkeypatch):
    monkeypatch.setattr(services, "_stands_in_file", lambda host: False)
    host = services.add(here.account, "shop.example.com", actor=here.editor)
    assert host.state == "host_waiting"
    names.records["_steady-state.shop.example.com"] = ['"steady-state=of-somebody-else"', '"v=spf1 -all"']
    assert services.check(host, actor=here.editor).state == "host_missing"
    names.records["_steady-state.shop.example.com"].append(f'"{host.proof}"')
    found = services.check(host, actor=here.editor)
    assert (found.state, found.way, found.problem) == ("host_proven", "dns", "")
    assert set(names.asked) == {"_steady-state.shop.example.com"}, "of no name above it"
    assert AuditEntry.objects.filter(what="host.proven").count() == 1
    services.check(host, actor=here.editor)
    assert AuditEntry.objects.filter(what="host.proven").count() == 1, (
        "a look that changes nothing is no news"
    )


def test_a_file_on_the_host_proves_it_on_a_line_of_its_own_and_no_redirect_is_followed(here, names, site):
    host = services.add(here.account, site.place, actor=here.editor)
    site.status, site.body = 200, f"something {host.proof}\n".encode()
    assert services.check(host, actor=here.editor).state == "host_missing"
    site.body = f"# of two portals\nsteady-state=another\n{host.proof}\r\n".encode()
    assert services.check(host, actor=here.editor).way == "file"
    site.status = 302
    assert services.check(host, actor=here.editor).state == "host_missing"
    assert set(site.asked) == {WELL_KNOWN}
    assert AuditEntry.objects.filter(what="host.lost").exists()


def test_a_proof_that_nobody_could_look_for_stays_as_it_was(here, names, site):
    host = services.add(here.account, site.place, actor=here.editor)
    site.status, site.body = 200, f"{host.proof}\n".encode()
    services.check(host, actor=here.editor)
    names.broken.add(host.record_name)
    site.close()
    with pytest.raises(TryLater):
        services.check(host, actor=here.editor)
    host.refresh_from_db()
    assert host.state == "host_proven"


def test_load_needs_a_proof_that_is_found_right_then(here, names, site):
    with pytest.raises(Refused, match="none of this account"):
        services.ensure(here.account, [site.place], actor=here.manager)
    host = services.add(here.account, site.place, actor=here.editor)
    site.status, site.body = 200, f"{host.proof}\n".encode()
    services.ensure(here.account, [site.place], actor=here.manager)
    site.status = 404
    with pytest.raises(Refused, match="not proven any more"):
        services.ensure(here.account, [site.place], actor=here.manager)
    host.refresh_from_db()
    assert host.proven_at is None


def test_a_proof_grows_old(here, names, site):
    host = services.add(here.account, site.place, actor=here.editor)
    site.status, site.body = 200, host.proof.encode()
    host = services.check(host, actor=here.editor)
    host.proven_at -= LASTS + timedelta(seconds=1)
    assert host.state == "host_old"


def test_two_accounts_publish_texts_of_their_own(here, names):
    mine = services.add(here.account, "shop.example.com", actor=here.editor)
    with pytest.raises(Refused, match="already"):
        services.add(here.account, "SHOP.example.com:443", actor=here.editor)
    other = here.stranger.memberships.get().account
    theirs = services.add(other, "shop.example.com", actor=here.stranger)
    assert mine.proof != theirs.proof


def test_an_archived_account_enters_and_checks_nothing(here, names):
    host = services.add(here.account, "shop.example.com", actor=here.editor)
    here.account.status = AccountStatus.ARCHIVED
    here.account.save()
    host.refresh_from_db()
    with pytest.raises(Refused):
        services.check(host, actor=here.editor)
    with pytest.raises(Refused):
        services.add(here.account, "www.example.com", actor=here.editor)


# -- page and API --------------------------------------------------------------------------------------


def test_the_page_says_what_to_publish_and_what_was_found(here, names, site, client):
    client.force_login(here.editor)
    page = reverse("capacity:host-list", args=[here.account.ref])
    assert client.post(page, {"host": "192.0.2.7"}).status_code == 422
    assert client.post(page, {"host": site.place}).status_code == 302
    host = ProvenHost.objects.get()
    shown = client.get(page).content.decode()
    assert host.proof in shown
    assert "not proven yet" in shown
    act = reverse("capacity:host-act", args=[host.ref])
    assert "There is no TXT record" in client.post(act, {"act": "check"}, follow=True).content.decode()
    site.status, site.body = 200, host.proof.encode()
    assert "is proven" in client.post(act, {"act": "check"}, follow=True).content.decode()
    client.post(act, {"act": "remove"})
    assert not ProvenHost.objects.exists()


def test_programs_do_the_same_and_see_only_their_own(here, names, site):
    editor = Caller(here.editor)
    made = editor.post(f"/accounts/{here.account.ref}/hosts", {"place": site.place}, status=201)
    assert made["state"] == "host_waiting"
    site.status, site.body = 200, made["proof"].encode()
    assert editor.post(f"/hosts/{made['ref']}/check")["state"] == "host_proven"
    Caller(here.viewer).post(f"/hosts/{made['ref']}/check", status=403)
    Caller(here.stranger).get(f"/hosts/{made['ref']}", status=404)
    assert editor.get(f"/accounts/{here.account.ref}/hosts")["results"][0]["way"] == "file"
    tag = editor.ask("get", f"/hosts/{made['ref']}").headers["ETag"]
    assert editor.ask("delete", f"/hosts/{made['ref']}", **{"If-Match": '"other"'}).status_code == 412
    assert editor.ask("delete", f"/hosts/{made['ref']}", **{"If-Match": tag}).status_code == 204
