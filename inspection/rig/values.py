"""The numbers of a rig: nothing is taken for one that is not written as one."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import AllowInfNan, BeforeValidator, ConfigDict, Field

CHECKED = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)
"""For pydantic's dataclasses: unknown names are refused."""


def _as_written(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise ValueError("a number")
    return value.item() if isinstance(value, np.generic) else value


Number = Annotated[float, BeforeValidator(_as_written), AllowInfNan(False)]
"""A finite number."""

Above0 = Annotated[Number, Field(gt=0.0)]
"""A finite number above 0."""

From0 = Annotated[Number, Field(ge=0.0)]
"""A finite number from 0."""

Whole = Annotated[int, BeforeValidator(_as_written)]
"""A whole number."""
