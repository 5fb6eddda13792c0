"""What the benchmark tells a worker: which contender it is, and the setting that all of them share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from model.configuration_albert import AlbertConfig
from processors.glue import TASKS
from tools.machine.device import Device


@dataclass(frozen=True)
class Contender:
    """One of those compared.

    Attributes:
        group: contenders of a group take turns with each other.
        system: ``ours`` or ``hf``, which train or evaluate; ``matmul`` measures the machine, and
            ``startup`` reads the data.
        batching: which examples meet and how wide they are padded: a padding policy of this project,
            ``dynamic`` or ``grouped`` (HF), or ``static``.
        attention: HF's implementation.
        compiled: whether with ``--torch_compile``.
        bf16: whether with ``--bf16``, in whatever precision the others train.
        width: of a static batch; 0 otherwise.
    """

    name: str
    group: str
    system: str
    batching: str = ""
    attention: str = ""
    compiled: bool = False
    bf16: bool = False
    width: int = 0

    @property
    def trains(self) -> bool:
        """Whether it trains; else it only evaluates, or does neither."""
        return self.group.startswith(("train", "static"))


@dataclass(frozen=True)
class Setting:
    """The same for all contenders of a run. Paths are absolute.

    Attributes:
        features: folder of the examples' token ids, ``<group>.safetensors``.
        data: folder of a copy of the task's files; empty where the data are generated.
        model: folder of ``config.json``, and of the vocabulary where there are files.
    """

    task_name: str
    features: str
    data: str
    model: str
    device_type: str
    device_index: int
    threads: int
    precision: str
    optimizer: str
    batch_size: int
    max_seq_length: int
    sample: int
    seed: int = 42
    learning_rate: float = 1e-5

    @property
    def device(self) -> Device:
        """Where to compute."""
        return Device(self.device_type, self.device_index)

    def precision_of(self, contender: Contender) -> str:
        """Return what ``contender`` computes in; evaluation is in fp32 whatever training is in."""
        if contender.bf16:
            return "bf16"
        return self.precision if contender.trains else "fp32"

    @property
    def config(self) -> AlbertConfig:
        """The network's shape, with the task's outputs."""
        config = AlbertConfig.from_file(self.model)
        config.set_task(TASKS[self.task_name].labels)
        return config


def write_spec(path: Path, contender: Contender, setting: Setting) -> None:
    """Write what :func:`read_spec` reads."""
    path.write_text(json.dumps({"contender": asdict(contender), "setting": asdict(setting)}))


def read_spec(path: Path) -> tuple[Contender, Setting]:
    """Return what a worker is to be."""
    values = json.loads(path.read_text())
    return Contender(**values["contender"]), Setting(**values["setting"])
