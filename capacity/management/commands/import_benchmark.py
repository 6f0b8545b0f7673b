"""Read a file of a load generator. Asks nothing of the database, and loads none of the portal's apps."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from capacity.importers import BenchmarkResult, ImportRefused, parse
from capacity.importers.reading import MAX_DOCUMENT_BYTES


def result_of(name: str) -> BenchmarkResult:
    """Return what a file says, what the standard input says for `-`. Raises CommandError."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(16 * MAX_DOCUMENT_BYTES + 1)
            if len(data) > 16 * MAX_DOCUMENT_BYTES:
                raise CommandError(
                    "The standard input is too long to be kept in memory. Name the file instead."
                )
            return parse(io.BytesIO(data), "standard input")
        with Path(name).open("rb") as file:
            return parse(file, Path(name).name)
    except ImportRefused as refusal:
        raise CommandError(refusal.says) from refusal
    except OSError as problem:
        raise CommandError(f"{name} could not be read: {problem}") from problem


class Command(BaseCommand):
    """Print what a benchmark measured, in the one form that all tools are brought into."""

    help = "Read a result of k6, Locust, JMeter, wrk, hey, ApacheBench or vegeta, and print what it measured."
    requires_system_checks = []
    stealth_options = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The file."""
        parser.add_argument("file", metavar="FILE", help="as the tool wrote it; - for stdin")
        parser.add_argument("--format", choices=("json", "text"), default="text")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print JSON, or a line a figure."""
        found = result_of(options["file"])
        if options["format"] == "json":
            self.stdout.write(json.dumps(found.as_plain(), allow_nan=False))
            return
        for name, value in _figures(found):
            self.stdout.write(f"{name:<16} {'not told' if value is None else value}")
        for note in found.notes:
            self.stdout.write(f"- {note}")


def _figures(found: BenchmarkResult) -> list[tuple[str, Any]]:
    percentiles = "  ".join(f"{each.percent:g} %: {each.ms:g} ms" for each in found.latency.percentiles)
    figures: list[tuple[str, Any]] = [
        ("tool", " ".join(filter(None, (found.tool, found.tool_version))) + f" ({found.provenance.format})"),
        ("started", found.started_at and found.started_at.isoformat()),
        ("duration", None if found.duration_s is None else f"{found.duration_s:g} s"),
        ("load", found.load and found.load.value),
        ("users", found.users),
        ("requests", found.requests),
        ("failures", found.failures),
        ("errors", None if found.error_ratio is None else f"{found.error_ratio:.3%}"),
        ("rate", None if found.requests_per_s is None else f"{found.requests_per_s:g} requests a second"),
        ("mean latency", None if found.latency.mean_ms is None else f"{found.latency.mean_ms:g} ms"),
        ("percentiles", percentiles or None),
    ]
    figures += [(f"status {code.code}", code.count) for code in found.status_codes]
    figures += [
        ("error", f"{error.kind} ({'count not told' if error.count is None else error.count})")
        for error in found.errors
    ]
    figures += [
        (
            "step",
            f"{step.users} users for {step.length_s:g} s"
            + ("" if step.requests_per_s is None else f": {step.requests_per_s:g} requests a second"),
        )
        for step in found.steps
    ]
    figures += [
        ("threshold", f"{each.metric} {each.expression}: {'held' if each.held else 'FAILED'}")
        for each in found.thresholds
    ]
    return figures
