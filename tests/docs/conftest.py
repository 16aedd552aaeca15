"""The folder that the documentation's commands run in: its files are those that the pages name."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from bi_encoders import write_modules
from preloaded import client
from secondpass.engine.locate import locate as bundled

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "passages.txt": """\
The giant panda is a bear that lives in the mountains of central China.
Bamboo is a grass; some kinds grow a metre a day.
A panda eats up to 38 kilograms of bamboo a day.
大熊猫是中国特有的一种熊科动物。
The office opens at nine on weekdays.
""",
    "passages.jsonl": """\
{"id": "p1", "title": "Giant panda", "text": "It is a bear that lives in central China."}
{"id": "p2", "title": "Bamboo", "text": "It is a grass; some kinds grow a metre a day."}
{"id": "p3", "title": "大熊猫", "text": "它是中国特有的一种熊科动物。"}
""",
    "mountains.txt": """\
How tall is a giraffe? About five metres.
Mount a bicycle from the left, however tall you are.
The summit of Everest is 8,849 metres above the sea.
""",
    "山.txt": """\
长颈鹿有多高？成年的大约五米。
珠峰是一家餐厅的名字。
珠穆朗玛峰的海拔是8848.86米。
""",
    "records.jsonl": """\
{"_id": "travel", "title": "Travel", "text": "Train tickets are refunded.", "lang": "en", "year": 2023}
{"_id": "leave", "title": "Leave", "text": "Everyone has thirty days a year.", "lang": "en", "year": 2024}
{"_id": "差旅", "title": "差旅", "text": "火车票可以报销。", "lang": "zh", "year": 2024}
""",
    "queries.jsonl": """\
{"_id": "q1", "text": "How many days of leave are there?"}
{"_id": "q2", "text": "火车票能报销吗？"}
""",
    "pairs.jsonl": """\
{"query": "How many days of leave are there?", "positive": "Everyone has thirty days a year."}
{"query": "火车票能报销吗？", "positive": "火车票可以报销。"}
""",
    "lists.jsonl": """\
{"query": "what do pandas eat?", "texts": ["Pandas eat bamboo.", "The office opens at nine."], "labels": [1, 0]}
{"query": "火车票能报销吗？", "texts": ["火车票可以报销。", "大熊猫吃竹子。"], "labels": [1, 0]}
""",
    "notes.txt": "The office opens at nine on weekdays.\n",
    "notes/handbook.md": """\
# Staff handbook

## Travel

Train tickets are refunded within ten days.

## Leave

Everyone has thirty days of leave a year.

## 差旅

火车票在十天内报销。
""",
    "notes/hours.txt": "Reception is staffed from nine to five.\n",
    "notes/photo.png": "not a text\n",
}
PDF = """\
%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Count 1/Kids[3 0 R]>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R
/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>endobj
4 0 obj<</Length 67>>stream
BT /F 12 Tf 50 700 Td (The plan for next year: two new stations.) Tj ET
endstream endobj
trailer<</Root 1 0 R>>
"""  # without the table of offsets, which PDFium rebuilds


@pytest.fixture(scope="session")
def my_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of the bundled model that reads one side by itself, stored like a bi-encoder."""
    folder = tmp_path_factory.mktemp("encoder") / "my-encoder"
    shutil.copytree(bundled("mini"), folder)
    config = json.loads((folder / "config.json").read_text())
    apart = tuple(f"bert.apart.layer.{at}." for at in range(config.pop("join_layer"), 12))
    joined = (*(name.replace("apart", "encoder") for name in apart), "bert.join", "classifier")
    path = next(folder.glob("*.safetensors"))
    tensors = {k: v for k, v in load_file(path).items() if not k.startswith(joined)}
    save_file({k.replace("bert.apart", "bert.encoder"): v for k, v in tensors.items()}, path)
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    (folder / "secondpass.json").unlink()
    write_modules(folder, {"pooling_mode_mean_tokens": True})
    return folder


@pytest.fixture
def workspace(tmp_path: Path, my_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new current folder with `docs/` and the small files, and nothing set in the environment."""
    home = tmp_path / "home"
    folder = home / "you"
    # Two pages a language are enough to search in, and the long ones would take the time of many.
    long_pages = shutil.ignore_patterns("command-line.md", "python.md", "guests")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=long_pages)
    shutil.copytree(my_encoder, folder / "my-encoder", copy_function=os.link)
    for name, text in (FILES | {"report.pdf": PDF}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name in [name for name in os.environ if name.startswith("SECONDPASS_")]:
        monkeypatch.delenv(name)
    environment = {
        "HOME": str(home),
        "PATH": os.pathsep.join(
            [str(client().parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "HF_HUB_OFFLINE": "1",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        # 50 candidates a search would test the pages no better than 3.
        "SECONDPASS_DEPTH": "3",
        # Other tests run beside this one, and OpenBLAS's threads wait for one another by spinning.
        "OPENBLAS_NUM_THREADS": "1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    return folder
