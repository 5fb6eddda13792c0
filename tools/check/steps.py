"""The steps in their order, and what a failure of each means."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from tools.check import kernels, several, trainings
from tools.check.material import make_material
from tools.check.setting import Setting
from tools.machine.device import select_device

_MINUTES = 60


@dataclass(frozen=True)
class Step:
    """One question to the machine.

    Attributes:
        name: what it is about.
        run: answers it in words; raises where the answer is no.
        meaning: what to think of a no.
        limit: seconds after which it counts as hung. Kernels may be compiled at first.
        needs: the step whose results it looks at; nothing is asked where that does not pass.
    """

    name: str
    run: Callable[[Setting], str]
    meaning: str
    limit: int = 10 * _MINUTES
    needs: str = "device"


def device(setting: Setting) -> str:
    """Take the NPU, and make what the other steps need."""
    found = select_device("npu", setting.device_id)
    found.activate()
    make_material(setting.data, setting.model, setting.sizes.trained)
    return str(found)


_NO_KERNEL = "a kernel of this CANN or torch_npu computes something else: nothing learned is right"

STEPS = (
    Step("device", device, "torch_npu, CANN and the driver do not go together (docs/npu.md)"),
    Step("product", kernels.product, _NO_KERNEL),
    Step(
        "attention", kernels.attention, "training ends in its first step, or learns from wrong sums"
    ),
    Step("network", kernels.network, _NO_KERNEL),
    Step("overfit", kernels.overfit, "the optimizer does not get the gradients of its step"),
    Step(
        "memory",
        kernels.memory,
        "the published recipe does not fit: a smaller --batch_size, or see "
        "whether attention is fused on this chip",
    ),
    Step("fp32", trainings.fp32, "the program does not train here, mixed precision apart"),
    Step("O1", trainings.level_o1, "leave --fp16_opt_level O1 alone here"),
    Step("O2", trainings.level_o2, "the launchers, which train at O2, do not learn here"),
    Step("bf16", trainings.bf16, "leave --bf16 alone here"),
    Step(
        "repeat",
        trainings.repeat,
        "kernels add up in an order of their own: no two runs are the same, nor is a resumed one",
        needs="O2",
    ),
    Step(
        "resume",
        trainings.resume,
        "a checkpoint does not hold all of a run",
        needs="repeat",
    ),
    Step("fallbacks", trainings.fallbacks, "these operations run on the host: right, and slow"),
    Step(
        "compilation",
        kernels.compilation,
        "leave --padding max_length alone here: kernels are compiled for its one width",
    ),
    Step("queue", trainings.queue, "export TASK_QUEUE_ENABLE=1, or 0, before a launcher"),
    Step(
        "2 processes",
        several.two_processes,
        "HCCL does not connect the NPUs: see rank table, network and HCCL's own messages",
    ),
    Step("8 processes", several.eight_processes, "as for 2 processes"),
    Step(
        "killed process",
        several.killed_process,
        "a run that loses a process keeps the machine until it is ended by hand",
    ),
    Step(
        "launcher on 1 NPU",
        several.launcher_of_one,
        "the published run does not work",
        60 * _MINUTES,
    ),
    Step(
        "launcher on 8 NPUs",
        several.launcher_of_eight,
        "the published run does not work",
        60 * _MINUTES,
    ),
)


def steps_for(names: Collection[str]) -> list[Step]:
    """Return the steps of these names with all that they need, in their order."""
    by_name = {step.name: step for step in STEPS}
    wanted: set[str] = set()
    for name in names:
        while name not in wanted:
            wanted.add(name)
            name = by_name[name].needs
    return [step for step in STEPS if step.name in wanted]
