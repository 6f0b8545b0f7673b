"""Forecast a series from a file. Asks nothing of the database, and loads none of the portal's apps."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from capacity.growth.answers import forecast_answer


def text_of(name: str) -> str:
    """Return the text of a file, of the standard input for `-`. Raises CommandError."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise CommandError(f"{name} could not be read: it is not UTF-8.") from problem
    except OSError as problem:
        raise CommandError(f"{name} could not be read: {problem}") from problem


def seasons_of(options: dict[str, Any]) -> tuple[int, int] | None:
    """Return the seasons that were named, in steps; None for none."""
    first, second = options["season"], options["season2"]
    return None if (first, second) == (None, 1) else (1 if first is None else first, second)


class Command(BaseCommand):
    """Print point and intervals of each step to come, and the name of the model."""

    help = (
        "Forecast a series from a CSV of values, or of times and values, with intervals and the model's name."
    )
    requires_system_checks = []
    stealth_options = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The file, how far to look, and the seasons in steps."""
        parser.add_argument(
            "--csv", required=True, metavar="FILE", help="value, or time,value, a line; - for stdin"
        )
        parser.add_argument(
            "--horizon", required=True, type=int, metavar="N", help="how many steps to forecast"
        )
        parser.add_argument(
            "--season",
            type=int,
            metavar="M",
            help="season in steps; 1 is none; not given: day and week of the file's times, else what the series shows",
        )
        parser.add_argument("--season2", type=int, default=1, metavar="M2", help="a second season in steps")
        parser.add_argument("--format", choices=("json", "text"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print JSON, or a line a step."""
        try:
            answer = forecast_answer(text_of(options["csv"]), options["horizon"], seasons_of(options))
        except ValueError as problem:
            raise CommandError(str(problem)) from problem
        if options["format"] == "json":
            self.stdout.write(json.dumps(answer, allow_nan=False))
            return
        self.stdout.write(f"Model: {answer['model']}")
        tested = answer["backtest"]
        if tested["mase"] is not None:
            self.stdout.write(
                f"From {tested['origins']} earlier origins: MASE {tested['mase']:.3f}, seasonal naive "
                f"{tested['seasonal_naive_mase']:.3f}; {tested['covered']['95']:.0%} inside the 95 % interval."
            )
        for note in answer["notes"]:
            self.stdout.write(note)
        for step, point in enumerate(answer["point"]):
            when = answer["at"][step] if answer["at"] else f"+{step + 1}"
            self.stdout.write(
                f"{when}  {point:.6g}  ({answer['lower95'][step]:.6g} to {answer['upper95'][step]:.6g})"
            )
