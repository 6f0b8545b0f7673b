"""Which tool wrote a file, told from its first bytes and never from its name."""

from __future__ import annotations

import csv
import json
import re
from typing import NoReturn

from capacity.importers.reading import clean, first_line, head_text, refuse
from capacity.importers.types import Format

KNOWN = "k6, Locust, JMeter, wrk, hey, ApacheBench and vegeta"
_ZIPPED = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7z": "xz", b"\x28\xb5": "zstd"}
_HEADERS = (
    (Format.LOCUST_STATS, {"type", "name", "request count", "failure count"}),
    (Format.LOCUST_HISTORY, {"timestamp", "user count", "total request count"}),
    (Format.LOCUST_FAILURES, {"method", "name", "error", "occurrences"}),
    (Format.K6_CSV, {"metric_name", "timestamp", "metric_value"}),
    (Format.HEY_CSV, {"response-time", "status-code", "offset"}),
    (Format.AB_REQUESTS, {"starttime", "seconds", "ttime"}),
    (Format.AB_PERCENTILES, {"percentage served", "time in ms"}),
)
_TEXTS = (
    (Format.WRK, r"^\s*Running \S+ test @ "),
    (Format.AB, r"^This is ApacheBench, Version "),
    (Format.VEGETA_TEXT, r"^Requests\s+\[total"),
    (Format.HEY, r"^Summary:\s*$(?=[\s\S]*^\s+(?:Total|Slowest):\s)"),
)


def detect(name: str, head: bytes) -> Format:
    """Return the format of a file from its first bytes (64 KB are plenty). Raises ImportRefused where it is none.

    `name` serves the message only: people rename files.
    """
    shown = clean(name, 80) or "The file"
    if not head.strip():
        refuse(f"{shown} is empty. The tool may still be running, or wrote elsewhere.")
    for magic, kind in _ZIPPED.items():
        if head.startswith(magic):
            refuse(f"{shown} is packed with {kind}. Unpack it, and hand in the file that was in it.")
    text = head_text(head)
    if "\0" in text:
        refuse(
            f"{shown} is binary. Results of “vegeta attack” become readable by “vegeta encode --to json”; "
            "UTF-16 needs its byte order mark."
        )
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    start = text.lstrip()[:1]
    if start == "{":
        return _object(shown, text)
    if start == "[":
        if '"num_requests"' in text and '"response_times"' in text:
            return Format.LOCUST_JSON
        return _unknown(shown)
    if start == "<":
        if re.search(r"<testResults[\s>]", text):
            return Format.JMETER_XML
        return _unknown(shown)
    for of, pattern in _TEXTS:
        if re.search(pattern, text, re.MULTILINE):
            return of
    return _table(shown, first_line(text))


def _object(shown: str, text: str) -> Format:
    try:
        line = json.loads(first_line(text))
    except (ValueError, RecursionError):
        line = None
    if isinstance(line, dict):
        if line.get("type") in ("Metric", "Point") and "metric" in line:
            return Format.K6_LINES
        if {"latency", "code", "timestamp"} <= line.keys():
            return Format.VEGETA_LINES
    keys = set(re.findall(r'"([^"\\]{1,60})"\s*:', text))
    if {"latencies", "status_codes"} <= keys or {"latencies", "bytes_in"} <= keys:
        return Format.VEGETA_JSON
    if {"version", "config", "results"} <= keys or {"version", "metadata", "results"} <= keys:
        return Format.K6_SUMMARY
    if "root_group" in keys or "metrics" in keys or "testRunDurationMs" in keys:
        return (
            Format.K6_HANDLE_SUMMARY if {"values", "contains"} & keys or "state" in keys else Format.K6_EXPORT
        )
    return _unknown(shown)


def _table(shown: str, line: str) -> Format:
    try:
        fields = next(csv.reader([line], delimiter=max(",;\t|", key=line.count)), [])
    except csv.Error:
        fields = []
    names = {field.strip().lower() for field in fields}
    for of, header in _HEADERS:
        if header <= names:
            return of
    if "elapsed" in names and names & {"timestamp", "label", "success", "responsecode"}:
        return Format.JMETER_CSV
    if {"message", "traceback", "nodes"} <= names:
        refuse(
            f"{shown} lists exceptions of Locust and measures nothing. Hand in the file that ends in _stats_history.csv or _stats.csv."
        )
    if (
        len(fields) in (9, 12)
        and re.fullmatch(r"\d{17,20}", fields[0].strip())
        and fields[1].strip().isdigit()
    ):
        return Format.VEGETA_CSV
    if len(fields) >= 5 and re.fullmatch(r"\d{13}", fields[0].strip()):
        refuse(
            f"{shown} looks like JMeter’s CSV without its header, so nobody can tell which column is which. "
            "Set jmeter.save.saveservice.print_field_names=true and run it again, or put the header of that run before the first line.",
            1,
        )
    return _unknown(shown)


def _unknown(shown: str) -> NoReturn:
    refuse(
        f"{shown} is no result that is understood. Understood are files of {KNOWN}, as these tools write them; "
        "what each of them must write is in docs/benchmarks.md."
    )
