"""The text and the CSV of hey (rakyll/hey: requester/print.go, report.go).

Times are in seconds with four decimals. A percentile that hey could not compute is printed as "0% in 0.0000 secs":
it is none. The CSV holds completed requests only.
"""

from __future__ import annotations

import re
from collections import Counter

from capacity.importers import notes
from capacity.importers.histogram import Running, Series
from capacity.importers.reading import (
    MAX_NAMES,
    NO_LINE_END,
    Source,
    error_kind,
    number,
    refuse,
    rows,
    target,
    whole,
)
from capacity.importers.types import (
    BenchmarkResult,
    Bucket,
    ErrorKind,
    Format,
    Latency,
    Load,
    Percentile,
    StatusCode,
)

_ROUNDED = "Times are rounded to a tenth of a millisecond by hey."


MOST_COUNTED = 1_000_000
"""Of so many answers hey keeps time and status (`maxRes`)."""


def _made(total_s: float, requests_per_s: float) -> tuple[float, float]:
    """Return how many requests the two figures tell, and by how much that is off at most: both are rounded to four decimals."""
    half = 5e-5
    return total_s * requests_per_s, half * (total_s + requests_per_s + half) + 1e-6


def good(code: str) -> bool:
    """Say whether a status counts as success where the tool itself does not judge."""
    return code.isdecimal() and len(code) < 5 and 200 <= int(code) <= 399


def read_text(source: Source) -> BenchmarkResult:
    """Return what hey printed. Raises ImportRefused."""
    lines = source.text().split("\n")
    figures: dict[str, float] = {}
    percentiles: list[Percentile] = []
    buckets: list[Bucket] = []
    codes: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    targets: list[str] = []
    received: int | None = None
    section = ""
    seen: set[str] = set()
    for index, line in enumerate(lines, 1):
        if head := re.match(
            r"^(Summary|Response time histogram|Latency distribution|Details|Status code distribution|Error distribution)\b.*:",
            line,
        ):
            section = head[1]
            if section in seen:
                refuse("The text holds more than one run. Hand in each run as a file of its own.", index)
            seen.add(section)
        elif section == "Summary" and (found := re.match(r"^\s+([A-Z][\w/ ]*):\s+(\S+)", line)):
            if found[1] in ("Total", "Slowest", "Fastest", "Average", "Requests/sec") and found[2] != "NaN":
                figures[found[1]] = number(found[2], found[1], line=index)
            elif found[1] == "Total data":
                received = whole(found[2], "Total data", line=index)
        elif section == "Response time histogram" and (found := re.match(r"^\s+(\d+\.\d+) \[(\d+)\]", line)):
            upto = round(number(found[1], "histogram", line=index) * 1000, 6)
            buckets.append(
                Bucket(
                    buckets[-1].upto_ms if buckets else None, upto, whole(found[2], "histogram", line=index)
                )
            )
        elif section == "Latency distribution" and (found := re.match(r"^\s+(\d+)%+ in (\S+) secs", line)):
            percent, ms = (
                number(found[1], "percentile", line=index),
                round(number(found[2], "percentile", line=index) * 1000, 6),
            )
            if percent == 0:
                continue
            if not 0 < percent <= 100 or (
                percentiles and (percent <= percentiles[-1].percent or ms < percentiles[-1].ms)
            ):
                refuse("The percentiles do not rise. The text is damaged here.", index)
            percentiles.append(Percentile(percent, ms))
        elif section == "Status code distribution" and (
            found := re.match(r"^\s+\[(\d+)\]\s+(\d+) responses", line)
        ):
            codes[found[1]] += whole(found[2], f"[{found[1]}]", line=index)
        elif section == "Error distribution" and (found := re.match(r"^\s+\[(\d+)\]\s+(.*)$", line)):
            errors[error_kind(found[2])] += whole(found[1], "errors", line=index)
            if (
                (url := re.search(r'"(\S+)"', found[2]))
                and (address := target(url[1]))
                and address not in targets
            ):
                targets.append(address)
    if "Total" not in figures or "Requests/sec" not in figures or "Status code distribution" not in seen:
        refuse(
            "The text ends here before hey’s “Status code distribution”. It is cut off; copy all that hey printed.",
            len(lines),
        )
    answered, lost = sum(codes.values()), sum(errors.values())
    made, slack = _made(figures["Total"], figures["Requests/sec"])
    is_capped = answered == MOST_COUNTED and made > answered + lost + slack
    if is_capped:
        answered = round(made) - lost
    # Old versions count answers alone in their requests a second.
    elif min(abs(answered + lost - made), abs(answered - made) if lost else made) > slack:
        refuse(
            f"By its total and its requests a second hey made {made:,.0f} requests; its status codes and errors are {answered + lost:,}. "
            "The text is cut off or was changed; copy all that hey printed.",
            len(lines),
        )
    slowest, fastest, mean = (figures.get(name) for name in ("Slowest", "Fastest", "Average"))
    if not answered:
        slowest = fastest = mean = None
    return BenchmarkResult(
        provenance=source.provenance(Format.HEY),
        tool="hey",
        duration_s=figures["Total"],
        load=Load.CLOSED,
        requests=answered + lost,
        answered=answered,
        # Of what came after the first million no status was kept.
        failures=None if is_capped else lost + sum(count for code, count in codes.items() if not good(code)),
        requests_per_s=figures["Requests/sec"],
        bytes_received=received,
        latency=Latency(
            counted=min(answered, MOST_COUNTED),
            min_ms=_ms(fastest),
            mean_ms=_ms(mean),
            max_ms=_ms(slowest),
            percentiles=tuple(percentiles) if answered else (),
        ),
        histogram=tuple(buckets),
        status_codes=_codes(codes),
        errors=tuple(ErrorKind(kind, count) for kind, count in errors.most_common(MAX_NAMES)),
        targets=tuple(targets[:1]),
        notes=(
            notes.CLOSED,
            notes.STATUS_JUDGED,
            "Requests a second count those without an answer too; latencies are of answers only.",
            *(
                ("hey keeps statuses and times of the first million answers; how many failed is not told.",)
                if is_capped
                else ()
            ),
            _ROUNDED,
            "The file does not tell how many workers asked, what they asked for, nor when.",
            notes.ONE_GENERATOR,
            *source.notes(),
        ),
    )


def read_csv(source: Source) -> BenchmarkResult:
    """Return what `hey -o csv` wrote. Raises ImportRefused."""
    running, series, codes = Running(), Series(), Counter[str]()
    failures, last_s, first_s = 0, 0.0, None
    for row in rows(source, ("response-time", "status-code", "offset"), "hey’s CSV"):
        took_s, offset_s = row.need("response-time"), row.need("offset")
        code = str(whole(row.need("status-code"), "status-code", line=row.line))
        codes[code if len(codes) < MAX_NAMES or code in codes else "0"] += 1
        running.add(round(took_s * 1000, 6))
        series.add(offset_s, took_s * 1000, failed=not good(code))
        failures += not good(code)
        first_s = offset_s if first_s is None else min(first_s, offset_s)
        last_s = max(last_s, offset_s + took_s)
    if first_s is None:
        refuse(
            "The file holds a header and no request. hey writes completed requests only: none was answered, or the file is cut off.",
            1,
        )
    latency = running.latency()
    return BenchmarkResult(
        provenance=source.provenance(Format.HEY_CSV),
        tool="hey",
        duration_s=last_s,
        load=Load.CLOSED,
        requests=None,
        answered=running.count,
        failures=None,
        requests_per_s=None,
        latency=latency,
        histogram=running.histogram(),
        status_codes=_codes(codes),
        points=series.points(0.0, last_s),
        notes=(
            f"hey writes completed requests only: {running.count:,} were answered, {failures:,} of them with a status outside 200 to 399; "
            "how many got no answer is lost, so no share of errors can be told. hey’s text has it.",
            notes.CLOSED,
            _ROUNDED,
            *notes.counted(latency.error_ratio),
            "The file does not tell how many workers asked, what they asked for, nor when.",
            *source.notes(),
            *(() if source.ended else (NO_LINE_END,)),
        ),
    )


def _codes(codes: Counter[str]) -> tuple[StatusCode, ...]:
    return tuple(StatusCode(code, count) for code, count in sorted(codes.items()))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 6)
