"""Small tables for notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; every cell is text."""

    def cells(tag: str, row: Sequence[object]) -> str:
        return "".join(
            f'<{tag} style="text-align:left">{html.escape(str(cell))}</{tag}>' for cell in row
        )

    title = f'<caption style="text-align:left">{html.escape(caption)}</caption>' if caption else ""
    headed = f"<thead><tr>{cells('th', head)}</tr></thead>" if head else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>{title}{headed}<tbody>{body}</tbody></table>"


def beside(svg: str, text: str) -> str:
    """A figure above a table."""
    return f'<div><div style="max-width:640px">{svg}</div>{text}</div>'
