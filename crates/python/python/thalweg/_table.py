"""Results as tables."""

from __future__ import annotations

from typing import Any

from ._optional import need


class Table:
    """A result that is a table: a row for each point, eigenvalue or step."""

    def _columns(self) -> dict[str, Any]:
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`: a row for each point, eigenvalue, or step of a member."""
        return need("pandas", f"{type(self).__name__}.to_pandas").DataFrame(self._columns())

    def to_polars(self) -> Any:
        """A `polars.DataFrame`, as `to_pandas`."""
        return need("polars", f"{type(self).__name__}.to_polars").DataFrame(self._columns())
