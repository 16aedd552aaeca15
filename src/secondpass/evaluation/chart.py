"""A measurement as a picture: horizontal bars in one SVG, alone or within a page. No dependency."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import Any

from secondpass.errors import InvalidInput

WIDTH, BAR, GAP, TOP, LEFT, RIGHT, EDGE = 900, 22, 12, 112, 254, 232, 20
# Right edges of the figures beside the bars.
COLUMNS = {"ms": WIDTH - 156, "ratio": WIDTH - 88, "MB": WIDTH - EDGE}
NOTE_CHARACTERS = 132
OURS, OTHERS, INK, FAINT = "#0b7a75", "#b8c0cc", "#1c2430", "#6b7585"
FONT = "font-family='system-ui,-apple-system,Segoe UI,Noto Sans,sans-serif'"
QUIET = f"style='font-size:12px;fill:{FAINT}'"
ENDINGS = (".svg", ".html")


def check_ending(path: Path) -> None:
    """Raises InvalidInput for a file that no chart can be written to."""
    if path.suffix not in ENDINGS:
        raise InvalidInput(
            f"'{path}' ends with '{path.suffix}'; expected {' or '.join(ENDINGS)}; choose one of them"
        )


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Write the chart of a report, as SVG or as a page by the file's ending."""
    check_ending(path)
    picture = svg(report)
    if path.suffix == ".html":
        picture = (
            "<!doctype html><html lang='en'><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width'><title>secondpass bench</title>"
            f"<body style='margin:2em auto;max-width:{WIDTH}px'>{picture}</body></html>\n"
        )
    path.write_text(picture, encoding="utf-8")


def svg(report: Mapping[str, Any]) -> str:
    """Bars of the median time, fastest first; refused engines are named below with their reason.

    A hollow bar is of an engine that computes something else.
    """
    engines = sorted(report["engines"], key=lambda one: one["median_ms"])
    bottom = TOP + len(engines) * (BAR + GAP)
    notes = _notes(report)
    height = bottom + 28 + 17 * len(notes)
    most = max(one["median_ms"] for one in engines)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img' {FONT}>",
        f"<title>{escape(_title(report))}</title>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        _text(EDGE, 34, _title(report), "style='font-size:19px;font-weight:600'"),
        _text(EDGE, 58, _subtitle(report), QUIET),
        *(_text(at, TOP - 12, name, f"text-anchor='end' {QUIET}") for name, at in COLUMNS.items()),
    ]
    for at, one in enumerate(engines):
        parts += _bar(one, TOP + at * (BAR + GAP), most)
    for at, line in enumerate(notes):
        parts.append(_text(EDGE, bottom + 24 + 17 * at, line, QUIET))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _notes(report: Mapping[str, Any]) -> list[str]:
    said = [
        f"ms: the median; ratio: the time in units of {report['ratios_to']}; MB: resident memory"
    ]
    said += [f"{one['engine']}: {one['remark']}" for one in report["engines"] if one["remark"]]
    said += [f"not measured: {name}: {reason}" for name, reason in report["refused"].items()]
    return [line for one in said for line in wrap(one, NOTE_CHARACTERS, subsequent_indent="\u2003")]


def _title(report: Mapping[str, Any]) -> str:
    work, model = report["workload"], report["model"]
    return f"Reranking {work['texts']} texts with {model['name']}"


def _subtitle(report: Mapping[str, Any]) -> str:
    work = report["workload"]
    return (
        f"{work['mean_tokens']:.0f} tokens a text on average; {report['threads']} threads; "
        f"{report['processor']}; engines in turn, {report['rounds']} rounds"
    )


def _bar(one: Mapping[str, Any], y: int, most: float) -> list[str]:
    own, other = one["engine"].startswith("secondpass"), one["ratio"] is None
    length = max(2.0, (WIDTH - LEFT - RIGHT) * one["median_ms"] / most)
    weight = f"style='font-weight:{600 if own else 400}'"
    inside = "#ffffff" if other else OURS if own else OTHERS
    outline = f" stroke='{OTHERS}' stroke-dasharray='4 3'" if other else ""
    figures = {
        "ms": format(one["median_ms"], ".1f" if one["median_ms"] < 100 else ".0f"),
        "ratio": "-" if other else f"{one['ratio']:.2f}",
        "MB": "-" if one["resident_mb"] is None else f"{one['resident_mb']:.0f}",
    }
    return [
        _text(LEFT - 12, y + 16, one["engine"], f"text-anchor='end' {weight}"),
        f"<rect x='{LEFT}' y='{y}' width='{length:.1f}' height='{BAR}' rx='3' "
        f"fill='{inside}'{outline}><title>{escape(one['policy'])}</title></rect>",
        *(
            _text(COLUMNS[name], y + 16, said, f"text-anchor='end' {weight}")
            for name, said in figures.items()
        ),
    ]


def _text(x: int, y: int, said: str, style: str = "") -> str:
    return f"<text x='{x}' y='{y}' fill='{INK}' font-size='14' {style}>{escape(said)}</text>"
