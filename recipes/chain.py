"""The stages in order, each going on where it stood.

    mine -> base -> rescore -> refine -> distil -> deliver

`Chain.run` returns when all are done or the slice is over; calling it again goes on.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recipes import losses
from recipes.artefact import save_state, write_folder, write_int8
from recipes.bert import Kernels, Ranker, every_other
from recipes.calibration import calibration_error, fit_line, fold_line
from recipes.corpus import Corpus, Ragged
from recipes.feed import Source, feed
from recipes.fit import Check, Clock, Log, LossOf, Stage
from recipes.kernels import choose_kernels
from recipes.lists import Batch, Lists
from recipes.mine import Legs, Lexical, embed, mine
from recipes.parcel import pack
from recipes.plans import Plan
from recipes.rescore import rescore
from recipes.scoring import Scored, mask_of, run_model, score_questions, validation
from recipes.start import Tensors

SEED = 1
PART_MIB = 15.5
EMBEDDED_AT_ONCE = 1 << 15
VALIDATION_PLACES, VALIDATION_TOKENS = 31, 384


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Where weights come from: the bi-encoder's for mining, and those that training begins with."""

    encoder: Tensors
    ranker: Tensors


@dataclass(slots=True, eq=False)
class Chain:
    """A run: its plan, its folders and what is left of this slice."""

    plan: Plan
    data: Path
    work: Path
    start: Start
    kernels: Kernels
    device: torch.device
    clock: Clock
    log: Log

    @classmethod
    def open(cls, plan: Plan, data: Path, work: Path, start: Start, seconds: float) -> Chain:
        """A run in the folder `work`, on a GPU where there is one."""
        clock, log = Clock(seconds), Log(work / "log.jsonl")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.set_float32_matmul_precision("high")
        name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
        log({"event": "open", "torch": torch.__version__, "device": name, "seconds": seconds})
        kernels = choose_kernels(device, plan.shape, log, compiled=True)
        return cls(plan, data, work, start, kernels, device, clock, log)

    def run(self) -> bool:
        """Whether everything is done."""
        if not self.mined():
            return False
        base = self.stage("base", self.model(self.plan.shape.layers), self.plan.base)
        ready = self.rank(base, "mined")
        teacher = base
        if ready and self.plan.students:
            ready = self.rescored(base)
            if ready:
                fresh = self.model(self.plan.shape.layers)
                fresh.load_state_dict(base.model.state_dict())
                teacher = self.stage("refine", fresh, self.plan.refine)
                ready = self.rank(teacher, "mined-again")
            ready = ready and self.distilled(teacher)
        if not (ready and self.plan.students):  # else all were delivered
            self.deliver("base", teacher.model)
        self.log({"event": "closed", "done": ready, "left": self.clock.left()})
        return ready

    def mined(self) -> bool:
        """Candidates of every query; False where the slice has no time for it."""
        folder = self.work / "mined"
        if folder.is_dir():
            return True
        corpus = Corpus.load(self.data)
        miner = Ranker(replace(self.plan.shape, join=0))
        miner.load_tensors(self.start.encoder)
        encoder = miner.encoder.to(self.device)
        sides = []
        for name, texts, prefix in (
            ("passages", corpus.passages, "passage"),
            ("queries", corpus.queries, "query"),
        ):
            for at in range(0, len(texts), EMBEDDED_AT_ONCE):
                path = self.work / "e5" / f"{name}-{at}.npy"
                if path.is_file():
                    continue
                if self.clock.left() < 30 and self.plan.mining_seconds:
                    return False
                part = slice_rows(texts, at, at + EMBEDDED_AT_ONCE)
                tokens = self.plan.mining.embed_tokens
                vectors = embed(encoder, part, corpus.prefixes[prefix], self.kernels, tokens)
                path.parent.mkdir(exist_ok=True)
                with (unfinished := path.with_suffix(".part")).open("wb") as file:
                    np.save(file, vectors.cpu().numpy())
                unfinished.rename(path)
            starts = range(0, len(texts), EMBEDDED_AT_ONCE)
            parts = [np.load(self.work / "e5" / f"{name}-{at}.npy") for at in starts]
            sides.append(torch.from_numpy(np.concatenate(parts)).to(self.device))
        self.log({"event": "embedded", "left": self.clock.left()})
        if self.clock.left() < self.plan.mining_seconds:
            return False
        legs = Legs(Lexical.build(corpus, self.device), *sides)
        queries = np.arange(len(corpus.positive))
        mined = mine(corpus, legs, self.plan.mining, queries=queries)
        mined.save(folder)
        self.log(
            {
                "event": "mined",
                "usable": int(mined.usable.sum()),
                "candidates": float((mined.candidates >= 0).sum(1).mean()),
                "right above all": float((mined.right >= mined.teacher.max(1)).mean()),
                "left": self.clock.left(),
            }
        )
        return True

    def model(self, layers: int) -> Ranker:
        """A model with the start weights, of all layers or of some, evenly spread."""
        shape = self.plan.shape
        chosen = every_other(layers, shape.layers)
        torch.manual_seed(SEED)  # of a head that the start weights do not have
        model = Ranker(replace(shape, layers=layers))
        model.load_tensors(self.start.ranker, chosen)
        model.freeze_apart()
        return model.to(self.device)

    def source(self, mined: str) -> Source:
        """Where the lists over these candidates come from."""
        return Source(self.data, self.work / mined, self.plan.recipe, SEED)

    def stage(self, name: str, model: nn.Module, pace: object) -> Stage:
        """A stage, as far as it got before."""
        stage = Stage(name, model, pace, self.work / f"{name}.pt", self.log)  # type: ignore[arg-type]
        stage.restore(self.device)
        return stage

    def rank(self, stage: Stage, mined: str) -> bool:
        """Train a ranker on these candidates; whether the stage is done."""
        model = stage.model
        assert isinstance(model, Ranker)

        def loss_of(batch: Batch) -> Tensor:
            logits = run_model(model, batch, self.kernels)
            teacher = torch.from_numpy(batch.teacher).to(self.device)
            soft = torch.from_numpy(batch.soft).to(self.device)
            mask = mask_of(batch, self.device)
            return losses.ranking_loss(logits, teacher, mask, soft, losses.Weights())

        return self.fit(stage, mined, loss_of, lambda: {"ndcg": self.checked(model).ndcg()})

    def fit(self, stage: Stage, mined: str, loss_of: LossOf, check: Check) -> bool:
        """Train a stage for what is left of it, or of the slice."""
        if stage.done:
            return True
        source = self.source(mined)
        with feed(source, stage.step, self.plan.workers) as batches:
            return stage.train(batches, loss_of, check, self.reserve(stage.name))

    def reserve(self, stage: str) -> Clock:
        """The clock of a stage: time to deliver stays over, where the stage will be delivered."""
        over = 0.0 if self.device.type == "cpu" else 30.0
        self.log({"event": "begin", "stage": stage, "left": self.clock.left()})
        return Clock(self.clock.left() - over)

    def checked(self, model: Ranker) -> Scored:
        """The model's logits on the validation lists."""
        lists = Lists.open(self.data, self.work / "mined", self.plan.recipe, SEED)
        longest = min(VALIDATION_TOKENS, self.plan.recipe.most_tokens)
        questions = validation(lists, self.plan.checked, VALIDATION_PLACES, longest)
        return score_questions(model, self.kernels, lists, questions)

    def rescored(self, base: Stage) -> bool:
        """Candidates with the base model as teacher."""
        folder = self.work / "mined-again"
        if folder.is_dir():
            return True
        if self.clock.left() < self.plan.rescoring_seconds + 40 and self.plan.mining_seconds:
            return False
        model = base.model.eval()
        assert isinstance(model, Ranker)
        mined, seen = rescore(
            model,
            self.kernels,
            self.source("mined").open(),
            places=self.plan.rescored_places,
            tokens=self.plan.rescored_tokens,
            seconds=self.plan.rescoring_seconds,
        )
        mined.save(folder)
        self.log({"event": "rescored", "queries": seen, "left": self.clock.left()})
        return True

    def distilled(self, teacher: Stage) -> bool:
        """Smaller models that learn the teacher's logits on the same lists; then all delivered."""
        guide = teacher.model.eval()
        assert isinstance(guide, Ranker)
        students = nn.ModuleDict(
            {name: self.young(guide, layers) for name, layers in self.plan.students}
        )
        stage = self.stage("distil", students, self.plan.distil)

        def loss_of(batch: Batch) -> Tensor:
            mask = mask_of(batch, self.device)
            with torch.no_grad():
                told = run_model(guide, batch, self.kernels)
            parts = [
                losses.distilling_loss(run_model(each, batch, self.kernels), told, mask)
                for each in students.values()
                if isinstance(each, Ranker)
            ]
            return torch.stack(parts).sum()

        def check() -> dict[str, object]:
            return {
                name: self.checked(each).ndcg()
                for name, each in students.items()
                if isinstance(each, Ranker)
            }

        done = self.fit(stage, "mined-again", loss_of, check)
        if done:
            self.deliver("base", guide)
            for name, each in students.items():
                self.deliver(name, each)
        return done

    def young(self, guide: Ranker, layers: int) -> Ranker:
        """A model of fewer layers that starts from every n-th of the guide's, and its head."""
        model = self.model(layers)
        model.load_tensors(guide.tensors(), every_other(layers, guide.shape.layers))
        return model

    def deliver(self, name: str, model: nn.Module) -> None:
        """Calibrate a model on held-out queries and write it: a folder, int8, and parts of that."""
        assert isinstance(model, Ranker)
        copied = copy.deepcopy(model).eval()
        scored = self.checked(copied)
        facts = calibrate(copied, scored)
        folder = write_folder(copied, self.work / "out" / name)
        if self.plan.shape.join:  # the engine does not read such a model yet: keep what was trained
            kept = {k: v.half() for k, v in copied.named_parameters() if v.requires_grad}
            (self.work / "parcels").mkdir(exist_ok=True)
            save_state(self.work / "parcels" / f"{name}-join.pt", kept)
        else:
            int8 = write_int8(folder, self.work / "int8" / name)
            pack(int8, self.work / "parcels" / name, mib=PART_MIB, preset=0)
        self.log({"event": "delivered", "model": name, "ndcg": scored.ndcg(), **facts})


def slice_rows(texts: Ragged, start: int, end: int) -> Ragged:
    """Rows `start` to `end` of the texts."""
    starts = texts.starts[start : min(end, len(texts)) + 1]
    return Ragged(texts.values[starts[0] : starts[-1]], starts - starts[0])


def calibrate(model: Ranker, scored: Scored) -> dict[str, object]:
    """Fit a line on every second list and fold it into the model; errors on the other half."""
    logits, mask = scored.logits.numpy(), scored.mask.numpy()
    right = np.zeros_like(mask)
    right[:, 0] = True
    told, kept = (slice(at, None, 2) for at in (0, 1))
    a, b = fit_line(logits[told][mask[told]], right[told][mask[told]])
    held, truth = logits[kept][mask[kept]], right[kept][mask[kept]]
    fold_line(model, a, b)
    return {
        "line": [round(a, 4), round(b, 4)],
        "error before": calibration_error(held, truth),
        "error": calibration_error(a * held + b, truth),
    }
