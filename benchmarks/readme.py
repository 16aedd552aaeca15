"""Write the figures of README and of the bundled model's card from the result files alone.

python benchmarks/readme.py
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CARD = ROOT / "src/secondpass/models/mini/README.md"
BEGIN, END = "<!-- figures: python benchmarks/readme.py -->\n", "<!-- end of figures -->\n"
SETS = {
    "scifact": "SciFact",
    "cranfield": "Cranfield",
    "cmrc2018_dev": "CMRC 2018 (Chinese)",
    "xquad_zh": "XQuAD (Chinese)",
}


def result(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def sets() -> dict[str, str]:
    """The sets that were measured."""
    return {
        name: title for name, title in SETS.items() if (RESULTS / f"quality-{name}.json").is_file()
    }


def quality() -> str:
    """nDCG@10 of the first stages and of what the second pass makes of them."""
    if not sets():
        return ""
    lines = [
        "| nDCG@10 | BM25 | hybrid, `static` beside it | hybrid, reranked (the default) |",
        "|---|---|---|---|",
    ]
    for name, title in sets().items():
        figures = result(f"quality-{name}")
        values, default = figures["ndcg_cut_10"], "hybrid > mini@int8 + 0.3 first"
        low, high = figures["difference_to_lexical_95"][default]
        lines.append(
            f"| {title}, {figures['queries']} queries | {values['lexical']:.3f} | "
            f"{values['hybrid']:.3f} | {values[default]:.3f} ({low:+.3f} to {high:+.3f} against BM25, "
            "95 %) |"
        )
    return "\n".join(lines)


RANKINGS = {
    "bm25": "BM25",
    "minilm": "all-MiniLM-L6-v2",
    "minilm+bm25": "all-MiniLM-L6-v2 + BM25",
    "e5": "multilingual-e5-small",
    "e5+bm25": "multilingual-e5-small + BM25",
    "before": "the first bundled model, 12 ordinary layers",
    "tiny": "the recipe in fewer layers, not bundled",
    "mini": "`mini`",
    "mini+bm25": "`mini` + 0.3 BM25 (the default)",
}
ONLY_IN_CARD = ("tiny", "minilm+bm25")  # README has 150 lines
CHINESE = ("xquad_zh", "cmrc2018_dev", "csl_title")


def rankings(found: dict) -> dict[str, str]:
    """The rankings that were measured on every set, with their titles."""
    return {name: title for name, title in RANKINGS.items() if name in found["mean"]["ndcg@10"]}


def bundled() -> str:
    """The bundled model by itself, against what is cheap and against the one before it."""
    found = result("bundled")
    sets = found["sets"]
    lines = [
        f"| BM25's best {found['depth']} by, mean nDCG@10 | {len(sets)} open sets | English | Chinese "
        "| `mini` is better by (95 %) |",
        "|---|---|---|---|---|",
    ]
    for name, title in rankings(found).items():
        if name in ONLY_IN_CARD:
            continue
        cells = [found["mean"]["ndcg@10"][name]]
        for chinese in (False, True):
            values = [
                each["ndcg@10"][name] for at, each in sets.items() if (at in CHINESE) == chinese
            ]
            cells.append(sum(values) / len(values))
        more = ""
        if name in found["mean"]["more_95"]:
            mean, low, high = found["mean"]["more_95"][name]
            more = f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
        figures = " | ".join(f"{value:.3f}" for value in cells)
        lines.append(f"| {title} | {figures} | {more} |")
    return "\n".join(lines)


def every_set() -> str:
    """The same by sets, with how much better the new model is than what is cheap."""
    found = result("bundled")
    names = rankings(found)
    lines = [
        f"| nDCG@10, BM25's best {found['depth']} | queries | {' | '.join(names.values())} "
        "| `mini` less BM25 (95 %) | less e5 + BM25 |",
        f"|---{'|---' * (len(names) + 3)}|",
    ]
    rows = {**found["sets"], "mean": {"queries": "", **found["mean"]}}
    for title, each in rows.items():
        cells = [f"{each['ndcg@10'][name]:.3f}" for name in names]
        for other in ("bm25", "e5+bm25"):
            mean, low, high = each["more_95"][other]
            cells.append(f"{mean:+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(f"| {title} | {each['queries']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def held_out() -> str:
    """What the bundled model says of training's own held-out queries."""
    found = result("trained")
    names = {"cosine": "e5", "mixture": "the teacher's mixture", "late": "`mini`"}
    each = ", ".join(f"{title} {found[name]:.3f}" for name, title in names.items())
    return (
        f"On held-out training queries, nDCG@10 of the right passage among up to 32 mined ones: {each}. "
        f"Calibration error (ECE) {found['error']:.3f}, before the line through the logits "
        f"{found['error before']:.3f}."
    )


OURS = {
    "mini": "`mini`",
    "tiny": "the recipe in fewer layers",
    "before": "an ordinary model of 12 layers",
    "minilm-l6": "one of MiniLM-L6's shape",
}


def models() -> str:
    """How long each of our models takes, in units of the default's time."""
    found = result("models")
    each = [
        f"{OURS[name]} {figures['int8']['median_ms']:.0f} ms ({figures['int8']['ratio']:.2f})"
        for name, figures in found["models"].items()
    ]
    return (
        f"{found['texts']} texts of {found['mean_tokens']:.0f} tokens, int8, {found['cores']} cores, "
        f"interleaved (ratio to the first): {', '.join(each)}."
    )


OWN = {"espfaq": "of a product's FAQ, English and Chinese"}


def own_documents() -> str:
    """What training on one's own documents did, a sentence for each file of questions."""
    if not (RESULTS / "own-documents.json").is_file():
        return ""
    found = result("own-documents")
    lines = []
    for name, title in OWN.items():
        each = found["sets"][name]
        values, more = each["ndcg_cut_10"], each["difference_to_before_95"]
        low, high = more["hybrid > after"]
        minutes = each["training"]["run"]["seconds"] / 60
        lines.append(
            f"`secondpass train` on {each['lists']:,} questions {title}: {minutes:.0f} minutes of steps on "
            f"{found['cores']} core{'s' if found['cores'] > 1 else ''}. nDCG@10 on {each['held_out']} "
            f"other questions, the first stage's best {each['depth']} by: the first stage "
            f"{values['hybrid']:.3f}, `mini` {values['hybrid > before']:.3f}, the trained model "
            f"{values['hybrid > after']:.3f} ({low:+.3f} to {high:+.3f} against `mini`, 95 %); with 0.3 "
            f"of the first stage {values['hybrid > before + 0.3 first']:.3f} and "
            f"{values['hybrid > after + 0.3 first']:.3f}."
        )
    return "\n\n".join(lines)


def precision() -> str:
    """What int8 costs, in the computing and in the file."""
    if not sets():
        return ""
    costs, overlaps = [], []
    for name, title in sets().items():
        figures = result(f"quality-{name}")
        values = figures["ndcg_cut_10"]
        costs.append(
            f"{title} {values['lexical > mini@int8'] - values['lexical > mini@fp32']:+.4f}"
        )
        overlaps.append(figures["compared_with_mini@fp32"]["mini@int8"]["top_10_overlap"])
    return (
        f"Computing in int8, which is the default, changes the model's own nDCG@10 over BM25's best 50 "
        f"by {', '.join(costs)}; of the ten best it keeps {min(overlaps):.1%} or more."
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
        f"loading the model {median['int8_load_ms']:.0f} ms; reranking 50 texts of "
        f"{median['tokens_a_text']:.0f} tokens {median['int8_rerank_50_ms'] / 1000:.1f} s, in fp32 "
        f"{median['fp32_rerank_50_ms'] / 1000:.1f} s; resident memory while at it "
        f"{figures['resident_mb_reranking_50']} MB."
    )


SHAPES = {
    "mini": "12 layers of 384",
    "minilm-l6": "MiniLM-L6",
    "bge-reranker-base": "bge-reranker-base",
    "bge-reranker-v2-m3": "bge-reranker-v2-m3",
}


def engines(name: str) -> dict[str, dict]:
    """What was measured on a shape; where few engines had more rounds of their own, those count."""
    files = (f"speed-{name}", f"speed-{name}-tuned")
    found = [result(file) for file in files if (RESULTS / f"{file}.json").is_file()]
    return {one["engine"]: one for each in found for one in each["engines"]}


def speed() -> str:
    """Milliseconds a query of each engine, and in units of our int8."""
    found = {name: engines(name) for name in SHAPES}
    names = list(dict.fromkeys(engine for each in found.values() for engine in each))
    titles = [
        f"{title}, {result(f'speed-{name}')['workload']['texts']} texts"
        for name, title in SHAPES.items()
    ]
    lines = [
        f"| ms a query (× ours in int8) | {' | '.join(titles)} |",
        f"|---{'|---' * len(found)}|",
    ]
    for name in names:
        cells = []
        for each in found.values():
            one = each.get(name)
            ratio = f" ({one['ratio']:.1f})" if one and one["ratio"] else ""
            cells.append(f"{one['median_ms']:.0f}{ratio}" if one else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + bounds()


def first_stages() -> str:
    """What each first stage finds, in the mean of the open sets."""
    found = result("retrieval")
    names = {
        "bm25": "BM25",
        "static": "`static`, bundled",
        "bm25 + static": "both (the default)",
        "all-minilm": "all-MiniLM-L6-v2",
        "bm25 + all-minilm": "BM25 + all-MiniLM-L6-v2",
        "e5-small": "multilingual-e5-small",
        "bm25 + e5-small": "BM25 + multilingual-e5-small",
    }
    names = {name: title for name, title in names.items() if name in found["mean"]}
    head = f"first stage, mean of {len(found['sets'])} open sets"
    lines = [f"| {head} | recall@50 | nDCG@10 |", "|---|---|---|"]
    for name, title in names.items():
        values = found["mean"][name]
        lines.append(f"| {title} | {values['recall_50']:.3f} | {values['ndcg_cut_10']:.3f} |")
    return "\n".join(lines)


def scale() -> str:
    """The largest index that was asked."""
    size, figures = max(result("scale")["sizes"].items(), key=lambda one: int(one[0]))
    return (
        f"An index of {int(size):,} passages: hybrid in {figures['hybrid']['p50_ms']:.0f} ms, p95 "
        f"{figures['hybrid']['p95_ms']:.0f} ms, with {figures['resident_mb'] / 1000:.1f} GB of memory "
        f"and {figures['disk_mb'] / 1000:.1f} GB of disk ([larger ones](docs/en/stores.md))."
    )


def bounds() -> str:
    """How near the processor's own peak that is, and so how much anybody could gain."""
    name = "minilm-l6-tuned"
    measured = result(f"speed-{name}")
    ours, best = (engines("minilm-l6")[one]["median_ms"] for one in ("secondpass-int8", "openvino"))
    bound = measured["bound_ms"]["int8"]
    return (
        f"Texts of {measured['workload']['mean_tokens']:.0f} tokens on average, all engines on the same "
        "weights and texts, each in its best setting that we found; no ratio where an engine's logits "
        "correlate with float32 by less than .95. The products of MiniLM-L6 alone take the processor "
        f"{bound:.0f} ms at the int8 peak that a probe measured in the same run: we are at "
        f"{bound / ours:.0%} of it, and nothing could be more than {best / bound:.1f} times as fast as "
        "the fastest other engine."
    )


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
    parts = (
        first_stages(),
        bundled(),
        quality(),
        precision(),
        speed(),
        "\n".join(filter(None, (models(), own_documents()))),
        footprint(),
        scale(),
        machine(),
    )
    return between(readme, parts)


def with_sets(card: str) -> str:
    """The bundled model's card with the part between the markers made anew."""
    return between(card, (every_set(), held_out(), models()))


def between(text: str, parts: tuple[str, ...]) -> str:
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    figures = "\n\n".join(filter(None, parts))
    return f"{before}{BEGIN}\n{figures}\n\n{END}{after}"


def main() -> None:
    for path, made in ((ROOT / "README.md", with_figures), (CARD, with_sets)):
        path.write_text(made(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
