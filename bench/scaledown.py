"""What the portal costs over the waits that nobody can avoid, beside a bare loop that does the same job.

Both take six servers to three at the same simulated provider with the same settings, in the same run: drain,
wait for the connections, remove the node, watch the site, delete the server, see that it is gone. The bare
loop is what a careful person would write in an afternoon: it looks every half second and knows no floor, no
approval, no journal, no other hand, no lost answer, no restart.
"""

from __future__ import annotations

import re
import time
from typing import Any

import httpx

from portal import demo
from portal.simulator.scenarios import API_KEY, TENANT, USERNAME

PENDING_S = 1.0
LOOK_EVERY_S = 0.5
LIMIT_S = 120.0
ZEROS = 3


class BareLoop:
    """A script against the provider's API, with nothing around it."""

    def __init__(self, provider_url: str, balancer: str) -> None:
        self.http = httpx.Client(timeout=20.0, trust_env=False, headers={"Accept": "application/json"})
        self.base = provider_url
        self.balancer = balancer
        answer = self.http.post(
            f"{provider_url}/v2.0/tokens",
            json={
                "auth": {
                    "RAX-KSKEY:apiKeyCredentials": {"username": USERNAME, "apiKey": API_KEY},
                    "tenantId": TENANT,
                }
            },
        ).raise_for_status()
        access = answer.json()["access"]
        self.http.headers["X-Auth-Token"] = access["token"]["id"]
        urls = {service["name"]: service["endpoints"][0]["publicURL"] for service in access["serviceCatalog"]}
        self.balancers, self.servers = urls["cloudLoadBalancers"], urls["cloudServersOpenStack"]

    def retire(self, names: list[str], *, min_drain_s: float, soak_s: float) -> float:
        """Take the servers out one after another; returns the seconds it took."""
        began = time.monotonic()
        listed = self.http.get(f"{self.servers}/servers/detail").raise_for_status().json()["servers"]
        by_name = {server["name"]: server for server in listed}
        for name in names:
            self._one(by_name[name], min_drain_s, soak_s)
        return time.monotonic() - began

    def _one(self, server: dict[str, Any], min_drain_s: float, soak_s: float) -> None:
        addresses = [entry["addr"] for entries in server["addresses"].values() for entry in entries]
        node = next(one for one in self._balancer()["nodes"] if one["address"] in addresses)
        path = f"{self.balancers}/loadbalancers/{self.balancer}/nodes/{node['id']}"
        self.http.put(path, json={"node": {"condition": "DRAINING"}}).raise_for_status()
        drains_since = time.monotonic()
        self._until(lambda: self._balancer()["status"] == "ACTIVE")
        zeros = 0
        while zeros < ZEROS or time.monotonic() - drains_since < min_drain_s:
            zeros = zeros + 1 if self._in_flight(node["address"]) == 0 else 0
            time.sleep(LOOK_EVERY_S)
        self.http.delete(path).raise_for_status()
        self._until(lambda: self._balancer()["status"] == "ACTIVE")
        watched_since = time.monotonic()
        while time.monotonic() - watched_since < soak_s:
            self.http.get(f"{self.base}/site/{self.balancer}/").raise_for_status()
            time.sleep(LOOK_EVERY_S)
        self.http.delete(f"{self.servers}/servers/{server['id']}").raise_for_status()
        self._until(lambda: self.http.get(f"{self.servers}/servers/{server['id']}").status_code == 404)

    def _balancer(self) -> dict[str, Any]:
        answer = self.http.get(f"{self.balancers}/loadbalancers/{self.balancer}").raise_for_status()
        return dict(answer.json()["loadBalancer"])

    def _in_flight(self, address: str) -> int:
        text = self.http.get(f"{self.base}/servers-net/{address}/stub_status").raise_for_status().text
        active, waiting = re.search(r"Active connections: (\d+)", text), re.search(r"Waiting: (\d+)", text)
        assert active is not None
        assert waiting is not None
        return max(0, int(active.group(1)) - int(waiting.group(1)) - 1)

    def _until(self, holds: Any) -> None:
        ends_at = time.monotonic() + LIMIT_S
        while not holds():
            if time.monotonic() > ends_at:
                raise TimeoutError("The provider did not get there in time.")
            time.sleep(LOOK_EVERY_S)


def overhead(say: demo.Said) -> dict[str, float]:
    """Return the seconds over the unavoidable waits, per server, of the portal and of the bare loop."""
    with demo.start_portal(
        scenario="launch",
        simulator_args=("--speed", f"{demo.SPEED:g}", "--pending", f"{PENDING_S:g}", f"{PENDING_S:g}"),
        env={"LOG_FORMAT": "json"},
    ) as portal:
        desk = demo.open_desk(portal, say)
        desk.provider.show("launch")
        plan = demo.approved_plan(desk, "Back to three, measured")
        waits_s = demo.unavoidable_s(plan["data"], desk.provider.settings())
        run = demo.start(desk, plan)
        for now in demo.follow(desk, run["ref"], until=demo.OVER | {"halted"}):
            run = now
        if run["status"] != "completed":
            raise demo.DemoFailed(f"The run is {run['status']}: {run['says']}")
        portal_s = float(desk.manager.get(f"/runs/{run['ref']}/report")["took_s"])
        portal_harmed = desk.provider.truth(desk.balancer)["harmed_connections"]
        desk.provider.show("launch")
        say("the same job by a bare loop")
        names = [server["name"] for server in plan["data"]["servers"]]
        loop_s = BareLoop(portal.simulator_url, desk.balancer).retire(
            names, min_drain_s=plan["data"]["min_drain_s"], soak_s=plan["data"]["soak_s"]
        )
        harmed = desk.provider.truth(desk.balancer)["harmed_connections"]
    servers = len(names)
    return {
        "unavoidable_s_per_server": round(waits_s, 2),
        "portal_s_per_server": round(portal_s / servers, 2),
        "portal_overhead_s_per_server": round(portal_s / servers - waits_s, 2),
        "bare_loop_s_per_server": round(loop_s / servers, 2),
        "bare_loop_overhead_s_per_server": round(loop_s / servers - waits_s, 2),
        "portal_over_bare_loop": round(portal_s / loop_s, 3),
        "portal_harmed_connections": float(portal_harmed),
        "bare_loop_harmed_connections": float(harmed),
    }
