"""What one writes who knows Celery: a chain of messages that takes servers out of a pool, one call a message.

It is measured beside the portal (`bench/fleet.py`) and is no part of it: no journal, no approval, no floor, no lost answer. A
message that finds that it has to wait puts itself back for a tenth of a second.

`celery -A bench.chain worker`, with `CHAIN_BROKER` (Redis) and `CHAIN_ORIGIN` (the provider of `bench/provider.py`).
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

import httpx
import redis
from celery import Celery

from bench.provider import BALANCER, address

WAIT_S = 0.1
ZEROS = 3
DONE = "chain:done"

app = Celery("chain", broker=os.environ.get("CHAIN_BROKER", ""))
app.conf.update(
    task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=8, task_default_queue="chain"
)


@lru_cache(maxsize=1)
def _http() -> httpx.Client:
    return httpx.Client(base_url=os.environ["CHAIN_ORIGIN"], timeout=20.0, trust_env=False)


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(os.environ["CHAIN_BROKER"])


def _node(tenant: str, number: int) -> str:
    return f"/lb/{tenant}/loadbalancers/{BALANCER}/nodes/{100 + number}"


def _conditions(tenant: str) -> dict[int, str]:
    said = _http().get(f"/lb/{tenant}/loadbalancers/{BALANCER}").raise_for_status().json()
    return {node["id"]: node["condition"] for node in said["loadBalancer"]["nodes"]}


@app.task(name="chain.step")
def step(tenant: str, numbers: list[int], name: str, zeros: int = 0) -> None:
    """Take one step with the first of `numbers`, and send the message for the next one."""
    number = numbers[0]
    server = f"/nova/{tenant}/servers/srv-{number:02}"
    after: tuple[str, int, float]
    match name:
        case "drain":
            _http().put(_node(tenant, number), json={"node": {"condition": "DRAINING"}}).raise_for_status()
            after = ("drained", 0, 0.0)
        case "drained":
            shows = _conditions(tenant).get(100 + number) == "DRAINING"
            after = ("count", 0, 0.0) if shows else (name, 0, WAIT_S)
        case "count":
            text = _http().get(f"/status/{tenant}/{address(number)}").raise_for_status().text
            found = re.search(r"Active connections: (\d+)", text)
            zeros = zeros + 1 if found is not None and int(found.group(1)) == 1 else 0
            after = ("remove", 0, 0.0) if zeros == ZEROS else (name, zeros, 0.0 if zeros else WAIT_S)
        case "remove":
            _http().delete(_node(tenant, number)).raise_for_status()
            after = ("removed", 0, 0.0)
        case "removed":
            after = ("probe", 0, 0.0) if 100 + number not in _conditions(tenant) else (name, 0, WAIT_S)
        case "probe":
            _http().get(f"/site/{tenant}").raise_for_status()
            after = ("search", 0, 0.0)
        case "search":
            where = f"/lb/{tenant}/loadbalancers"
            found_in = _http().get(where, params={"nodeaddress": address(number)}).json()["loadBalancers"]
            after = ("delete", 0, 0.0) if not found_in else (name, 0, WAIT_S)
        case "delete":
            _http().delete(server).raise_for_status()
            after = ("gone", 0, 0.0)
        case "gone":
            is_gone = _http().get(server).status_code == 404
            numbers = numbers[1:] if is_gone else numbers
            after = ("drain", 0, 0.0) if is_gone else (name, 0, WAIT_S)
        case _:
            raise ValueError(name)
    if not numbers:
        _redis().incr(DONE)
        return
    following, zeros, wait_s = after
    step.apply_async((tenant, numbers, following, zeros), countdown=wait_s or None)
