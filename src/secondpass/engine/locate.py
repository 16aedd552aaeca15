"""Where are the files of this model? A bundled name, a folder, or a hub name -> folder."""

from __future__ import annotations

import re
from pathlib import Path

from secondpass.engine.checkpoint import no_weights
from secondpass.errors import ModelError

BUNDLED = Path(__file__).resolve().parent.parent / "models"
ENCODERS = ("static",)  # those of the bundled models that make vectors; the others rank
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# Only what a model is read from: no .bin (pickled weights), no .py (code), no ONNX twins.
FILES = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "README.md",  # what is trained from it tells its licence
    "secondpass.json",
    "modules.json",
    "*_Pooling/config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "model.safetensors",
    "model.int8.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "0_StaticEmbedding/model.safetensors",
    "0_StaticEmbedding/tokenizer.json",
]
ONNX_FILES = ["model.onnx", "model.onnx_data", "onnx/model.onnx", "onnx/model.onnx_data"]


def bundled_models() -> list[str]:
    """The names of the cross-encoders that come with the package."""
    names = (path.parent.name for path in BUNDLED.glob("*/config.json"))
    return sorted(name for name in names if name not in ENCODERS)


def _bundled_names() -> list[str]:
    return [*bundled_models(), *bundled_encoders()]


def lasting_name(model: str | Path) -> str:
    """A name that finds the same files from any current folder: a folder's is its full path."""
    name = str(model)
    folder = Path(name).expanduser()
    return str(folder.resolve()) if name not in _bundled_names() and folder.is_dir() else name


def bundled_encoders() -> list[str]:
    """The names of the encoders that come with the package."""
    return [name for name in ENCODERS if (BUNDLED / name / "config.json").is_file()]


def locate(
    model: str | Path,
    *,
    revision: str | None = None,
    offline: bool = False,
    onnx: bool = False,
    cache: Path | None = None,
    token: str | bool | None = None,
) -> Path:
    """The folder with the model's files; a bundled name goes before a folder, a folder before the hub.

    A hub name ('organisation/model') is fetched into `cache`, None being the hub's own, at `revision`
    (a branch, tag or commit), unless `offline` or HF_HUB_OFFLINE asks for what is cached; with `onnx`
    its ONNX graph is fetched in place of its weights. `token` is the hub's: None takes the saved one,
    False none. Raises ModelError.
    """
    name = str(model)
    if name in _bundled_names():
        return BUNDLED / name
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    if HUB_NAME.fullmatch(name) and not Path(name).exists():
        return _fetch(name, revision, offline=offline, onnx=onnx, cache=cache, token=token)
    raise ModelError(
        f"'{name}' is no folder and no bundled model; expected one of "
        f"{', '.join(_bundled_names())}, "
        "the path of a checkpoint's folder, or a hub name like 'organisation/model'"
    )


def _fetch(
    name: str,
    revision: str | None,
    *,
    offline: bool,
    onnx: bool,
    cache: Path | None,
    token: str | bool | None,
) -> Path:
    # here and not above: most calls need no hub, and its client takes its time to import
    from huggingface_hub import list_repo_files, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    wanted = [file for file in FILES if not file.endswith(".safetensors")] + ONNX_FILES
    at = f"'{name}'" + (f" at revision '{revision}'" if revision else "")
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=wanted if onnx else FILES,
                local_files_only=offline,
                cache_dir=cache,
                token=token,
            )
        )
        if not onnx and not offline and not any(folder.glob("*.safetensors")):
            raise no_weights(at, list_repo_files(name, revision=revision, token=token))
        return folder
    except GatedRepoError as error:
        raise ModelError(
            f"{at} asks for consent on the hub; accept its terms there and log in with `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelError(
            f"{at} is no folder here and not on the hub, or is private there; expected an existing 'organisation/model' and "
            "revision; check the spelling, and log in with `hf auth login` for a private one"
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{at} is no folder here, not in the local cache, and the hub was not reached (offline was asked for, or "
            "there is no connection); fetch it once with a connection, or pass the path of a folder"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(f"{at} could not be fetched from the hub: {error}; try again") from error
