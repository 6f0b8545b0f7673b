"""k6: three shapes of its summary, and its samples as JSON lines or CSV (grafana/k6, k6-docs).

The shape is told by its keys. Times are milliseconds. A rate counts the samples that were *true*: for http_req_failed
these are the failed requests. In the export of `--summary-export` a threshold that says true was **missed**; in the
object of handleSummary `ok` says that it held. Percentiles that the script did not ask for are not there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from capacity.importers import notes
from capacity.importers.histogram import Running, Series, unjudged
from capacity.importers.reading import (
    MAX_NAMES,
    MAX_TARGETS,
    NO_LINE_END,
    OTHERS,
    Source,
    clean,
    epoch,
    error_kind,
    in_range,
    number,
    parse_json,
    refuse,
    rfc3339,
    rows,
    target,
    whole,
)
from capacity.importers.types import (
    BenchmarkResult,
    Check,
    ErrorKind,
    Format,
    Latency,
    Part,
    Percentile,
    StatusCode,
    Threshold,
)

_PERCENTILE = re.compile(r"p\((\d{1,3}(?:\.\d+)?)\)")
_TAGGED = re.compile(r"http_req_duration\{(.{1,300})\}")
_DERIVED = "The duration is requests divided by requests a second, as k6 computed the rate."
_NO_STATUS = "The summary does not tell which statuses came, nor how many requests got no answer."
_UNTOLD = "Samples have neither “status” nor “expected_response”, so what failed when is not known; take systemTags out of the script’s options."
_END_TIMES = "k6 notes a request at its end, so each point counts the requests that ended in it."


def _dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        refuse(f"“{what}” is no JSON object. This is no summary of k6, or it is damaged.")
    return value


def _optional(values: dict[str, Any], key: str, what: str) -> float | None:
    return None if values.get(key) is None else number(values[key], f"{what}, {key}")


def _latency(values: dict[str, Any], what: str, counted: int | None) -> Latency:
    """Return a trend; what it does not list is not known. Without a request k6 writes zeros, which are no latencies."""
    if counted == 0:
        return Latency(counted=0)
    found: dict[float, float] = {}
    for key, value in values.items():
        percent = 50.0 if key == "med" else float(match[1]) if (match := _PERCENTILE.fullmatch(key)) else 0.0
        if 0 < percent <= 100 and value is not None:
            found.setdefault(percent, number(value, f"{what}, {key}"))
    percentiles = tuple(Percentile(percent, ms) for percent, ms in sorted(found.items()))
    if any(one.ms > other.ms for one, other in pairwise(percentiles)):
        refuse(f"The percentiles of {what} do not rise. The file is damaged.")
    return Latency(
        counted=whole(values["count"], f"{what}, count") if values.get("count") is not None else counted,
        min_ms=_optional(values, "min", what),
        mean_ms=_optional(values, "avg", what),
        max_ms=_optional(values, "max", what),
        percentiles=percentiles,
    )


class _Summary:
    """The metrics of a summary, by name, each with its values."""

    def __init__(self, metrics: dict[str, dict[str, Any]]) -> None:
        self.metrics = metrics

    def value(self, name: str, *keys: str) -> float | None:
        values = self.metrics.get(name, {})
        return next(
            (number(values[key], f"{name}, {key}") for key in keys if values.get(key) is not None), None
        )

    def count(self, name: str, *keys: str) -> int | None:
        found = self.value(name, *keys)
        return None if found is None else whole(found, name)

    def result(
        self,
        source: Source,
        of: Format,
        *,
        version: str | None,
        ended_at: Any,
        duration_s: float | None,
        thresholds: list[Threshold],
        checks: list[Check],
        more: tuple[str, ...],
    ) -> BenchmarkResult:
        requests = self.count("http_reqs", "count")
        if not self.metrics:
            refuse("The summary holds no metric. The run ended before it began; run it again.")
        rate, derived = self.value("http_reqs", "rate"), False
        if rate is None and requests is not None and duration_s:
            rate = requests / duration_s
        if duration_s is None and requests and rate:
            duration_s, derived = requests / rate, True
        # `passes` and `matches` are the samples that were true: the failed requests.
        failures = self.count("http_req_failed", "passes", "matches")
        share = self.value("http_req_failed", "value", "rate")
        if failures is None and share is not None and share <= 1 and requests is not None:
            failures = round(share * requests)
        if failures is not None and (requests is None or failures > requests):
            refuse("More requests failed than were made. The file is damaged.")
        trend = self.metrics.get("http_req_duration")
        latency = (
            Latency(counted=requests) if trend is None else _latency(trend, "http_req_duration", requests)
        )
        parts = [
            Part(clean(match[1]), latency=_latency(values, clean(name), None))
            for name, values in self.metrics.items()
            if (match := _TAGGED.fullmatch(name))
        ]
        return BenchmarkResult(
            provenance=source.provenance(of),
            tool="k6",
            tool_version=version,
            ended_at=ended_at,
            duration_s=duration_s,
            users=self.count("vus_max", "max", "value"),
            requests=requests,
            failures=failures,
            requests_per_s=rate,
            bytes_received=self.count("data_received", "count"),
            bytes_sent=self.count("data_sent", "count"),
            latency=latency,
            parts=tuple(parts[:MAX_NAMES]),
            thresholds=tuple(thresholds[:MAX_NAMES]),
            checks=tuple(checks[:MAX_NAMES]),
            notes=(
                *(
                    ("The run made no HTTP request, so there is no rate and no latency of any.",)
                    if requests is None
                    else ()
                ),
                notes.LOAD_UNKNOWN,
                *((_DERIVED,) if derived else ()),
                *(() if latency.percentiles or not requests else (notes.NO_PERCENTILES,)),
                "Percentiles are those that the script asked for; k6 puts a value between two samples where one falls between them.",
                _NO_STATUS,
                *more,
                notes.ONE_GENERATOR,
                *source.notes(),
            ),
        )


def read_summary(source: Source) -> BenchmarkResult:
    """Return what a summary of k6 says, in any of its three shapes. Raises ImportRefused."""
    found = _dict(source.document(), "the summary")
    if "results" in found and "metrics" not in found:
        return _machine_readable(source, found)
    metrics = _dict(found.get("metrics"), "metrics")
    if any(isinstance(each, dict) and isinstance(each.get("values"), dict) for each in metrics.values()):
        return _handle_summary(source, found, metrics)
    return _export(source, found, metrics)


def _export(source: Source, found: dict[str, Any], metrics: dict[str, Any]) -> BenchmarkResult:
    thresholds = []
    for name, values in metrics.items():
        for expression, missed in _thresholds(name, _dict(values, clean(name))):
            # Inverted in this shape alone: true says that the threshold was missed.
            thresholds.append(Threshold(clean(name), clean(expression), not missed))
    checks: list[Check] = []
    _group_checks(found.get("root_group"), checks, 0)
    return _Summary(metrics).result(
        source,
        Format.K6_EXPORT,
        version=None,
        ended_at=None,
        duration_s=None,
        thresholds=thresholds,
        checks=checks,
        more=(notes.NO_TIMES,),
    )


def _handle_summary(source: Source, found: dict[str, Any], metrics: dict[str, Any]) -> BenchmarkResult:
    values: dict[str, dict[str, Any]] = {}
    thresholds = []
    for name, metric in metrics.items():
        values[name] = _dict(_dict(metric, clean(name)).get("values"), f"{clean(name)}, values")
        for expression, held in _thresholds(name, metric):
            thresholds.append(Threshold(clean(name), clean(expression), held))
    state = found.get("state")
    length = state.get("testRunDurationMs") if isinstance(state, dict) else None
    checks: list[Check] = []
    _group_checks(found.get("root_group"), checks, 0)
    return _Summary(values).result(
        source,
        Format.K6_HANDLE_SUMMARY,
        version=None,
        ended_at=None,
        duration_s=None if length is None else number(length, "testRunDurationMs") / 1000,
        thresholds=thresholds,
        checks=checks,
        more=(notes.NO_TIMES,),
    )


def _thresholds(name: str, metric: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield (expression, flag as written) of a metric."""
    given = metric.get("thresholds")
    if given is None:
        return
    for expression, said in _dict(given, f"{clean(name)}, thresholds").items():
        flag = said.get("ok") if isinstance(said, dict) else said
        if not isinstance(flag, bool):
            refuse(
                f"The threshold “{clean(expression)}” of {clean(name)} is neither true nor false. The file is damaged."
            )
        yield expression, flag


def _group_checks(group: Any, checks: list[Check], depth: int) -> None:
    """Collect the checks of a group and of those in it: objects by name in one shape, lists in another."""
    if not isinstance(group, dict) or depth > 50:
        return
    checks.extend(_check(each, each.get("path")) for each in _members(group.get("checks")))
    for inner in _members(group.get("groups")):
        _group_checks(inner, checks, depth + 1)


def _members(value: Any) -> list[dict[str, Any]]:
    found = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in found if isinstance(each, dict)]


def _check(each: dict[str, Any], path: Any = None) -> Check:
    name = clean(str(each.get("name") or path or "(no name)"))
    return Check(
        name, whole(each.get("passes"), f"{name}, passes"), whole(each.get("fails"), f"{name}, fails")
    )


def _machine_readable(source: Source, found: dict[str, Any]) -> BenchmarkResult:
    results, config, about = (_dict(found.get(key) or {}, key) for key in ("results", "config", "metadata"))
    metrics = results.get("metrics")
    if not isinstance(metrics, list):
        refuse("“results, metrics” is no list. This is no summary of k6, or it is damaged.")
    values = {
        str(each["name"]): _dict(each.get("values"), clean(str(each["name"])))
        for each in metrics
        if isinstance(each, dict) and "name" in each
    }
    if len(values) != len(metrics):
        refuse("A metric has no name, or the name of another. This is no summary of k6, or it is damaged.")
    generated = about.get("generatedAt")
    checks = results.get("checks")
    return _Summary(values).result(
        source,
        Format.K6_SUMMARY,
        version=clean(str(about["k6Version"]), 40) if about.get("k6Version") else None,
        ended_at=None,
        duration_s=None if config.get("duration") is None else number(config["duration"], "config, duration"),
        thresholds=[],
        checks=[
            _check(each) for each in _members(checks.get("results") if isinstance(checks, dict) else None)
        ],
        more=(
            "This shape holds no thresholds, whether the script had any or not.",
            notes.NO_TIMES
            if generated is None
            else f"The summary was written at {rfc3339(generated, 'metadata, generatedAt'):%Y-%m-%d %H:%M:%S} UTC; when the run was it does not tell.",
        ),
    )


class _Samples:
    """Samples as they come, in any order."""

    def __init__(self) -> None:
        self.running, self.series = Running(), Series()
        self.codes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.targets: dict[str, None] = {}
        self.requests = self.failures = self.judged = self.lost = 0
        self.received = self.sent = 0.0
        self.users: int | None = None
        self.has_failed = self.has_received = self.has_sent = self.untold = False
        self.first_s: float | None = None
        self.last_s = 0.0
        self.coarse = True

    def add(self, metric: str, at_s: float, value: float, tags: dict[str, Any], line: int) -> None:
        """Count a sample. Raises ImportRefused."""
        self.first_s = at_s if self.first_s is None else min(self.first_s, at_s)
        self.last_s = max(self.last_s, at_s)
        self.coarse = self.coarse and at_s == int(at_s)
        if metric == "http_req_duration":
            self.running.add(value)
            self.series.add(at_s, value, failed=_bad(tags), is_end=True)
        elif metric == "http_reqs":
            self._request(whole(value, metric, line=line), tags)
        elif metric == "http_req_failed":
            if value not in (0, 1):
                refuse("“http_req_failed” is 0 or 1 in a sample. The file is damaged here.", line)
            self.has_failed = True
            self.failures += int(value)
        elif metric == "vus":
            users = whole(value, metric, line=line)
            self.users = max(users, self.users or 0)
            self.series.see_users(at_s, users)
        elif metric == "data_received":
            self.has_received, self.received = True, self.received + value
        elif metric == "data_sent":
            self.has_sent, self.sent = True, self.sent + value

    def _request(self, count: int, tags: dict[str, Any]) -> None:
        self.requests += count
        self.judged += count * _bad(tags)
        # Without an answer k6 writes 0; nothing stands where the script asked for no such tags (systemTags).
        self.untold = self.untold or not (tags.get("status") or tags.get("expected_response"))
        status = str(tags.get("status") or "0")
        if status == "0":
            self.lost += count
        else:
            _count(self.codes, clean(status, 20), count)
        if error := str(tags.get("error") or ""):
            _count(self.errors, error_kind(error), count)
        elif tags.get("error_code"):
            _count(self.errors, f"error {clean(str(tags['error_code']), 40)}", count)
        if len(self.targets) < MAX_TARGETS and (address := target(str(tags.get("url") or ""))):
            self.targets[address] = None

    def result(self, source: Source, of: Format) -> BenchmarkResult:
        """Return what was counted. Raises ImportRefused where nothing was."""
        if self.first_s is None:
            refuse(
                "The file holds no sample. It is cut off after its head, or the run ended before it began.",
                source.line or 1,
            )
        duration_s = round(self.last_s - self.first_s, 6)
        # In whole seconds a short run's duration would be off by more than a tenth.
        known = duration_s > 0 and (not self.coarse or duration_s >= 10)
        judged = None if self.untold else self.judged
        failures = self.failures if self.has_failed else judged
        latency = self.running.latency()
        points = self.series.points(self.first_s, self.last_s)
        if (failures or 0) > self.requests or self.running.count > max(self.requests, 0):
            refuse(
                "The file has more latencies or failures than requests (http_reqs). It is cut off at its begin, or a part of its metrics was left out.",
                source.line,
            )
        return BenchmarkResult(
            provenance=source.provenance(of),
            tool="k6",
            started_at=epoch(self.first_s),
            ended_at=epoch(self.last_s),
            duration_s=duration_s if known else None,
            users=self.users,
            requests=self.requests,
            answered=None if self.untold else self.requests - self.lost,
            failures=failures,
            requests_per_s=self.requests / duration_s if known else None,
            bytes_received=round(self.received) if self.has_received else None,
            bytes_sent=round(self.sent) if self.has_sent else None,
            latency=latency,
            histogram=self.running.histogram(),
            status_codes=tuple(StatusCode(code, count) for code, count in sorted(self.codes.items())),
            errors=tuple(ErrorKind(kind, count) for kind, count in self.errors.most_common()),
            points=unjudged(points) if self.untold else points,
            targets=tuple(self.targets),
            notes=(
                notes.LOAD_UNKNOWN,
                _END_TIMES,
                *(
                    ("Times are written in whole seconds, so the duration is known to a second.",)
                    if self.coarse
                    else ()
                ),
                *((_UNTOLD,) if self.untold else () if self.has_failed else (notes.STATUS_JUDGED,)),
                "Whether the script’s thresholds held is not told by single samples.",
                *notes.counted(latency.error_ratio),
                notes.ONE_GENERATOR,
                *source.notes(),
                *(() if source.ended else (NO_LINE_END,)),
            ),
        )


def _bad(tags: dict[str, Any]) -> bool:
    expected = tags.get("expected_response")
    if expected in ("true", "false"):
        return bool(expected == "false")
    status = str(tags.get("status") or "0")
    return not (status.isdecimal() and len(status) < 5 and 200 <= int(status) <= 399)


def _count(counts: Counter[str], name: str, times: int) -> None:
    counts[name if name in counts or len(counts) < MAX_NAMES else OTHERS] += times


def read_lines(source: Source) -> BenchmarkResult:
    """Return what `k6 run --out json=FILE` wrote. Raises ImportRefused."""
    samples = _Samples()
    for text in source.lines():
        if not text.strip():
            continue
        line = source.line
        found = parse_json(text, line)
        if not isinstance(found, dict) or found.get("type") not in ("Metric", "Point"):
            refuse("An object with “type” Metric or Point was expected. The file is damaged here.", line)
        if found["type"] == "Metric":
            continue
        point = found.get("data")
        if not isinstance(point, dict) or not isinstance(found.get("metric"), str):
            refuse("A point with “metric” and “data” was expected. The file is damaged here.", line)
        if found["metric"] not in _READ:
            continue
        tags = point.get("tags")
        samples.add(
            found["metric"],
            rfc3339(point.get("time"), "time", line).timestamp(),
            number(point.get("value"), clean(found["metric"]), line=line),
            tags if isinstance(tags, dict) else {},
            line,
        )
    return samples.result(source, Format.K6_LINES)


_READ = ("http_req_duration", "http_reqs", "http_req_failed", "vus", "data_received", "data_sent")


def read_csv(source: Source) -> BenchmarkResult:
    """Return what `k6 run --out csv=FILE` wrote. Raises ImportRefused."""
    samples = _Samples()
    for row in rows(source, ("metric_name", "timestamp", "metric_value"), "k6’s CSV"):
        metric = row.text("metric_name")
        if metric in _READ:
            samples.add(
                metric,
                _time(row.text("timestamp"), row.line),
                row.need("metric_value"),
                dict(row.fields),
                row.line,
            )
    return samples.result(source, Format.K6_CSV)


def _time(text: str, line: int) -> float:
    """Return seconds since 1970 of a time in seconds, milli-, micro- or nanoseconds (K6_CSV_TIME_FORMAT), or of RFC 3339."""
    if re.fullmatch(r"[0-9]{1,19}", text):
        # From 2001 to 2286 a time in seconds has 10 digits, and each finer unit three more.
        at_s = int(text) / float(10 ** {13: 3, 16: 6, 19: 9}.get(len(text), 0))
        return in_range(at_s, line)
    return rfc3339(text, "timestamp", line).timestamp()
