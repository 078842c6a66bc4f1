"""What every table of the configuration is made of."""

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

LARGEST = 10**9
"""The largest number of anything: beyond it, numbers are typing errors that overflow later."""

Count = Annotated[int, Field(ge=1, le=LARGEST)]
"""A whole number from 1."""

Interval = Annotated[int, Field(ge=0, le=LARGEST)]
"""A whole number from 0."""


class Section(BaseModel):
    """A table of the TOML file: read-only, and a key that is not listed is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse truth values of keys that are no switch: pydantic would take `true` for 1."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and bool not in (kind, *get_args(kind)):
            raise PydanticCustomError("truth_value", "must not be true or false")
        return value
