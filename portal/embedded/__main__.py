"""The command line of the desk: `python -m portal.embedded run | services | clean`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from portal.embedded import places
from portal.embedded.errors import CannotStart
from portal.embedded.handle import start_services
from portal.embedded.hold import Wanted, hold, say_failure, wanted_port
from portal.embedded.postgres import forget


def main(arguments: list[str]) -> int:
    """Return the exit status: 0 after an orderly end, 1 if something could not start."""
    parser = argparse.ArgumentParser(prog="python -m portal.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="run the whole portal until Ctrl-C")
    run.add_argument("--data", type=Path, help="the data directory (STEADY_DATA, or var)")
    run.add_argument("--port", type=int, help="the port of the pages (PORT, or 8000); 0 is any free one")
    run.add_argument("--scenario", default="desk", help="what the simulator shows at its first start")

    alone = commands.add_parser("services", help="run a command beside PostgreSQL and Valkey")
    alone.add_argument("--data", type=Path, help="a data directory to keep; without it, one for this command")
    alone.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")

    clean = commands.add_parser("clean", help="remove the data directory with everything in it")
    clean.add_argument("--data", type=Path)

    held = commands.add_parser("hold")  # for handle.py
    held.add_argument("data", type=Path)
    held.add_argument("wanted")
    held.add_argument("--throw-away", action="store_true")

    asked = parser.parse_args(arguments)
    try:
        match asked.command:
            case "run":
                port = wanted_port() if asked.port is None else asked.port
                wanted = Wanted(port=port, scenario=asked.scenario)
                hold(asked.data or places.default_data_dir(), wanted, terminal=sys.stdout)
            case "services":
                return _run_beside_services(asked.data, asked.argv)
            case "clean":
                _clean(asked.data or places.default_data_dir())
            case "hold":
                return _hold_for_parent(asked.data, Wanted.from_json(asked.wanted), asked.throw_away)
    except CannotStart as failure:
        say_failure(failure)
        return 1
    return 0


def _run_beside_services(data_dir: Path | None, argv: list[str]) -> int:
    command = argv[1:] if argv[:1] == ["--"] else argv
    if not command:
        raise CannotStart(
            "No command was given; write it after --, as in: services -- python manage.py shell"
        )
    with start_services(data_dir, given=True) as held:
        try:
            return subprocess.run(command, env={**os.environ, **held.env}, check=False).returncode
        except FileNotFoundError as error:
            raise CannotStart(f"There is no command {command[0]!r} to run.") from error


def _clean(data_dir: Path) -> None:
    if not data_dir.exists():
        return
    if not (data_dir / "secrets.json").exists() and any(data_dir.iterdir()):
        raise CannotStart(f"{data_dir} holds files but no portal's data; it is left as it is.")
    with places.only_one(data_dir):
        forget(data_dir)
        shutil.rmtree(data_dir)


def _hold_for_parent(data_dir: Path, wanted: Wanted, throw_away: bool) -> int:
    """Run until standard input closes; every state goes to standard output as one line of JSON."""

    def tell(state: dict[str, Any]) -> None:
        try:
            print(json.dumps(state), flush=True)
        except BrokenPipeError:  # the parent is gone; the end of standard input says so as well
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    try:
        hold(data_dir, wanted, tell=tell, stop_when_closed=sys.stdin.fileno(), throw_away=throw_away)
    except CannotStart as failure:
        tell({"error": str(failure), "details": failure.details})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
