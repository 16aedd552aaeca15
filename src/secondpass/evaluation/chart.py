"""A measurement as a picture: horizontal bars in one SVG, alone or within a page. No dependency."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from secondpass.errors import InvalidInput

WIDTH, BAR, GAP, TOP, LEFT, RIGHT = 900, 22, 14, 84, 250, 190
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
    """Bars of the median time, fastest first; refused engines are named below with their reason."""
    engines = sorted(report["engines"], key=lambda one: one["median_ms"])
    bottom = TOP + len(engines) * (BAR + GAP)
    refused = report["refused"]
    height = bottom + 34 + 16 * len(refused)
    most = max(one["median_ms"] for one in engines)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img' {FONT}>",
        f"<title>{escape(_title(report))}</title>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        _text(20, 32, _title(report), "style='font-size:19px;font-weight:600'"),
        _text(20, 56, _subtitle(report), QUIET),
    ]
    for at, one in enumerate(engines):
        parts += _bar(one, TOP + at * (BAR + GAP), most)
    note = "milliseconds, median; × is the time in units of " + report["ratios_to"]
    parts.append(_text(20, bottom + 16, note, QUIET))
    for at, (name, reason) in enumerate(refused.items()):
        line = f"not measured: {name}: {reason}"
        parts.append(_text(20, bottom + 36 + 16 * at, f"{line:.130}", QUIET))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _title(report: Mapping[str, Any]) -> str:
    work, model = report["workload"], report["model"]
    return f"Reranking {work['texts']} texts with {model['name']}"


def _subtitle(report: Mapping[str, Any]) -> str:
    work = report["workload"]
    return (
        f"{work['mean_tokens']:.0f} tokens a text on average, {report['threads']} threads of an "
        f"{report['processor']}, {report['rounds']} rounds in turn"
    )


def _bar(one: Mapping[str, Any], y: int, most: float) -> list[str]:
    own = one["engine"].startswith("secondpass")
    length = max(2.0, (WIDTH - LEFT - RIGHT) * one["median_ms"] / most)
    said = f"{one['median_ms']:.0f} ms  ×{one['ratio']:.2f}"
    if one["resident_mb"] is not None:
        said += f"  {one['resident_mb']:.0f} MB"
    return [
        _text(
            LEFT - 10,
            y + 16,
            one["engine"],
            f"text-anchor='end' style='font-weight:{600 if own else 400}'",
        ),
        f"<rect x='{LEFT}' y='{y}' width='{length:.1f}' height='{BAR}' rx='3' "
        f"fill='{OURS if own else OTHERS}'><title>{escape(one['policy'])}</title></rect>",
        _text(int(LEFT + length + 8), y + 16, said),
    ]


def _text(x: int, y: int, said: str, style: str = "") -> str:
    return f"<text x='{x}' y='{y}' fill='{INK}' font-size='14' {style}>{escape(said)}</text>"
