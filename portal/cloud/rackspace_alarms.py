"""Alarms that fire, out of what Rackspace's Cloud Monitoring watches. Pure.

Source: Cloud Monitoring API, *Get overview view*: one state for each pair of check and alarm, the newest one computed; a pair
without one was not evaluated yet.
"""

from __future__ import annotations

from collections.abc import Iterable

from portal.cloud.types import Alarm, AlarmState, Monitored

_FIRES = frozenset({AlarmState.WARNING, AlarmState.CRITICAL})


def firing(monitored: Iterable[Monitored]) -> tuple[Alarm, ...]:
    """Return the alarms that fire, the most severe first: not those that are switched off, as they or their check may be.

    A state whose alarm or check is not there any more tells of nothing that anybody watches.
    """
    found = []
    for entity in monitored:
        checks = {check.id: check for check in entity.checks if not check.is_disabled}
        alarms = {alarm.id: alarm for alarm in entity.alarms if not alarm.is_disabled}
        for judged in entity.states:
            check, alarm = checks.get(judged.check_id), alarms.get(judged.alarm_id)
            if judged.state not in _FIRES or check is None or alarm is None:
                continue
            found.append(
                Alarm(
                    key=f"{entity.id}/{alarm.id}/{check.id}",
                    label=alarm.label or check.label or check.type,
                    of=entity.label,
                    server_id=entity.server_id,
                    addresses=(*entity.addresses, *([check.target] if check.target else ())),
                    state=judged.state,
                    since=judged.at,
                )
            )
    return tuple(
        sorted(found, key=lambda one: (one.state is not AlarmState.CRITICAL, one.of, one.label, one.key))
    )
