"""`portal.frozen.replace` beside the standard library's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

import pytest

from portal.frozen import replace


@dataclass(frozen=True)
class Place:
    name: str
    seats: int = 2
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counted:
    seats: int
    doubled: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", 2 * self.seats)


@dataclass(frozen=True, slots=True)
class Narrow:
    seats: int


@dataclass
class Open:
    seats: int


@dataclass(frozen=True)
class Hall:
    rows: int
    seats: int

    @cached_property
    def places(self) -> int:
        return self.rows * self.seats


def test_what_was_worked_out_from_the_fields_is_worked_out_anew_for_a_copy():
    hall = Hall(3, 4)
    assert hall.places == 12
    wider = replace(hall, seats=5)
    assert (wider.places, hall.places) == (15, 12)
    assert replace(wider, seats=4) == hall


def test_a_changed_copy_equals_the_standard_librarys_and_leaves_the_value_alone():
    place = Place("hall", 3)
    changed = replace(place, seats=5, tags=("new",))
    assert changed == dataclasses.replace(place, seats=5, tags=("new",))
    assert hash(changed) == hash(dataclasses.replace(place, seats=5, tags=("new",)))
    assert place == Place("hall", 3)
    assert replace(replace(changed, seats=1), name="room") == Place("room", 1, ("new",))


def test_a_changed_copy_is_frozen_too():
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(Place("hall"), seats=5).seats = 6


def test_a_field_that_there_is_not_is_refused():
    with pytest.raises(TypeError, match="Place has no chairs"):
        replace(Place("hall"), chairs=5)


@pytest.mark.parametrize(("value", "seats"), [(Counted(2), 5), (Narrow(2), 5), (Open(2), 5)])
def test_what_does_more_than_keep_its_fields_is_made_by_the_standard_library(value, seats):
    assert replace(value, seats=seats) == dataclasses.replace(value, seats=seats)
    assert getattr(replace(value, seats=seats), "doubled", 10) == 10
    assert value == type(value)(2)


def test_what_is_no_dataclass_is_refused():
    with pytest.raises(TypeError):
        replace(5, seats=2)
