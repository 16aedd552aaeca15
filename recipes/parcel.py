"""A folder in pieces of a given size, for ways that bound what travels at once.

    python -m recipes.parcel pack build/recipes/data build/recipes/parcels --mib 24
    python -m recipes.parcel unpack DIRECTORY-OF-PARTS build/recipes/data

A compressed tar is cut into parts; `parts.json` beside them holds the size and digest of the whole.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import lzma
import tarfile
from pathlib import Path

MIB = 1 << 20
MANIFEST = "parts.json"


def pack(folder: Path, out: Path, *, mib: float, preset: int = 6) -> list[Path]:
    """Write the files of `folder` as parts of at most `mib` MiB to `out`; preset 0 is quick."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                tar.add(path, arcname=str(path.relative_to(folder)))
    data = lzma.compress(buffer.getvalue(), preset=preset)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("part-*"):
        old.unlink()
    size = int(mib * MIB)
    parts = []
    for at, start in enumerate(range(0, len(data), size)):
        parts.append(out / f"part-{at:02}")
        parts[-1].write_bytes(data[start : start + size])
    digest = hashlib.sha256(data).hexdigest()
    manifest = {"bytes": len(data), "sha256": digest, "parts": [part.name for part in parts]}
    (out / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return parts


def unpack(parts: Path, folder: Path) -> None:
    """The folder whose parts lie in `parts`; ValueError names what is missing or broken."""
    manifest = json.loads((parts / MANIFEST).read_text(encoding="utf-8"))
    if missing := [name for name in manifest["parts"] if not (parts / name).is_file()]:
        raise ValueError(f"'{parts}' lacks {', '.join(missing)}; bring them first")
    data = b"".join((parts / name).read_bytes() for name in manifest["parts"])
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        raise ValueError(f"the parts in '{parts}' do not give the whole; bring them again")
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(data)), mode="r") as tar:
        tar.extractall(folder, filter="data")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--mib", type=float, default=24)
    parser.add_argument("--preset", type=int, default=6, choices=range(10))
    args = parser.parse_args()
    if args.what == "unpack":
        unpack(args.source, args.target)
        return
    for part in pack(args.source, args.target, mib=args.mib, preset=args.preset):
        print(f"{part}  {part.stat().st_size / MIB:.1f} MiB")


if __name__ == "__main__":
    main()
