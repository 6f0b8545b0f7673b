"""The two things a supervisor is started for: the services alone, or a whole portal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from portal.embedded import places
from portal.embedded.application import WORKERS, desk_env, portal_children
from portal.embedded.child import Child
from portal.embedded.errors import CannotStart
from portal.embedded.postgres import postgres_in
from portal.embedded.supervisor import Output, Supervisor
from portal.embedded.valkey import valkey_in

DEFAULT_PORT = 8000


@dataclass(frozen=True)
class Wanted:
    """What to start. `port` 0 takes a free one. `forgetful` is for tests: services without durability.

    `portal` False starts PostgreSQL and Valkey alone. `given` lets DATABASE_URL and REDIS_URL of the
    environment stand in for the embedded services.
    """

    portal: bool = True
    port: int = 0
    scenario: str = "desk"
    simulator_args: tuple[str, ...] = ()
    workers: Mapping[str, int] = field(default_factory=lambda: dict(WORKERS))
    beat: bool = True
    forgetful: bool = False
    given: bool = True

    def to_json(self) -> str:
        return json.dumps({**self.__dict__, "workers": dict(self.workers)})

    @classmethod
    def from_json(cls, text: str) -> Wanted:
        values = json.loads(text)
        return cls(**{**values, "simulator_args": tuple(values["simulator_args"])})


def hold(
    data_dir: Path,
    wanted: Wanted,
    *,
    terminal: TextIO | None = None,
    tell: Callable[[dict[str, Any]], None] | None = None,
    stop_when_closed: int | None = None,
    throw_away: bool = False,
) -> None:
    """Run what is wanted on a data directory until told to stop. Raises CannotStart."""
    data_dir = places.open_data_dir(data_dir)
    with places.only_one(data_dir):
        keys = places.keys_of(data_dir)
        facts: dict[str, Any] = {}
        children: list[Child] = []
        facts["database_url"] = os.environ.get("DATABASE_URL") if wanted.given else None
        facts["redis_url"] = os.environ.get("REDIS_URL") if wanted.given else None
        if not facts["database_url"]:
            postgres = postgres_in(data_dir, forgetful=wanted.forgetful)
            facts["database_url"] = postgres.url
            children.append(postgres.child())
        if not facts["redis_url"]:
            valkey = valkey_in(data_dir, password=keys.valkey_password, forgetful=wanted.forgetful)
            facts["redis_url"] = valkey.url
            children.append(valkey.child())
        if wanted.portal:
            children += _portal(data_dir, wanted, keys, facts)
        output = Output(data_dir / "logs", terminal)
        try:
            supervisor = Supervisor(
                data_dir,
                children,
                instance=keys.instance,
                output=output,
                facts=facts,
                tell=tell,
                on_ready=lambda: _welcome(data_dir, facts, output) if wanted.portal else None,
                stop_when_closed=stop_when_closed,
                throw_away=data_dir if throw_away else None,
            )
            if wanted.portal:
                output.say("Starting … (Ctrl-C ends it)")
            supervisor.run()
        finally:
            output.close()


def _portal(data_dir: Path, wanted: Wanted, keys: places.Keys, facts: dict[str, Any]) -> list[Child]:
    port = wanted.port or places.kept_port(data_dir, "web")
    simulator_port = places.kept_port(data_dir, "simulator")
    facts["url"] = f"http://localhost:{port}"
    facts["simulator_url"] = f"http://127.0.0.1:{simulator_port}"
    facts["control_token"] = keys.control_token
    env = desk_env(
        keys,
        database_url=facts["database_url"],
        redis_url=facts["redis_url"],
        port=port,
        simulator_port=simulator_port,
    )
    # The simulator's control token is in the handle's facts, never in the environment of web or workers.
    return portal_children(
        data_dir,
        env,
        keys,
        port=port,
        simulator_port=simulator_port,
        scenario=wanted.scenario,
        simulator_args=wanted.simulator_args,
        workers=wanted.workers,
        beat=wanted.beat,
    )


def _welcome(data_dir: Path, facts: Mapping[str, Any], output: Output) -> None:
    output.say("")
    output.say(f"Steady State is ready:  {facts['url']}")
    log_ins = data_dir / "log-ins.txt"
    for line in log_ins.read_text().splitlines() if log_ins.exists() else []:
        output.say(line)
    output.say(f"Data and logs: {data_dir}")
    output.say("")


def wanted_port() -> int:
    """Return PORT of the environment, 8000 without one. Raises CannotStart if it is no port."""
    text = os.environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isdigit() or int(text) > 65535:
        raise CannotStart(f"PORT is {text!r}; it must be a number from 0 (any free port) to 65535.")
    return int(text)


def say_failure(failure: CannotStart) -> None:
    """Write to standard error why something could not start, what the process said first."""
    if failure.details:
        for line in failure.details.splitlines()[-15:]:
            print(f"  | {line}", file=sys.stderr)
    print(f"Cannot start: {failure}", file=sys.stderr)
