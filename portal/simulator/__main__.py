"""Run the simulator: `python -m portal.simulator --port 8900 --scenario desk`.

The control plane is open only to requests that carry the token of `--control-token` (or of the variable
SIMULATOR_CONTROL_TOKEN) in the header X-Simulator-Token. With `--state FILE` the world is kept over restarts: it is
saved before the answer to each change, now and then, and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from portal.simulator import scenarios, state
from portal.simulator.app import Send, Simulator, create_app
from portal.simulator.clock import RealClock
from portal.simulator.entities import DOCUMENTED_RATE_LIMITS, Settings
from portal.simulator.world import World

SAVE_EVERY_S = 10.0
KEEP_ALIVE_S = 30  # as the real service closes its keep-alive sessions (reference section 2)


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; return the exit status."""
    options = _parse(arguments)
    path = Path(options.state) if options.state else None
    try:
        world = _world(options, path)
    except ValueError as problem:
        print(f"simulator: {problem}", file=sys.stderr)
        return 2
    app = create_app(
        world,
        RealClock(world.now),
        control_token=options.control_token or os.environ.get("SIMULATOR_CONTROL_TOKEN") or None,
        on_change=None if path is None else lambda changed: state.save(changed, path),
        abort=break_connection,
    )
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        http="h11",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    asyncio.run(_serve(_Server(config), app, path))
    return 0


def break_connection(send: Send) -> None:
    """Break the connection behind an ASGI `send` of uvicorn, so that its client sees a reset.

    ASGI has no word for that; uvicorn's `send` is a method of the object that owns the transport.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("The connection cannot be broken: this server does not show its transport.")
    transport.abort()


class _Server(uvicorn.Server):
    """Ends on SIGINT and SIGTERM without raising them again, so that the world can be saved after the last answer."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def _serve(server: uvicorn.Server, app: Simulator, path: Path | None) -> None:
    saver = asyncio.create_task(_save_now_and_then(app, path)) if path is not None else None
    try:
        await server.serve()
    finally:
        if saver is not None and path is not None:
            saver.cancel()
            with suppress(asyncio.CancelledError):
                await saver
            app.catch_up()
            state.save(app.world, path)


async def _save_now_and_then(app: Simulator, path: Path) -> None:
    while True:
        await asyncio.sleep(SAVE_EVERY_S)
        app.catch_up()
        state.save(app.world, path)


def _world(options: argparse.Namespace, path: Path | None) -> World:
    world = state.load(path) if path is not None else None
    now = datetime.now(UTC)
    if world is not None:
        world.set_speed(options.speed)
        # The time that the process was away has passed for the cloud, too; a clock set back does not matter.
        world.advance_to(max(world.now, world.world_time(now)))
        return world
    settings = Settings(speed=options.speed)
    if options.pending is not None:
        settings.pending_update_s = list(options.pending)
    if options.rate_limits:
        settings.rate_limits = DOCUMENTED_RATE_LIMITS
    world = World(options.seed, start=now, settings=settings)
    scenarios.apply(world, options.scenario)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        state.save(world, path)
    return world


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m portal.simulator", description="A cloud provider on the desk."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument("--scenario", default="desk", help=", ".join(sorted(scenarios.SCENARIOS)))
    parser.add_argument(
        "--speed", type=float, default=1.0, help="of traffic seasons, builds, deletes and images only"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--pending", type=float, nargs=2, metavar=("MIN", "MAX"), help="seconds of PENDING_UPDATE"
    )
    parser.add_argument(
        "--rate-limits", action="store_true", help="the documented rate limits of the provider"
    )
    parser.add_argument("--control-token", help="better given as SIMULATOR_CONTROL_TOKEN")
    parser.add_argument("--state", metavar="FILE", help="where the world is kept over restarts")
    options = parser.parse_args(arguments)
    if options.speed <= 0:
        parser.error("--speed must be more than 0.")
    return options


if __name__ == "__main__":
    sys.exit(main())
