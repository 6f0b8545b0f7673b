"""`python -m bench [NAME]`: measure, print a table, write bench/results.json (one flat object)."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bench.accounts import accounts
from bench.audit import audit
from bench.child import in_child
from bench.growth import growth
from bench.imports import imports
from bench.planner import planner
from bench.promises import promises
from bench.samples import samples
from bench.scaledown import overhead
from bench.verify import verify
from portal.demo import Said

RESULTS = Path(__file__).resolve().parent / "results.json"
NAMES = (
    "planner",
    "accounts",
    "audit",
    "imports",
    "overhead",
    "speed",
    "fleet",
    "verify",
    "growth",
    "samples",
)


def main(arguments: list[str]) -> int:
    """Measure what is named, or everything; figures that were not measured anew stay in the file."""
    wanted = arguments or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(
            f"There is no measurement {', '.join(unknown)}. There are: {', '.join(NAMES)}.", file=sys.stderr
        )
        return 2
    figures: dict[str, float] = {}
    if "planner" in wanted:
        figures |= planner()
    if "accounts" in wanted:
        figures |= accounts(Said())
    if "overhead" in wanted:
        figures |= overhead(Said())
    if "imports" in wanted:
        figures |= imports(Said())
    if "audit" in wanted:
        figures |= audit()
    if "speed" in wanted:
        figures |= in_child("bench.speed", Said())
    if "fleet" in wanted:
        # Pools as large as what goes, and two that stay.
        servers = os.environ.setdefault("FLEET_SERVERS", "3")
        figures |= in_child("bench.fleet", Said(), {"BENCH_OUT": servers})
    if "verify" in wanted:
        figures |= verify(Said())
    if "growth" in wanted:
        figures |= growth(Said())
    if "samples" in wanted:
        figures |= samples(Said())
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps({**kept, **figures}, indent=2, sort_keys=True) + "\n")
    width = max(len(name) for name in figures)
    for name, value in figures.items():
        print(f"{name:<{width}}  {value:>10g}")
    for promise in promises(figures):
        print(promise)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
