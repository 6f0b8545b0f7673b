"""Moments in what programs send: with their zone, wherever one is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from capacity.models import TrafficEvent
from portal.errors import Refused
from portal.rows import check_row
from tests.scaledown.rows import desk
from tests.scaledown.test_api import Caller

pytestmark = pytest.mark.django_db
SAYS = "A moment is a time with its zone, such as 2026-12-01T09:10:00Z."


def test_no_row_is_kept_with_a_moment_at_the_edge_of_the_calendar():
    here = desk()
    row = TrafficEvent(
        account=here.account,
        name="always on",
        starts_at=datetime(2026, 11, 12, tzinfo=UTC),
        ends_at=datetime.max.replace(tzinfo=UTC),
        source="typed",
        entered_by=here.manager,
    )
    with pytest.raises(Refused, match="Ends at: a year from 1971 to 8999"):
        check_row(row)
    row.ends_at = datetime(8999, 12, 31, tzinfo=UTC)
    check_row(row)


def test_true_is_no_number():
    here = desk()
    caller = Caller(here.manager)
    body = {"name": "x", "starts_at": "2026-11-12T06:00:00Z", "ends_at": "2026-11-13T06:00:00Z"}
    address = f"/accounts/{here.account.ref}/traffic-events"
    told = caller.post(address, {**body, "observed_peak_rps": True}, status=422)["errors"]
    assert told["observed_peak_rps"] == ["A number, not true or false."]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/accounts/{ref}/traffic-events", "starts_at"),
        ("/accounts/{ref}/calendar", "ends_at"),
        ("/accounts/{ref}/markers", "at"),
        ("/accounts/{ref}/benchmarks", "ran_at"),
        ("/accounts/{ref}/baselines", "valid_until"),
        ("/accounts/{ref}/baselines", "series.begins_at"),
        ("/accounts/{ref}/plans", "choice.window_start"),
        ("/accounts/{ref}/drills", "choice.not_before"),
        ("/tokens", "expires_at"),
    ],
)
def test_a_moment_without_its_zone_is_refused(path, named):
    here = desk()
    caller, address = Caller(here.manager), path.format(ref=here.account.ref)

    def wrong(moment):
        body = moment
        for name in reversed(named.split(".")):
            body = {name: body}
        return caller.post(address, body, status=422)["errors"]

    for moment in ("2027-01-10T08:00:00", "2027-01-10 08:00", "2027-01-10"):
        assert wrong(moment)[named] == [SAYS]
    for moment in ("2027-01-10T08:00:00Z", "2027-01-10T08:00:00+05:30"):
        assert named not in wrong(moment)
    for moment in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00+01:00"):
        assert wrong(moment)[named] == ["A moment lies in the years 1971 to 8999."]
    assert wrong("tomorrow")[named.split(".")[0]] not in ([SAYS], [])
