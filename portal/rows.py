"""What every business row has: a bigint key inside, a random reference outside (URLs, API, logs)."""

from __future__ import annotations

import uuid

from django.core.exceptions import ValidationError
from django.db import models

from portal.errors import Refused


class Referenced(models.Model):
    """A row with a public `ref` (UUIDv4). Internal keys never leave the portal."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)

    class Meta:
        abstract = True


def check_row(row: models.Model) -> None:
    """Ask the model's own rules. Raises Refused with a sentence per field, and none with a constraint's name.

    A model may say what each of its check constraints means: `rule_says = {"ceiling_positive": "…"}`.
    """
    says: list[str] = []
    try:
        row.full_clean(validate_constraints=False)
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            name = "" if field == "__all__" else f"{field.replace('_', ' ').capitalize()}: "
            says.append(name + " ".join(messages))
    if not says:
        for constraint in row._meta.constraints:
            try:
                constraint.validate(row._meta.model, row)
            except ValidationError as error:
                known = getattr(row, "rule_says", {}).get(constraint.name)
                is_plain = isinstance(constraint, models.UniqueConstraint)
                says.append(known or (" ".join(error.messages) if is_plain else _UNFIT))
    if says:
        raise Refused(" ".join(says), code="invalid")


_UNFIT = "Something in it is outside of what can be kept, or does not fit the rest. Nothing was changed."
