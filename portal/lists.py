"""What a list is asked for in its address: filters, order, the text searched. The same words for page and API.

    asked = ListAsked.of(request.GET, filters=FILTERS, orders=ORDERS)
    asked.text, asked.filters["status"], asked.order

A page forgives what it does not know (somebody edited the address) and shows the list without it; the API
refuses it with a sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from portal.errors import Malformed, Refused
from portal.search import LONGEST, text_of


@dataclass(frozen=True)
class ListAsked:
    """What was asked of a list, checked. `filters` holds every known filter, "" where none was asked."""

    text: str
    filters: Mapping[str, str]
    order: str

    @classmethod
    def of(
        cls,
        params: Mapping[str, Any],
        *,
        filters: Mapping[str, Collection[str]],
        orders: Collection[str],
        default: str = "",
        strict: bool = False,
    ) -> ListAsked:
        """Read the query string. `filters` maps each name to its values, the first of `orders` is the usual one.

        `default` is the order where none is asked. With `strict` an unknown value raises Refused, an unknown order Malformed (400).
        """
        usual = default or next(iter(orders))
        chosen = {name: str(params.get(name, "")) for name in filters}
        order = str(params.get("order", "")) or usual
        for name, value in chosen.items():
            if value and value not in filters[name]:
                if strict:
                    raise Refused(
                        f"`{name}` is one of {', '.join(sorted(filters[name]))}.", code="bad_filter"
                    )
                chosen[name] = ""
        if order not in orders:
            if strict:
                raise Malformed(f"`order` is one of {', '.join(orders)}.", code="bad_order")
            order = usual
        return cls(text_of(str(params.get("q", ""))), chosen, order)


def both_ways(*fields: str) -> tuple[str, ...]:
    """Return each field as an order, upwards and downwards."""
    return tuple(sign + field for field in fields for sign in ("", "-"))


def search_parameter(what: str) -> OpenApiParameter:
    """Describe `q` for the OpenAPI document."""
    return OpenApiParameter(
        "q",
        OpenApiTypes.STR,
        description=f"Only those whose {what} hold every word, whatever the case or accents (at most {LONGEST} characters).",
    )


def order_parameter(orders: Collection[str]) -> OpenApiParameter:
    """Describe `order` for the OpenAPI document; the first is the usual one."""
    return OpenApiParameter(
        "order",
        enum=list(orders),
        description=f"`{next(iter(orders))}` if not given; with `-` downwards. Rows without a value come last.",
    )


def filter_parameter(name: str, values: Collection[str], what: str) -> OpenApiParameter:
    """Describe one filter for the OpenAPI document."""
    return OpenApiParameter(name, enum=list(values), description=what)
