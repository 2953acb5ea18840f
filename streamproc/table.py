"""Per-object rows of one frame, as columns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Measurements:
    """Columns of equal length, one row per object; ``label`` comes first.

    Integer columns are int64, the others float64 (or object, for text).
    """

    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows as tuples of plain Python numbers and strings."""
        return list(
            zip(*(column.tolist() for column in self.columns.values()), strict=True)
        )

    def dataframe(self, frame: int | None = None) -> "pd.DataFrame":
        """Return a DataFrame; with ``frame``, that number is the first column."""
        import pandas as pd

        columns: dict[str, Any] = dict(self.columns)
        if frame is not None:
            columns = {"frame": np.full(len(self), frame, dtype=np.int64), **columns}
        return pd.DataFrame(columns)
