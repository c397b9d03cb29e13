"""Settings that were given and do nothing, beside what else is set."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dep.train.sections import LossSection, TrainingSection

if TYPE_CHECKING:
    from dep.train.config import TrainConfig


def idle_settings(
    config: "TrainConfig", *, validated: bool, complete: bool
) -> list[str]:
    """Say which settings do nothing, and why.

    A setting counts as given where it is not its default: a configuration that was
    kept in a checkpoint has all of them.

    Parameters
    ----------
    config
        Of the training.
    validated
        There are tomograms to validate on.
    complete
        All training tomograms are fully annotated.
    """
    return [*_of_validation(config, validated), *_of_loss(config, complete)]


def _of_validation(config: "TrainConfig", validated: bool) -> Iterator[str]:
    t = config.training
    if not validated:
        given = [
            f"training.{key} = {getattr(t, key)}"
            for key in ("validate_every", "keep_best", "patience")
            if getattr(t, key) != TrainingSection.model_fields[key].default
        ]
        if given:
            yield (
                f"no tomogram is validated on, so that {', '.join(given)} "
                f"{'do' if len(given) > 1 else 'does'} nothing; data.validate or "
                "data.split chooses some"
            )
        return
    # The last one is of the last step, which ends the training anyway.
    many = -(-t.steps // t.validate_every) if t.validate_every else 1
    if t.patience and t.patience >= many - 1:
        every = f"with training.validate_every = {t.validate_every}"
        number = f"{many} validations" if many > 1 else "1 validation"
        yield (
            f"training.patience = {t.patience} does nothing: {every} there "
            f"{'are' if many > 1 else 'is'} {number} in {t.steps} steps"
        )


def _of_loss(config: "TrainConfig", complete: bool) -> Iterator[str]:
    loss, default = config.loss, LossSection()
    if complete:
        given = [
            f"loss.{key} = {getattr(loss, key)}"
            for key in ("unannotated", "trimmed")
            if getattr(loss, key) != getattr(default, key)
        ]
        if given:
            yield (
                f"{' and '.join(given)} {'do' if len(given) > 1 else 'does'} nothing: "
                "every training tomogram is fully annotated"
            )
    elif loss.unannotated != "trimmed" and loss.trimmed != default.trimmed:
        yield (
            f"loss.trimmed = {loss.trimmed:g} does nothing: loss.unannotated is "
            f'"{loss.unannotated}", not "trimmed"'
        )
    if config.outputs == 1:
        given = [
            f"loss.{key} = {getattr(loss, key):g}"
            for key in ("class_term", "foreground", "absent")
            if getattr(loss, key) != getattr(default, key)
        ]
        if given:
            yield (
                f"{', '.join(given)} {'do' if len(given) > 1 else 'does'} nothing: "
                "there is one class"
            )
    elif loss.absent and not loss.dice:
        yield (
            f"loss.absent = {loss.absent:g} does nothing: it is a part of the Dice "
            "term, and loss.dice is 0"
        )
