"""What all sections of a recipe share: their base class, and the types of their values."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

LARGEST = 2**31  # of whole numbers: more is a slip of the keyboard, and nothing that a machine could do
Positive = Annotated[int, Field(gt=0, lt=LARGEST)]
Batch = Annotated[int, Field(gt=0, le=1 << 16)]
Layers = Annotated[int, Field(ge=0, le=256)]
Width = Annotated[int, Field(gt=0, le=1 << 16)]
Views = Annotated[int, Field(gt=0, le=10_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
AnySeed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


def _scalar(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as text; a person means the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


Real = Annotated[float, BeforeValidator(_scalar)]


class Settings(BaseModel):
    """What all sections share: unknown keys are refused, values keep their type, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)
