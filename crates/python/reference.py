"""Writes the reference of the Python package from its docstrings: `python reference.py`.

A test compares; it needs the installed package and nothing else.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import thalweg

PLACE = Path(__file__).parents[2] / "docs" / "python" / "reference.md"

ORDER = {
    "Where models and data come from": (
        "load", "load_all", "from_torch", "build", "architectures", "dataset",
    ),
    "The model": ("Model", "Options", "Parameter", "Parameters"),
    "Results": ("Surface", "Spectrum", "Density", "Outliers", "Population", "Member", "Evaluation", "Estimate"),
    "Other tools": ("HessianOperator", "ray.surface", "ray.train_population"),
    "Exceptions": (
        "ThalwegError", "ShapeError", "DataError", "ConfigError", "FormatError", "FileError",
        "OutOfMemoryError", "NumericsError", "MissingPackageError", "Interrupted",
    ),
}  # fmt: skip


def document() -> str:
    """The whole page."""
    parts = [
        "# Reference of the Python package",
        "Written by `crates/python/reference.py` from the docstrings. "
        "[Quick start](quickstart.md).",
    ]
    for title, names in ORDER.items():
        parts.append(f"## {title}")
        parts += [entry(name, resolve(name)) for name in names]
    return "\n\n".join(parts) + "\n"


def resolve(name: str) -> Any:
    value: Any = thalweg
    for part in name.split("."):
        value = getattr(value, part)
    return value


def entry(name: str, value: Any) -> str:
    """A function, or a class with its methods."""
    parts = [f"### `thalweg.{name}`"]
    if inspect.isclass(value) and issubclass(value, BaseException):
        bases = ", ".join(f"`{base.__name__}`" for base in value.__bases__)
        return f"{parts[0]}\n\n{text(value)} Derives from {bases}."
    if not hasattr(value, "__annotations__") or name != "Options":
        parts.append(f"```python\n{name.split('.')[-1]}{signature(value)}\n```")
    parts.append(text(value))
    if inspect.isclass(value):
        for method, found in own(value).items():
            if method.startswith("_") and method != "__call__":
                continue
            if isinstance(found, property):
                parts.append(f"#### `{name}.{method}`\n\n{text(found)}")
            elif inspect.isfunction(found) and method != "predict" and method == "__call__":
                parts.append(f"#### `{name}(x)`\n\nIs `{name}.predict(x)`.")
            elif inspect.isfunction(found):
                shown = f"```python\n{method}{signature(found)}\n```"
                parts.append(f"#### `{name}.{method}`\n\n{shown}\n\n{text(found)}")
    return "\n\n".join(parts)


def own(value: Any) -> dict[str, Any]:
    """What a class has, and what it has of bases in the package."""
    found: dict[str, Any] = {}
    for base in value.__mro__:
        if base.__module__.startswith("thalweg"):
            found = {**found, **{n: f for n, f in vars(base).items() if n not in found}}
    return found


def signature(value: Any) -> str:
    """As it is written, without the first argument of a method; on several lines if it is long."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    kept = [p for p in found.parameters.values() if p.name != "self"]
    one = unquoted(str(found.replace(parameters=kept)))
    if len(one) <= 84:
        return one
    result = one.rsplit(") -> ", 1)[1] if ") -> " in one else ""
    lines, starred = [], False
    for parameter in kept:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            lines.append("*")
            starred = True
        lines.append(unquoted(str(parameter)))
    body = "".join(f"\n    {line}," for line in lines)
    return f"({body}\n)" + (f" -> {result}" if result else "")


def unquoted(signature: str) -> str:
    """Annotations as they are written; values that are texts keep their quotes."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)


def text(value: Any) -> str:
    """A docstring in NumPy's style as Markdown."""
    lines = (inspect.getdoc(value) or "").splitlines()
    out: list[str] = []
    at = 0
    sections = {"Parameters", "Attributes", "Returns", "Raises", "Examples"}
    while at < len(lines):
        line = lines[at]
        if line in sections and at + 1 < len(lines) and set(lines[at + 1]) == {"-"}:
            out += ["", f"**{line}**", ""]
            at += 2
            if line == "Examples":
                code = [one[4:] for one in lines[at:] if one.startswith((">>>", "..."))]
                return "\n".join([*out, "```python", *code, "```"]).strip()
            while at < len(lines) and not (
                lines[at] in sections and at + 1 < len(lines) and set(lines[at + 1]) == {"-"}
            ):
                if lines[at] and not lines[at].startswith(" "):
                    name, _, kind = lines[at].partition(" : ")
                    shown = f"`{name}`" + (f" : {kind}" if kind else "")
                    about = []
                    while at + 1 < len(lines) and lines[at + 1].startswith(" "):
                        at += 1
                        about.append(lines[at].strip())
                    out.append(f"- {shown}" + (f". {' '.join(about)}" if about else ""))
                at += 1
            continue
        out.append(plain(line))
        at += 1
    return "\n".join(out).strip()


def plain(line: str) -> str:
    """Cross references of Sphinx's as code."""
    for role in (":func:", ":meth:", ":class:"):
        line = line.replace(role, "")
    return line


if __name__ == "__main__":
    PLACE.write_text(document())
