"""What each word under `controls:` adds to an experiment: intermediates, or targets, beside its own. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from adapter_transfer.errors import AdapterTransferError
from adapter_transfer.sharing.references import is_hub_adapter
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.controls import Control, control_name, control_of
from adapter_transfer.tasks.copa import XCOPA, XCOPA_BALANCED_COPA
from adapter_transfer.tasks.mixtures import members, mixture_of

OF_INTERMEDIATES: tuple[Control, ...] = ("shuffled-labels", "real-or-shuffled")
OF_TARGETS: tuple[Control, ...] = ("choices-only", "balanced-copa")


def control_intermediates(controls: Collection[Control], intermediates: Sequence[str]) -> tuple[str, ...]:
    """The intermediates that controls add: of each real one its shuffled labels, of the first its shuffled text.

    Args:
        intermediates: of the experiment itself, as everybody writes them; controls, "none" and what was pulled have no
            controls.
    """
    real = [members(name) for name in intermediates if _is_real(name)]
    found: list[str] = []
    if "shuffled-labels" in controls:
        for tasks in real:
            found.append(mixture_of(control_name(task.name, "shuffled-labels") for task in tasks))
    if "real-or-shuffled" in controls and real:
        found.append(control_name(real[0][0].name, "real-or-shuffled"))
    return tuple(dict.fromkeys(name for name in found if name not in intermediates))


def _is_real(intermediate: str) -> bool:
    """Whether it is trained here on a task (or several) that is no control."""
    return intermediate != "none" and not is_hub_adapter(intermediate) and control_of(intermediate) is None


def control_targets(controls: Collection[Control], target: str) -> tuple[str, ...]:
    """The targets that controls add, in the order of `OF_TARGETS`."""
    names = {"choices-only": control_name(target, "choices-only"), "balanced-copa": XCOPA_BALANCED_COPA.name}
    return tuple(names[control] for control in OF_TARGETS if control in controls)


def control_problems(
    controls: Collection[Control], intermediates: Sequence[str], target: str, *, is_trained: bool
) -> Iterator[str]:
    """What is wrong with the controls that an experiment asks for.

    Args:
        target: the task that is evaluated.
        is_trained: whether it is trained, too.
    """
    lacks_real = not any(map(_is_real, intermediates))
    for control in controls:
        if control in OF_INTERMEDIATES and lacks_real:
            yield (
                f"controls: {control} is made of an intermediate, and `intermediates` names no real one; add one, or "
                "leave the control out"
            )
        elif control in OF_TARGETS and not is_trained:
            yield f"controls: {control} is a target that is trained, and `target` is none; leave it out"
        elif control == "balanced-copa" and target != XCOPA.name:
            yield (
                f"controls: balanced-copa is another training set for {XCOPA.name!r}, and the target is {target!r}; "
                "leave it out"
            )
        elif control in OF_TARGETS and control_of(target) == control:
            yield f"controls: {control} is the target itself ({target}); leave it out"
        elif control == "choices-only":
            try:
                TASKS[control_name(target, control)]
            except AdapterTransferError as error:
                yield f"controls: {error}"
