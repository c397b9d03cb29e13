"""What happens between the steps of a run: averaging, reports, validation, saving."""

# ruff: noqa: ARG002 - hooks have Lightning's signatures

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins import MixedPrecision
from torch import Tensor

from dep.train.checkpoint import load_checkpoint
from dep.train.curves import column, draw_curves
from dep.train.data import AnnotatedTomogram
from dep.train.history import History
from dep.train.intake import TrainingData
from dep.train.learner import Learner
from dep.train.metrics_file import Progress, read_metrics
from dep.train.overlay import draw_overlay
from dep.train.records import Records
from dep.train.remedies import not_finite, remarks
from dep.train.run_folder import RunFolder, write_bytes
from dep.train.same_data import trained_on
from dep.train.state import TrainingError, learning_rate
from dep.train.stopping import Interruption
from dep.train.summary import summary
from dep.train.validate import Picked, Validation, mean_scores, validate

REPORT_SECONDS = 1.0
REPORT_STEPS = 50
SAVE_SECONDS = 120.0  # no more than that is lost to a kill, however slow the steps


class Watch(Callback):
    """Lightning calls it around each step; the first process writes the run's folder.

    Parameters
    ----------
    learner
        What is trained.
    folder
        Of the run.
    data
        Whose tomograms to validate and test on.
    interruption
        Whether to stop.
    kept
        From `last.ckpt`; empty for a new run.
    records
        Of what is reported.
    """

    def __init__(
        self,
        learner: Learner,
        folder: RunFolder,
        data: TrainingData,
        interruption: Interruption,
        kept: Mapping[str, Any],
        records: Records,
    ) -> None:
        self.learner = learner
        self.run = learner.run
        self.ranks = learner.ranks
        self.folder = folder
        self.data = data
        self.interruption = interruption
        self.history = History()
        if "history" in kept:
            self.history = History.from_dict(kept["history"])
        self.tested: list[Validation | None] = []
        self.records = records
        self.validating = False
        self._scaler: dict[str, Any] = dict(kept.get("scaler", {}))
        self._trainer: Trainer | None = None
        self._losses: list[Tensor] = []
        self._known: list[float] = list(kept.get("losses", ()))
        self._saved = self.run.step
        self._reported = self._saved_at = time.perf_counter()

    @property
    def finished(self) -> bool:
        """Whether there is no step to make any more."""
        t = self.run.config.training
        return self.run.step >= t.steps or self.history.exhausted(t.patience)

    # --- what Lightning calls ---------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for Ctrl-C; make up for a validation that was interrupted.

        A new run is saved before its first step: from then on --resume goes on with it,
        other weights that it was started from included.
        """
        self._trainer = trainer
        self.interruption.listen()
        scaler = self._loss_scaler()
        if scaler is not None and self._scaler:
            scaler.load_state_dict(self._scaler)
        if self.run.step == 0:
            self.save()
        self.catch_up()

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Begin a step."""
        self.interruption.hold()
        self.run.prepare()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: object,
        batch_idx: int,
    ) -> None:
        """End a step, and do what is due after it."""
        self._losses.append(outputs["loss"].detach())
        if self.run.device.type == "cpu":
            self._look()
        together = self.learner.share(self.interruption.asked)
        self.run.settle()
        self._between()
        if self.ranks.world == 1:
            self._let_in()
        elif together:
            self.save()
            dist.barrier()
            self.interruption.deliver()
            raise KeyboardInterrupt

    # --- between steps ----------------------------------------------------------

    def catch_up(self) -> None:
        """Make the validation that a run was interrupted in."""
        self.interruption.hold()
        if self._due() and self.history.validated < self.run.step:
            self._between()
        if self.ranks.world == 1:
            self._let_in()
        self._reported = time.perf_counter()

    def save(self) -> None:
        """Write `last.ckpt`, and `model.ckpt` as long as no validation chooses it.

        Before the first step there is no model yet.
        """
        self._saved = self.run.step
        self._saved_at = time.perf_counter()
        if not self.ranks.first:
            return
        shipped = self.run.shipped()
        if self.history.best is None and self.run.step:
            self.folder.write_model(shipped, self.run.config)
        scaler = self._loss_scaler()
        if scaler is not None:
            self._scaler = scaler.state_dict()
        training = {
            **self.run.resumable(),
            "history": self.history.to_dict(),
            "losses": self._known,
            "trained_on": trained_on(self.data.train),
            "scaler": self._scaler,
        }
        self.folder.write_last({**shipped, "training": training}, self.history)

    def save_if_whole(self) -> None:
        """Save after an interruption, where it came between two steps."""
        if not self.interruption.held and self.run.step > self._saved:
            self.save()

    def _let_in(self) -> None:
        """From here on a Ctrl-C is not put off; one that was put off has its way."""
        self.interruption.release()
        if self.interruption.asked:
            self.save()
            self.interruption.deliver()

    def _due(self) -> bool:
        t = self.run.config.training
        step = self.run.step
        every = t.validate_every and step % t.validate_every == 0
        return bool(self.data.validate and step and (every or step == t.steps))

    def _between(self) -> None:
        """Validate, report and save where it is time to."""
        t = self.run.config.training
        step = self.run.step
        now = time.perf_counter()
        validation = self._validate() if self._due() else None
        if self.history.exhausted(t.patience) and self._trainer is not None:
            self._trainer.should_stop = True
        saves = self.finished or self._due() or step % t.save_every == 0
        saves = saves or now - self._saved_at >= SAVE_SECONDS
        if saves or now - self._reported >= REPORT_SECONDS or step % REPORT_STEPS == 0:
            self._report(now, validation)
        if saves:
            self.save()
        if validation is not None and not self.finished:
            self._picture()

    def _look(self) -> None:
        """Take the losses from the device and look whether they are numbers."""
        first = self.run.step + 1 - len(self._losses)
        for step, loss in enumerate(self._losses, start=first):
            value = float(loss)
            if not math.isfinite(value):
                learnt = self.folder.model if self.folder.model.exists() else None
                raise TrainingError(not_finite(value, step, self.run.config, learnt))
            self._known.append(value)
        self._losses = []

    def _report(self, now: float, validation: Validation | None) -> None:
        self._look()
        if self.ranks.first and (self._known or validation is not None):
            if self._known:
                loss = sum(self._known) / len(self._known)
                seconds = (now - self._reported) / len(self._known)
            else:  # a resumed run that had made its last step
                loss, seconds = self.records.last
            report = Progress(
                step=self.run.step,
                steps=self.run.config.training.steps,
                loss=loss,
                learning_rate=learning_rate(self.run.step - 1, self.run.config),
                seconds=now - self.records.started,
                seconds_per_step=seconds,
                validation=validation,
            )
            self.records.write(report)
        self._known = []
        self._reported = time.perf_counter()

    def _loss_scaler(self) -> Any:  # noqa: ANN401 - torch's scaler, None without fp16
        plugin = self._trainer.precision_plugin if self._trainer else None
        return plugin.scaler if isinstance(plugin, MixedPrecision) else None

    # --- validation -------------------------------------------------------------

    def _validate(self) -> Validation | None:
        self._look()
        tomograms = self.data.validate
        if self.ranks.world == 1:
            self._let_in()
        picked = self._pick_together(tomograms)
        self.interruption.hold()
        scores = mean_scores(picked)
        self.history.validated = self.run.step
        if scores is None:
            return None
        keep = self.run.config.training.keep_best
        best = self.history.add(self.run.step, scores, keep)
        if self.ranks.first:
            shipped = self.run.shipped()
            self.folder.write_best(shipped, self.history)
            if best:
                self.folder.write_model(shipped, self.run.config)
                self._overlay(tomograms[0], picked[0])
        return scores

    def _pick(self, tomograms: Sequence[AnnotatedTomogram]) -> list[Picked]:
        self.validating = True
        run = self.run
        picked = validate(run.average, run.config, tomograms, run.device)
        self.validating = False
        return picked

    def _pick_together(self, tomograms: Sequence[AnnotatedTomogram]) -> list[Picked]:
        """Share tomograms among ranks; give all picks in the tomograms' order.

        After a run's last step there is no group of ranks, and the first picks alone.
        """
        if not dist.is_initialized():
            return self._pick(tomograms)
        mine = self._pick(tomograms[self.ranks.rank :: self.ranks.world])
        parts: list[list[Picked]] = [[] for _ in range(self.ranks.world)]
        dist.all_gather_object(parts, mine)
        longest = max(len(part) for part in parts)
        return [part[k] for k in range(longest) for part in parts if k < len(part)]

    # --- pictures and words -----------------------------------------------------

    def conclude(self) -> None:
        """Finish the folder of a run that has made all its steps."""
        if not self.ranks.first:
            return
        if not self.data.validate:
            first = self.data.train[0]
            self._overlay(first, self._pick([first])[0])
        self._test()
        losses = column(read_metrics(self.folder.metrics), "loss").tolist()
        for note in remarks(self.run.config, self.history, losses, self.run.step):
            self.records.say(note, self.run.step)
        self._picture()

    def _test(self) -> None:
        """Score the network of `model.ckpt` on the tomograms kept for that."""
        if not self.data.test:
            return
        run = self.run
        network = load_checkpoint(self.folder.model).network.to(run.device)
        self.validating = True
        picked = validate(network, run.config, self.data.test, run.device)
        self.validating = False
        self.tested = [one.scores for one in picked]

    def _overlay(self, tomogram: AnnotatedTomogram, picked: Picked) -> None:
        image = draw_overlay(tomogram, picked, self.run.config, self.run.step)
        write_bytes(self.folder.overlay(tomogram.name), image)

    def _picture(self) -> None:
        """Draw the curves and sum the run up."""
        if not self.ranks.first:
            return
        rows = read_metrics(self.folder.metrics)
        config = self.run.config
        if rows:
            write_bytes(self.folder.curves, draw_curves(rows, config.name))
        seconds = time.perf_counter() - self.records.started
        self.folder.write_summary(
            {
                **summary(
                    config, self.history, self.data, rows, self.run.step, self.tested
                ),
                "seconds_of_this_run": round(seconds, 1),
                "notes": self.records.notes,
            }
        )
