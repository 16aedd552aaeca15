"""Write README's table of figures from the result files, so that it cannot say anything else.

python benchmarks/readme.py
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- figures: python benchmarks/readme.py -->\n", "<!-- end of figures -->\n"
SETS = {"scifact": "SciFact (English)", "cmrc2018_dev": "CMRC 2018 (Chinese)"}


def result(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def quality() -> str:
    """nDCG@10 before and after the second pass."""
    lines = [
        "| nDCG@10, first 100 queries, BM25's best 50 | BM25 | reranked | reranked, with the blend |",
        "|---|---|---|---|",
    ]
    for name, title in SETS.items():
        figures = result(f"quality-numpy-fp32-{name}")
        values = figures["ndcg_cut_10"]
        blend = "mini + 0.3 bm25"
        low, high = figures["difference_to_bm25_95"][blend]
        lines.append(
            f"| {title} | {values['bm25']:.3f} | {values['mini']:.3f} | {values[blend]:.3f} "
            f"({low:+.3f} to {high:+.3f} against BM25, 95 %) |"
        )
    return "\n".join(lines)


def precision() -> str:
    """What int8 costs, in the file and in the computing."""
    stored, alone, blended = [], [], []
    for name, title in SETS.items():
        exact = result(f"quality-numpy-fp32-{name}")["ndcg_cut_10"]
        fast = result(f"quality-int8-{name}")["ndcg_cut_10"]
        alone.append(f"{title} {fast['mini@int8'] - exact['mini']:+.4f}")
        blended.append(f"{fast['mini@int8 + 0.3 bm25'] - exact['mini + 0.3 bm25']:+.4f}")
        part = result(f"storage-{name}")
        values, queries = part["ndcg_cut_10"], part["queries"]
        stored.append(f"{title} {values['mini@fp32'] - values['mini-fp16@fp32']:+.4f}")
    return (
        f"Storing the weights in int8 instead of float16 changes the reranked nDCG@10 by "
        f"{', '.join(stored)} ({queries} queries, best {part['depth']}). Computing in int8 too, "
        f"which is not the default, changes it by {', '.join(alone)}; with the blend by "
        f"{' and '.join(blended)}."
    )


def footprint() -> str:
    """Time, disk and memory to the first answer."""
    figures = result("footprint")
    median, steps = figures["median"], figures["steps"]
    return (
        f"From `git clone` to the first answer {figures['clone_to_first_answer_s']:.0f} s "
        f"({steps['install_s']:.0f} s of it installing, the compiling included); core install "
        f"{figures['install_mb']:.0f} MB with all dependencies, {figures['package_mb']:.0f} MB of it "
        f"secondpass and its model; `import secondpass` {figures['import_ms']['median']:.0f} ms; "
        f"loading the model {median['fp32_load_ms']:.0f} ms; reranking 50 texts of "
        f"{median['tokens_a_text']:.0f} tokens {median['fp32_rerank_50_ms'] / 1000:.1f} s, in int8 "
        f"{median['int8_rerank_50_ms'] / 1000:.1f} s; resident memory while at it "
        f"{figures['resident_mb_reranking_50']} MB."
    )


SHAPES = {
    "mini": "mini, bundled",
    "minilm-l6": "MiniLM-L6",
    "bge-reranker-base": "bge-reranker-base",
    "bge-reranker-v2-m3": "bge-reranker-v2-m3",
}


def speed() -> str:
    """Milliseconds a query of each engine, and in units of our int8; empty before the first run."""
    found = {
        title: result(f"speed-{name}")
        for name, title in SHAPES.items()
        if (RESULTS / f"speed-{name}.json").is_file()
    }
    if not found:
        return ""
    names = list(dict.fromkeys(one["engine"] for each in found.values() for one in each["engines"]))
    titles = [f"{title}, {each['workload']['texts']} texts" for title, each in found.items()]
    lines = [
        f"| ms a query (× ours in int8) | {' | '.join(titles)} |",
        f"|---{'|---' * len(found)}|",
    ]
    for name in names:
        cells = []
        for each in found.values():
            one = next((one for one in each["engines"] if one["engine"] == name), None)
            cells.append(f"{one['median_ms']:.0f} ({one['ratio']:.1f})" if one else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    figures = result("footprint")
    versions = ", ".join(f"{name} {number}" for name, number in figures["versions"].items())
    return (
        f"Medians on {figures['cores']} cores of an {figures['processor']}, shared with other work; "
        f"Python {figures['python']}, {versions}. By the scripts in `benchmarks/`, from the files in "
        "`benchmarks/results/`."
    )


def with_figures(readme: str) -> str:
    """README with the part between the markers made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    figures = "\n\n".join(filter(None, (quality(), precision(), speed(), footprint(), machine())))
    return f"{before}{BEGIN}\n{figures}\n\n{END}{after}"


def main() -> None:
    path = ROOT / "README.md"
    path.write_text(with_figures(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
