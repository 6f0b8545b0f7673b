"""Every row of the reference's section 9 that concerns Identity, Load Balancers and Servers."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from portal.cloud.types import Condition, Done, NodeSpec, ServerSpec
from portal.errors import InDoubt, ProviderFailed, Refused, TryLater
from tests.cloud.fake import CLB, IDENTITY_URL, NOVA, SOON, Provider, balancer, flat, node, rooted, server

LB = f"{CLB}/loadbalancers/71"
NODE = f"{LB}/nodes/410"
SERVER = f"{NOVA}/servers/s-1"


def run(awaitable):
    return asyncio.run(awaitable)


def trouble(awaitable) -> Exception:
    with pytest.raises((TryLater, Refused, InDoubt, ProviderFailed)) as caught:
        run(awaitable)
    return caught.value


def kind_and_code(awaitable) -> tuple[type, str]:
    problem = trouble(awaitable)
    assert problem.says.endswith(".")
    return type(problem), problem.code


def drain(provider: Provider, **options):
    return provider.cloud(**options).set_condition("71", "410", Condition.DRAINING, not_after=SOON)


def remove(provider: Provider):
    return provider.cloud().remove_node("71", "410", not_after=SOON)


def add(provider: Provider):
    spec = NodeSpec(address="10.1.1.1", port=80, condition=Condition.DRAINING)
    return provider.cloud().add_node("71", spec, not_after=SOON)


def delete(provider: Provider):
    return provider.cloud().delete_server("s-1", not_after=SOON)


# --- answers to changes: service error → kind and code ---

IMMUTABLE = "Load Balancer '71' has a status of '{}' and is considered immutable."
DRAIN_ROWS = [
    (flat(422, IMMUTABLE.format("PENDING_UPDATE")), TryLater, "balancer_busy"),
    (flat(422, IMMUTABLE.format("PENDING-UPDATE")), TryLater, "balancer_busy"),
    (flat(422, IMMUTABLE.format("BUILD")), TryLater, "balancer_busy"),
    (flat(422, IMMUTABLE.format("SOMETHING_NEW")), TryLater, "balancer_busy"),
    (flat(422, IMMUTABLE.format("ERROR")), Refused, "balancer_error"),
    (flat(422, IMMUTABLE.format("SUSPENDED")), Refused, "balancer_suspended"),
    (flat(422, IMMUTABLE.format("PENDING_DELETE")), ProviderFailed, "balancer_deleted"),
    (flat(422, "The load balancer is deleted and considered immutable."), ProviderFailed, "balancer_deleted"),
    (flat(422, "The loadbalancer is deleted and considered immutable."), ProviderFailed, "balancer_deleted"),
    (flat(410, "The loadbalancer is marked as deleted."), ProviderFailed, "balancer_deleted"),
    (flat(422, "One or more nodes must remain ENABLED."), Refused, "last_node"),
    (
        flat(
            422,
            "Last node on load balancer configured as ENABLED. One or more nodes must be configured as ENABLED.",
        ),
        Refused,
        "last_node",
    ),
    (
        flat(422, "Last node on the load balancer. One or more nodes must remain configured as ENABLED."),
        Refused,
        "last_node",
    ),
    (
        flat(
            400,
            "delete node operation would result in no Enabled nodes available. You must leave at least one node enabled",
        ),
        Refused,
        "last_node",
    ),
    (flat(400, "you must have at least one primary node enabled"), Refused, "last_primary"),
    (flat(400, "you must enable health monitoring to use secondary nodes"), Refused, "needs_monitor"),
    (flat(400, "JSON does not match the expected schema"), ProviderFailed, "bad_request"),
    (
        httpx.Response(400, json={"message": ["JSON does not match the expected schema"]}),
        ProviderFailed,
        "bad_request",
    ),
    (
        httpx.Response(
            400, json={"validationErrors": {"messages": ["no"]}, "message": "Validation Failure", "code": 400}
        ),
        ProviderFailed,
        "bad_request",
    ),
    (flat(403, "Forbidden"), Refused, "forbidden"),
    (httpx.Response(403, text="plain text"), Refused, "forbidden"),
    (flat(413, "Nodes must not exceed 25 per load balancer."), Refused, "node_quota"),
    (rooted(413, "overLimit", "OverLimit Retry...", {"Retry-After": "30"}), TryLater, "rate_limited"),
    (httpx.Response(429), TryLater, "rate_limited"),
    (
        httpx.Response(
            503, json={"message": "We are currently saturated with requests. Please try again later."}
        ),
        TryLater,
        "provider_busy",
    ),
    (httpx.Response(503, text="<html>503 Service Unavailable</html>"), InDoubt, "provider_fault"),
    (flat(500, "An unknown exception has occurred. Please contact support."), InDoubt, "provider_fault"),
    (httpx.Response(502, text="Bad Gateway"), InDoubt, "provider_fault"),
    (httpx.Response(504, text="Gateway Time-out"), InDoubt, "provider_fault"),
    (
        httpx.Response(302, headers={"Location": "http://169.254.169.254/"}),
        ProviderFailed,
        "unexpected_answer",
    ),
    (httpx.Response(405), ProviderFailed, "unexpected_answer"),
    (httpx.ConnectError("refused"), TryLater, "unreachable"),
    (httpx.ConnectTimeout("slow"), TryLater, "unreachable"),
    (httpx.PoolTimeout("full"), TryLater, "unreachable"),
    (httpx.ReadTimeout("slow"), InDoubt, "answer_lost"),
    (httpx.ReadError("reset"), InDoubt, "answer_lost"),
    (httpx.WriteError("reset"), InDoubt, "answer_lost"),
    (httpx.RemoteProtocolError("disconnected"), InDoubt, "answer_lost"),
]


@pytest.mark.parametrize(("answer", "kind", "code"), DRAIN_ROWS)
def test_an_error_answer_to_a_change_of_condition_is_what_the_reference_says(answer, kind, code):
    provider = Provider()
    provider.on("PUT", NODE, answer)
    assert kind_and_code(drain(provider)) == (kind, code)
    assert len(provider.sent("PUT")) == 1, "a change is never repeated by the client"


def test_a_drain_of_a_node_that_is_gone_says_that_someone_else_acted():
    provider = Provider()
    provider.on("PUT", NODE, flat(404, "Node not found"))
    provider.on("GET", LB, httpx.Response(200, json=balancer(nodes=[])))
    assert kind_and_code(drain(provider)) == (ProviderFailed, "node_missing")


def test_a_drain_on_an_unknown_balancer_stops():
    provider = Provider()
    provider.on("PUT", NODE, flat(404, "Load balancer not found"))
    provider.on("GET", LB, flat(404, "Load balancer not found"))
    assert kind_and_code(drain(provider)) == (ProviderFailed, "balancer_missing")


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("PENDING_UPDATE", TryLater, "balancer_busy"),
        ("ACTIVE", TryLater, "balancer_busy"),
        ("ERROR", Refused, "balancer_error"),
        ("PENDING_DELETE", ProviderFailed, "balancer_deleted"),
        ("DELETED", ProviderFailed, "balancer_deleted"),
    ],
)
@pytest.mark.parametrize("text", ["LoadBalancer is not ACTIVE", ""])
def test_a_422_that_names_no_state_is_explained_by_looking(text, status, kind, code):
    provider = Provider()
    provider.on("DELETE", NODE, flat(422, text) if text else httpx.Response(422))
    provider.on("GET", LB, httpx.Response(200, json=balancer(status=status)))
    assert kind_and_code(remove(provider)) == (kind, code)


def test_a_422_for_an_unknown_reason_is_not_waited_for():
    provider = Provider()
    provider.on("PUT", NODE, flat(422, "Something quite different."))
    provider.on("GET", LB, httpx.Response(200, json=balancer()))
    assert kind_and_code(drain(provider)) == (ProviderFailed, "unexpected_answer")


def test_a_busy_balancer_is_tried_again_after_seconds_not_at_once():
    provider = Provider()
    provider.on("PUT", NODE, flat(422, IMMUTABLE.format("PENDING_UPDATE")))
    assert trouble(drain(provider)).after_s == 5.0


def test_removing_a_node_that_is_gone_is_done_once_a_look_shows_it():
    provider = Provider()
    provider.on("DELETE", NODE, flat(404, "Node with id #410 not found for loadbalancer #71"))
    provider.on("GET", LB, httpx.Response(200, json=balancer(nodes=[node(411, address="10.1.1.2")])))
    assert run(remove(provider)) == Done({"already": "node_gone"})


def test_a_404_for_a_node_that_is_listed_is_a_refusal_and_no_removal():
    provider = Provider()
    provider.on("DELETE", NODE, flat(404, "Node not found"))
    provider.on("GET", LB, httpx.Response(200, json=balancer()))
    assert kind_and_code(remove(provider)) == (Refused, "forbidden")


def test_removing_from_a_purged_balancer_is_done_once_the_list_agrees():
    provider = Provider()
    provider.on("DELETE", NODE, flat(404, "Load balancer not found"))
    provider.on("GET", LB, flat(404, "Load balancer not found"))
    provider.on("GET", f"{CLB}/loadbalancers", httpx.Response(200, json={"loadBalancers": []}))
    assert run(remove(provider)) == Done({"already": "balancer_gone"})


def test_removing_from_a_balancer_that_is_listed_but_not_shown_waits():
    provider = Provider()
    provider.on("DELETE", NODE, flat(404, "Load balancer not found"))
    provider.on("GET", LB, flat(404, "Load balancer not found"))
    listed = {"loadBalancers": [{"id": 71, "name": "web", "status": "ACTIVE"}]}
    provider.on("GET", f"{CLB}/loadbalancers", httpx.Response(200, json=listed))
    assert kind_and_code(remove(provider)) == (TryLater, "contradiction")


def test_a_refusal_whose_explanation_cannot_be_read_was_surely_not_done():
    provider = Provider()
    provider.on("DELETE", NODE, flat(404, "Node not found"))
    provider.on("GET", LB, httpx.Response(500))
    assert kind_and_code(remove(provider)) == (TryLater, "provider_fault")


@pytest.mark.parametrize("status", [422, 413])
def test_adding_a_node_that_is_there_already_is_done_with_its_id(status):
    provider = Provider()
    text = "Duplicate nodes detected. One or more nodes already configured on load balancer."
    provider.on("POST", f"{LB}/nodes", flat(status, text))
    provider.on("GET", LB, httpx.Response(200, json=balancer()))
    assert run(add(provider)) == Done({"node_id": "410", "condition": "ENABLED", "already": "node_there"})


def test_a_duplicate_that_no_list_shows_is_looked_at_again():
    provider = Provider()
    provider.on("POST", f"{LB}/nodes", flat(422, "Duplicate nodes detected."))
    provider.on("GET", LB, httpx.Response(200, json=balancer(nodes=[])))
    assert kind_and_code(add(provider)) == (TryLater, "contradiction")


def test_an_added_node_is_named_in_the_answer():
    provider = Provider()
    provider.on("POST", f"{LB}/nodes", httpx.Response(202, json={"nodes": [node(555, condition="DRAINING")]}))
    assert run(add(provider)) == Done({"node_id": "555", "condition": "DRAINING"})
    sent = provider.body_of(provider.sent("POST")[0])
    assert sent == {"nodes": [{"address": "10.1.1.1", "port": 80, "condition": "DRAINING"}]}


@pytest.mark.parametrize("body", [b"", b'{"nodes": [', b"{}", b'{"nodes": []}', b"<html>"])
def test_an_accepted_add_with_an_unreadable_answer_is_in_doubt(body):
    provider = Provider()
    provider.on("POST", f"{LB}/nodes", httpx.Response(202, content=body))
    assert kind_and_code(add(provider)) == (InDoubt, "answer_unreadable")


@pytest.mark.parametrize("body", [b"", b"rubbish"])
def test_an_accepted_drain_needs_no_body(body):
    provider = Provider()
    provider.on("PUT", NODE, httpx.Response(202, content=body))
    assert run(drain(provider)) == Done({"status": "202"})
    assert provider.body_of(provider.sent("PUT")[0]) == {"node": {"condition": "DRAINING"}}


@pytest.mark.parametrize("status", [204, 202])
def test_a_server_is_deleted_whichever_success_the_provider_says(status):
    provider = Provider()
    provider.on("DELETE", SERVER, httpx.Response(status))
    assert run(delete(provider)) == Done({"status": str(status)})


def test_deleting_a_server_that_is_gone_is_done():
    provider = Provider()
    provider.on("DELETE", SERVER, rooted(404, "itemNotFound", "Instance could not be found"))
    provider.on("GET", SERVER, rooted(404, "itemNotFound", "Instance could not be found"))
    assert run(delete(provider)) == Done({"already": "server_gone"})


def test_a_404_for_a_server_that_is_shown_is_no_deletion():
    provider = Provider()
    provider.on("DELETE", SERVER, rooted(404, "itemNotFound", "Instance could not be found"))
    provider.on("GET", SERVER, httpx.Response(200, json={"server": server()}))
    assert kind_and_code(delete(provider)) == (TryLater, "contradiction")


@pytest.mark.parametrize(
    ("shown", "text", "kind", "code"),
    [
        (server(**{"OS-EXT-STS:task_state": "image_snapshot"}), "busy", TryLater, "server_busy"),
        (server(locked=True), "no", Refused, "server_locked"),
        (server(), "Instance s-1 is locked", Refused, "server_locked"),
        (server(status="RESCUE"), "cannot while in rescue", Refused, "server_state"),
    ],
)
def test_a_conflict_on_a_server_is_explained_by_looking(shown, text, kind, code):
    provider = Provider()
    provider.on("DELETE", SERVER, rooted(409, "conflictingRequest", text))
    provider.on("GET", SERVER, httpx.Response(200, json={"server": shown}))
    assert kind_and_code(delete(provider)) == (kind, code)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (rooted(403, "forbidden"), Refused, "forbidden"),
        (rooted(413, "overLimit", retryAt="2026-11-23T12:00:20Z"), TryLater, "rate_limited"),
        (rooted(500, "computeFault"), InDoubt, "provider_fault"),
        (rooted(503, "serviceUnavailable"), TryLater, "provider_busy"),
        (rooted(503, "serverCapacityUnavailable"), TryLater, "provider_busy"),
        (rooted(400, "badRequest"), ProviderFailed, "bad_request"),
        (httpx.ReadTimeout("slow"), InDoubt, "answer_lost"),
        (httpx.ConnectError("no"), TryLater, "unreachable"),
    ],
)
def test_an_error_answer_to_a_delete_of_a_server_is_what_the_reference_says(answer, kind, code):
    provider = Provider()
    provider.on("DELETE", SERVER, answer)
    assert kind_and_code(delete(provider)) == (kind, code)
    assert len(provider.sent("DELETE")) == 1


ACTION = f"{SERVER}/action"


def test_stop_and_start_send_the_documented_bodies():
    provider = Provider()
    provider.on("POST", ACTION, httpx.Response(202))

    async def both():
        cloud = provider.cloud()
        await cloud.stop_server("s-1", not_after=SOON)
        await cloud.start_server("s-1", not_after=SOON)

    run(both())
    assert [provider.body_of(request) for request in provider.sent("POST")] == [
        {"os-stop": None},
        {"os-start": None},
    ]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (httpx.Response(202, headers={"Location": "http://cloud.sim/v2/1/images/i-9"}), "i-9"),
        (httpx.Response(202, json={"image_id": "i-8"}), "i-8"),
    ],
)
def test_a_new_image_is_named_by_the_address_or_the_body_of_the_answer(answer, found):
    provider = Provider()
    provider.on("POST", ACTION, answer)
    done = run(provider.cloud().create_image("s-1", "web", {"a": "b"}, not_after=SOON))
    assert done == Done({"image_id": found})
    assert provider.body_of(provider.sent("POST")[0]) == {
        "createImage": {"name": "web", "metadata": {"a": "b"}}
    }


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(202),
        httpx.Response(202, headers={"Location": "http://cloud.sim/elsewhere"}),
        httpx.Response(202, text="{"),
        rooted(502, "computeFault"),
    ],
)
def test_an_accepted_image_without_a_name_is_in_doubt(answer):
    provider = Provider()
    provider.on("POST", ACTION, answer)
    outcome = kind_and_code(provider.cloud().create_image("s-1", "web", {}, not_after=SOON))
    assert outcome[0] is InDoubt


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (rooted(403, "forbidden", "Quota exceeded"), (Refused, "forbidden")),
        (rooted(413, "quota", "Too many images"), (Refused, "quota")),
        (rooted(409, "conflictingRequest", "Instance s-1 is locked"), (Refused, "server_locked")),
    ],
)
def test_an_image_that_is_refused_says_why(answer, expected):
    provider = Provider()
    provider.on("POST", ACTION, answer)
    provider.on("GET", SERVER, httpx.Response(200, json={"server": server()}))
    assert kind_and_code(provider.cloud().create_image("s-1", "web", {}, not_after=SOON)) == expected


def test_a_new_server_keeps_no_password_and_is_in_doubt_without_its_id():
    spec = ServerSpec("web-06", "general1-4", "i-9", {"steady_run": "r"})
    provider = Provider()
    provider.on(
        "POST", f"{NOVA}/servers", httpx.Response(202, json={"server": {"id": "s-7", "adminPass": "secret"}})
    )
    assert run(provider.cloud().create_server(spec, not_after=SOON)) == Done({"server_id": "s-7"})
    assert provider.body_of(provider.sent("POST")[0])["server"]["metadata"] == {"steady_run": "r"}
    provider = Provider()
    provider.on("POST", f"{NOVA}/servers", httpx.Response(202, text="{"))
    assert kind_and_code(provider.cloud().create_server(spec, not_after=SOON))[0] is InDoubt


@pytest.mark.parametrize(
    "answer", [rooted(400, "badRequest"), rooted(404, "itemNotFound"), rooted(501, "notImplemented")]
)
def test_a_cloud_that_cannot_stop_servers_says_so(answer):
    provider = Provider()
    provider.on("POST", ACTION, answer)
    provider.on("GET", SERVER, httpx.Response(200, json={"server": server()}))
    assert kind_and_code(provider.cloud().stop_server("s-1", not_after=SOON)) == (Refused, "unsupported")


def test_stopping_a_server_that_is_gone_is_no_success():
    provider = Provider()
    provider.on("POST", ACTION, rooted(404, "itemNotFound"))
    provider.on("GET", SERVER, rooted(404, "itemNotFound"))
    assert kind_and_code(provider.cloud().stop_server("s-1", not_after=SOON)) == (
        ProviderFailed,
        "server_missing",
    )


def test_stopping_a_stopped_server_is_done():
    provider = Provider()
    provider.on(
        "POST", ACTION, rooted(409, "conflictingRequest", "Cannot 'stop' while it is in vm_state stopped")
    )
    provider.on("GET", SERVER, httpx.Response(200, json={"server": server(status="SHUTOFF")}))
    assert run(provider.cloud().stop_server("s-1", not_after=SOON)) == Done({"already": "SHUTOFF"})


# --- answers to reads ---

READ_ROWS = [
    (httpx.Response(500), TryLater, "provider_fault"),
    (httpx.Response(502), TryLater, "provider_fault"),
    (httpx.Response(503, headers={"Retry-After": "300"}), TryLater, "provider_fault"),
    (httpx.Response(200, content=b""), TryLater, "unreadable"),
    (httpx.Response(200, content=b'{"loadBalancer": {"id": 7'), TryLater, "unreadable"),
    (httpx.Response(200, json=[]), TryLater, "unreadable"),
    (httpx.Response(200, json={}), TryLater, "unreadable"),
    (httpx.Response(200, json=balancer(72)), TryLater, "unreadable"),
    (httpx.Response(200, json=balancer(nodes=[node(condition="HALF")])), TryLater, "unreadable"),
    (httpx.Response(204), TryLater, "unreadable"),
    (httpx.Response(403), ProviderFailed, "forbidden"),
    (httpx.Response(400), ProviderFailed, "unexpected_answer"),
    (
        httpx.Response(301, headers={"Location": "https://elsewhere.example.com/"}),
        ProviderFailed,
        "unexpected_answer",
    ),
    (httpx.ConnectError("no"), TryLater, "unreachable"),
    (httpx.ReadTimeout("slow"), TryLater, "timeout"),
    (httpx.ReadError("reset"), TryLater, "broken"),
    (rooted(413, "overLimit", retryAfter="2026-11-23T12:01:00Z"), TryLater, "rate_limited"),
    (httpx.Response(429, headers={"Retry-After": "Mon, 23 Nov 2026 12:01:00 GMT"}), TryLater, "rate_limited"),
]


@pytest.mark.parametrize(("answer", "kind", "code"), READ_ROWS)
def test_an_error_answer_to_a_read_is_what_the_reference_says(answer, kind, code):
    provider = Provider()
    provider.on("GET", LB, answer)
    assert kind_and_code(provider.cloud().show_balancer("71")) == (kind, code)


@pytest.mark.parametrize(
    "answer",
    [
        flat(404, "Load balancer not found"),
        flat(410, "The loadbalancer is marked as deleted."),
        httpx.Response(200, json={"loadBalancer": {"id": 71, "name": "web", "status": "DELETED"}}),
    ],
)
def test_each_of_the_three_answers_for_a_deleted_balancer_reads_as_none(answer):
    provider = Provider()
    provider.on("GET", LB, answer)
    assert run(provider.cloud().show_balancer("71")) is None


def test_a_read_on_a_dead_kept_connection_is_asked_once_more():
    provider = Provider()
    provider.on("GET", LB, [httpx.RemoteProtocolError("closed"), httpx.Response(200, json=balancer())])
    assert run(provider.cloud().show_balancer("71")).id == "71"
    assert len(provider.sent("GET")) == 2


def test_figures_are_none_while_a_change_is_applied():
    provider = Provider()
    provider.on("GET", f"{LB}/stats", flat(422, "The load balancer is not available to display statistics."))
    assert run(provider.cloud().balancer_stats("71")) is None


# --- the log-in ---

LOGIN_ROWS = [
    (
        rooted(401, "unauthorized", "Unable to authenticate user with credentials provided."),
        ProviderFailed,
        "credentials_refused",
    ),
    (rooted(403, "userDisabled"), ProviderFailed, "user_disabled"),
    (rooted(400, "badRequest"), ProviderFailed, "login_not_understood"),
    (rooted(413, "overLimit", headers={"Retry-After": "20"}), TryLater, "rate_limited"),
    (httpx.Response(500), TryLater, "provider_fault"),
    (httpx.Response(404), ProviderFailed, "no_identity_service"),
    (httpx.Response(200, content=b"{"), TryLater, "unreadable"),
    (httpx.Response(200, json={"access": {}}), TryLater, "unreadable"),
    (httpx.ConnectError("no"), TryLater, "unreachable"),
    (httpx.ReadTimeout("slow"), TryLater, "login_lost"),
]


@pytest.mark.parametrize(("answer", "kind", "code"), LOGIN_ROWS)
def test_a_failed_log_in_is_what_the_reference_says_for_reads_and_changes(answer, kind, code):
    provider = Provider()
    provider.on("POST", f"{IDENTITY_URL}/tokens", answer)
    assert kind_and_code(provider.cloud().show_balancer("71")) == (kind, code)
    assert kind_and_code(drain(provider)) == (kind, code)
    assert not provider.sent("PUT")


def test_an_expired_token_is_renewed_once_and_the_request_repeated_once():
    provider = Provider()
    provider.on("PUT", NODE, [httpx.Response(401), httpx.Response(202)])
    assert run(drain(provider)) == Done({"status": "202"})
    assert provider.logins == 2
    assert [request.headers["X-Auth-Token"] for request in provider.sent("PUT")] == ["token-1", "token-2"]


def test_a_second_401_is_final():
    provider = Provider()
    provider.on("PUT", NODE, httpx.Response(401))
    provider.on("GET", LB, httpx.Response(401))
    assert kind_and_code(drain(provider)) == (ProviderFailed, "unauthorized")
    assert provider.logins == 2
    assert kind_and_code(provider.cloud().show_balancer("71")) == (ProviderFailed, "unauthorized")


def test_a_fault_after_the_repeat_is_still_told_as_a_doubt():
    provider = Provider()
    provider.on("PUT", NODE, [httpx.Response(401), httpx.ReadTimeout("slow")])
    assert kind_and_code(drain(provider)) == (InDoubt, "answer_lost")


def test_a_login_that_fails_in_the_middle_of_a_change_is_no_doubt():
    provider = Provider()
    provider.on("PUT", NODE, httpx.Response(401))
    from tests.cloud.fake import access

    provider.on(
        "POST", f"{IDENTITY_URL}/tokens", [httpx.Response(200, json=access()), httpx.ReadTimeout("slow")]
    )
    assert kind_and_code(drain(provider)) == (TryLater, "login_lost")


# --- when to come back ---


@pytest.mark.parametrize(
    ("header", "least_s", "most_s"),
    [
        ("30", 30, 36),
        ("Mon, 23 Nov 2026 12:00:40 GMT", 40, 48),
        ("2026-11-23T12:00:50Z", 50, 60),
        ("999999", 600, 720),
        ("0", 1, 1.2),
        ("nonsense", 15, 18),
    ],
)
def test_the_wait_that_the_provider_asks_for_is_kept_capped_and_scattered(header, least_s, most_s):
    provider = Provider()
    provider.on("GET", LB, rooted(413, "overLimit", headers={"Retry-After": header}))
    assert least_s <= trouble(provider.cloud().show_balancer("71")).after_s <= most_s


def test_a_rate_limit_of_the_images_holds_back_no_look_at_a_server_or_balancer_and_no_put_back():
    provider = Provider()
    limited = rooted(413, "overLimit", headers={"Retry-After": "300"})
    provider.on("GET", f"{NOVA}/images/detail", limited)
    provider.on("GET", SERVER, httpx.Response(200, json={"server": server()}))
    provider.on("GET", LB, httpx.Response(200, json=balancer()))
    provider.on("PUT", NODE, httpx.Response(202))

    async def ask():
        cloud = provider.cloud()
        for _ in range(2):
            with pytest.raises(TryLater) as caught:
                await cloud.list_images()
        await cloud.show_server("s-1")
        await cloud.show_balancer("71")
        await cloud.set_condition("71", "410", Condition.ENABLED, not_after=SOON)
        return caught.value

    assert run(ask()).after_s > 290
    lists = [request for request in provider.sent("GET") if request.url.path.endswith("/images/detail")]
    assert len(lists) == 1, "the second one was not sent"
    assert len(provider.sent("PUT")) == 1


def test_a_rate_limit_slows_all_that_is_asked_of_that_service():
    provider = Provider()
    provider.on("GET", LB, rooted(413, "overLimit", headers={"Retry-After": "30"}))

    async def two():
        cloud = provider.cloud()
        with pytest.raises(TryLater):
            await cloud.show_balancer("71")
        with pytest.raises(TryLater) as caught:
            await cloud.set_condition("71", "410", Condition.ENABLED, not_after=SOON)
        return caught.value

    held = run(two())
    assert held.code == "rate_limited"
    assert 25 < held.after_s <= 30
    assert not provider.sent("PUT")
