"""JMeter's result files, CSV and XML 2.1 (apache/jmeter: CSVSaveService, SampleResultConverter, the manual's listeners page).

Columns are told by the header row, whatever their case and order. In XML only the outermost samples count: those within
them are their parts (redirects, embedded files). The XML is read in pieces; a document type is refused, so that no
entity is ever expanded and nothing outside is ever read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from xml.parsers import expat

from capacity.importers import notes
from capacity.importers.histogram import Running, Series
from capacity.importers.reading import (
    MAX_NAMES,
    MAX_STREAM_BYTES,
    MAX_TARGETS,
    NO_LINE_END,
    OTHERS,
    Row,
    Source,
    clean,
    epoch,
    error_kind,
    in_range,
    refuse,
    rows,
    target,
)
from capacity.importers.types import (
    BenchmarkResult,
    ErrorKind,
    Format,
    Latency,
    Load,
    Part,
    StatusCode,
)

_XML_NAMES = {
    "t": "elapsed",
    "ts": "timestamp",
    "s": "success",
    "lb": "label",
    "rc": "responsecode",
    "rm": "responsemessage",
    "by": "bytes",
    "sby": "sentbytes",
    "na": "allthreads",
    "sc": "samplecount",
    "ec": "errorcount",
    "url": "url",
}
_TRANSACTION = "Number of samples in transaction"
_FORMATS = (
    "%Y/%m/%d %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
)


class _Sum:
    """Running figures of some of the samples."""

    def __init__(self) -> None:
        self.running, self.series = Running(), Series()
        self.codes: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.requests = self.failures = self.lost = self.batched = self.received = self.sent = 0
        self.batch_ms = 0.0
        self.users: int | None = None
        self.has_bytes = self.has_sent = False
        self.first_s: float | None = None
        self.end_s = 0.0


class _Label:
    def __init__(self) -> None:
        # A curve for each of 1,000 labels has to stay small.
        self.running = Running(exact_values=512)
        self.requests = self.failures = 0


class _Samples:
    """Samples as they come. Transactions are summed apart from requests, so that nothing counts twice."""

    def __init__(self) -> None:
        self.requests, self.transactions = _Sum(), _Sum()
        self.labels: dict[str, _Label] = {}
        self.targets: dict[str, None] = {}
        self.local = self.timeless = False

    def add(self, row: Row) -> None:
        """Count a sample. Raises ImportRefused."""
        ms = row.need("elapsed")
        success = row.text("success").lower()
        if success not in ("true", "false"):
            refuse(
                "“success” is neither true nor false. The file is damaged here, or its columns are not those of its header.",
                row.line,
            )
        code, message = clean(row.text("responsecode"), 120), row.text("responsemessage")
        size = row.count("samplecount")
        times = 1 if size is None else size
        if times == 0:
            refuse("“SampleCount” is 0; a row stands for one sample at least.", row.line)
        told = row.count("errorcount")
        failures = int(success == "false") if times == 1 or told is None else min(told, times)
        if times > 1 and told is None:
            failures = times if success == "false" else 0
        into = self.transactions if message.startswith(_TRANSACTION) else self.requests
        at_s = self._time(row)
        self._sum(into, row, ms, times, failures, code, message, at_s)
        name = clean(row.text("label")) or "(no label)"
        label = self.labels.get(name)
        if label is None:
            name = name if len(self.labels) < MAX_NAMES else OTHERS
            label = self.labels.setdefault(name, _Label())
        label.requests += times
        label.failures += failures
        if times == 1:
            label.running.add(ms)
        if len(self.targets) < MAX_TARGETS and (address := target(row.text("url"))):
            self.targets[address] = None

    def _sum(
        self,
        into: _Sum,
        row: Row,
        ms: float,
        times: int,
        failures: int,
        code: str,
        message: str,
        at_s: float | None,
    ) -> None:
        into.requests += times
        into.failures += failures
        users = row.count("allthreads")
        if users is not None:
            into.users = max(users, into.users or 0)
        got, sent = row.count("bytes"), row.count("sentbytes")
        into.received += got or 0
        into.sent += sent or 0
        into.has_bytes = into.has_bytes or got is not None
        into.has_sent = into.has_sent or sent is not None
        if times > 1:
            into.batched += times
            into.batch_ms += ms
        else:
            into.running.add(ms)
        if re.fullmatch(r"\d{3}", code):
            _count(into.codes, code, times)
        elif failures and code.startswith("Non HTTP"):
            into.lost += failures
        if failures:
            _count(into.errors, error_kind(f"{code} {message}".strip()) or "failed", failures)
        if at_s is not None:
            if times == 1:
                into.series.add(at_s, ms, failed=bool(failures), users=users)
            into.first_s = at_s if into.first_s is None else min(into.first_s, at_s)
            into.end_s = max(into.end_s, at_s + ms / 1000)

    def _time(self, row: Row) -> float | None:
        text = row.text("timestamp")
        if not text:
            self.timeless = True
            return None
        if text.isdecimal() and len(text) < 20:
            at_s = int(text) / 1000
        else:
            at_s = _local(text, row.line)
            self.local = True
        return in_range(at_s, row.line)

    def result(self, source: Source, of: Format) -> BenchmarkResult:
        """Return what was counted. Raises ImportRefused where nothing was."""
        found = self.requests if self.requests.requests else self.transactions
        if not found.requests:
            refuse(
                "The file holds no sample. It is cut off after its head, or nothing was asked.",
                source.line or 1,
            )
        begin, timed = found.first_s, found.first_s is not None and not self.timeless
        duration_s = round(found.end_s - begin, 6) if timed and begin is not None else None
        latency = found.running.latency() if not found.batched else _batched(found)
        zoned = timed and not self.local and begin is not None
        return BenchmarkResult(
            provenance=source.provenance(of),
            tool="JMeter",
            started_at=epoch(begin) if zoned and begin is not None else None,
            ended_at=epoch(found.end_s) if zoned else None,
            duration_s=duration_s,
            load=Load.CLOSED,
            users=found.users,
            requests=found.requests,
            answered=found.requests - found.lost,
            failures=found.failures,
            requests_per_s=found.requests / duration_s if duration_s else None,
            bytes_received=found.received if found.has_bytes else None,
            bytes_sent=found.sent if found.has_sent else None,
            latency=latency,
            histogram=() if found.batched else found.running.histogram(),
            status_codes=tuple(StatusCode(code, count) for code, count in sorted(found.codes.items())),
            errors=tuple(ErrorKind(kind, count) for kind, count in found.errors.most_common()),
            points=found.series.points(begin, found.end_s)
            if timed and begin is not None and not found.batched
            else (),
            parts=tuple(
                Part(
                    name=name,
                    requests=label.requests,
                    failures=label.failures,
                    requests_per_s=label.requests / duration_s if duration_s else None,
                    latency=label.running.latency(),
                )
                for name, label in self.labels.items()
            ),
            targets=tuple(self.targets),
            notes=self._notes(found, latency, source),
        )

    def _notes(self, found: _Sum, latency: Latency, source: Source) -> tuple[str, ...]:
        said = [
            notes.CLOSED,
            "JMeter’s own assertions say what failed, so a failure may be an answer that came.",
        ]
        if found is self.transactions:
            said.append(
                "Every sample is a transaction: its time is that of all requests within it, and no single request can be told."
            )
        elif self.transactions.requests:
            said.append(
                f"{self.transactions.requests:,} transactions stand among the parts and are in no sum, for their requests are counted already."
            )
        if found.batched:
            said.append(
                "Samples were sent in batches that hold only the sum of their times, so there is a mean and no percentile."
            )
        if self.timeless:
            said.append("Samples have no time, so neither duration nor rate nor course of the run is known.")
        elif self.local:
            said.append(
                "Times are written without a zone, so it is not known when the run was, only how long it took."
            )
        else:
            said.append(
                "The file does not tell whether its times are those of the start or of the end of a sample; the start is taken, as JMeter is shipped."
            )
        if found.users is None:
            said.append("The file does not tell how many threads were active.")
        return (
            *said,
            *notes.counted(latency.error_ratio),
            notes.ONE_GENERATOR,
            *source.notes(),
            *(() if source.ended else (NO_LINE_END,)),
        )


def _batched(found: _Sum) -> Latency:
    total = found.batch_ms + found.running.sum_ms
    return Latency(counted=found.requests, mean_ms=total / found.requests)


def _local(text: str, line: int) -> float:
    for shape in _FORMATS:
        try:
            return datetime.strptime(text[:40], shape).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return refuse(
        f"“timeStamp” is “{clean(text[:40])}”. Set jmeter.save.saveservice.timestamp_format=ms, or a format such as yyyy/MM/dd HH:mm:ss.SSS.",
        line,
    )


def _count(counts: Counter[str], name: str, times: int) -> None:
    counts[name if name in counts or len(counts) < MAX_NAMES else OTHERS] += times


def read_csv(source: Source) -> BenchmarkResult:
    """Return what a CSV file of JMeter measured. Raises ImportRefused."""
    samples = _Samples()
    for row in rows(source, ("elapsed", "success"), "JMeter’s CSV"):
        samples.add(row)
    return samples.result(source, Format.JMETER_CSV)


def read_xml(source: Source) -> BenchmarkResult:
    """Return what an XML file of JMeter measured. Raises ImportRefused."""
    samples = _Samples()
    for attributes, line in _elements(source):
        fields = {_XML_NAMES[name]: value for name, value in attributes.items() if name in _XML_NAMES}
        row = Row(fields, line, decimal_comma=False)
        samples.add(row)
    return samples.result(source, Format.JMETER_XML)


def _elements(source: Source) -> Iterator[tuple[Mapping[str, str], int]]:
    """Yield the attributes of each outermost sample, with its line."""
    if source.size_bytes > MAX_STREAM_BYTES:
        refuse(f"The file has more than {MAX_STREAM_BYTES >> 30} GB. Hand in a shorter run.")
    found: list[tuple[Mapping[str, str], int]] = []
    open_names: list[str] = []
    current: list[tuple[dict[str, str], int]] = []
    address: list[str] = []
    # As elsewhere a byte order mark outranks what the document says of itself.
    parser = expat.ParserCreate()

    def begin(name: str, attributes: dict[str, str]) -> None:
        if not open_names and name != "testResults":
            refuse(
                "The outermost element is not testResults. This is no result of JMeter.",
                parser.CurrentLineNumber,
            )
        if len(open_names) == 1 and name in ("sample", "httpSample"):
            current[:] = [(attributes, parser.CurrentLineNumber)]
        if len(open_names) > 200:
            refuse(
                "Elements are nested more than 200 deep. This is no result of JMeter.",
                parser.CurrentLineNumber,
            )
        open_names.append(name)
        address.clear()

    def end(name: str) -> None:
        open_names.pop()
        if current and len(open_names) == 2 and name == "java.net.URL":
            current[0][0]["url"] = "".join(address)
        if current and len(open_names) == 1:
            found.append(current.pop())
        address.clear()

    def text(part: str) -> None:
        if len(address) < 64 and open_names[2:] == ["java.net.URL"]:
            address.append(part[:4096])

    parser.CharacterDataHandler = text

    def doctype(*_: object) -> None:
        refuse(
            "The file declares a document type, which JMeter never does. It is not read any further.",
            parser.CurrentLineNumber,
        )

    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    source.stream.seek(0)
    try:
        while block := source.stream.read(1 << 16):
            parser.Parse(block, False)
            source.line = parser.CurrentLineNumber
            yield from found
            found.clear()
        parser.Parse(b"", True)
    except expat.ExpatError as problem:
        refuse(
            "The XML breaks or ends here, so the file is cut off or damaged. A run that was killed leaves its file without "
            "</testResults>: add it after the last whole sample, and say so with the result.",
            problem.lineno,
        )
    except (LookupError, ValueError):
        refuse("The encoding that the XML names is not known. Write the file in UTF-8.", 1)
    yield from found
