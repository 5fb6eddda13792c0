"""The flags of transformers' run_glue.py (and run_classification.py), and what they are called here.

Each has the same meaning here, or says in one line what does its work. docs/command-line.md has them in a
table, with the defaults that differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from processors.custom import CUSTOM
from processors.glue import TASKS
from tools.cli.errors import UsageError
from tools.cli.other_names import Line, OtherNames, Rule

_HERE = "does nothing here"
_RENAMED = {
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "eval_batch_size",
    "warmup_ratio": "warmup_proportion",
    "validation_file": "dev_file",
    "label_column_name": "label_column",
    "max_train_samples": "max_train_examples",
    "label_smoothing_factor": "label_smoothing",
    "dataloader_num_workers": "workers",
}
_RENAMED_SWITCHES = {
    "dataloader_drop_last": "drop_last",
    "do_regression": "regression",
    "bf16_full_eval": "eval_bf16",
}
# Of some flags one value is what happens here anyway; the reason says what becomes of any other.
_ONLY = {
    "adam_beta1": ("0.9", "it is 0.9 in every --optimizer"),
    "adam_beta2": ("0.999", "it is 0.999 in every --optimizer"),
    "logging_strategy": (
        "steps",
        "--logging_steps N says when the loss is logged; metrics.jsonl has that of every step",
    ),
    "tf32": (
        "true",
        "a GPU computes fp32's matrix products in TF32; NVIDIA_TF32_OVERRIDE=0 in the environment "
        "turns that off",
    ),
    "save_safetensors": (
        "true",
        "--save_format albert_pytorch writes pytorch_model.bin, in albert_pytorch's names",
    ),
    "greater_is_better": ("true", "the first metric of each task is better when it is greater"),
}
_WITHOUT_EFFECT = {
    "use_fast_tokenizer": "both of transformers' tokenizers are to give the ids that there are here",
    "ignore_mismatched_sizes": "a classifier for other classes is replaced anyway",
    "trust_remote_code": "a model's own code is never run",
    "logging_first_step": "the first step is always logged",
    "logging_dir": "the records of a run are in --output_dir",
    "run_name": "a run is called as its --output_dir is",
    "hub_model_id": "nothing is uploaded",
    "disable_tqdm": "progress is shown in a terminal alone",
    "log_level": "the log says the same to all",
    "dataloader_pin_memory": "small data lie on the device",
    "remove_unused_columns": "only the columns of texts and labels are read",
    "skip_memory_metrics": "the memory is measured without a cost",
    "ddp_find_unused_parameters": "all parameters are used",
}
_SWITCHES_WITHOUT_EFFECT = {
    *("use_fast_tokenizer", "ignore_mismatched_sizes", "trust_remote_code", "logging_first_step"),
    *("disable_tqdm", "dataloader_pin_memory", "remove_unused_columns", "skip_memory_metrics"),
    "ddp_find_unused_parameters",
}
_TOKEN = "HF_TOKEN in the environment holds it, where no record of the run shows it"
_EVERY_EXAMPLE = "every example is scored: name a smaller file with --task_name custom --{}_file"
_SEVERAL = (
    "python -m tools.launch trains in several processes; --gradient_checkpointing saves memory"
)
_REFUSED = {
    "max_eval_samples": _EVERY_EXAMPLE.format("dev"),
    "max_predict_samples": _EVERY_EXAMPLE.format("test"),
    "dataset_name": "name files with --train_file, --dev_file and --test_file",
    "dataset_config_name": "name files with --train_file, --dev_file and --test_file",
    "text_column_delimiter": "--text_columns names one column, or the two of a pair",
    "metric_name": "a task's metrics are all computed, its first one chooses the best model",
    "token": _TOKEN,
    "hub_token": _TOKEN,
    "data_seed": "the order of the examples follows from --seed",
    "lr_scheduler_kwargs": "--lr_schedule names what there is",
    "optim_args": "--optimizer, --adam_epsilon and --weight_decay say what there is to say",
    "deepspeed": _SEVERAL,
    "fsdp": _SEVERAL,
}
_REFUSED_SWITCHES = {
    "push_to_hub": "hf upload OWNER/NAME OUTPUT_DIR does it when the model is trained",
    "use_auth_token": _TOKEN,
    "auto_find_batch_size": "--dry_run tells whether a --batch_size fits",
    "fp16_full_eval": "--eval_bf16 scores in bf16",
    "eval_on_start": "--do_eval alone scores a trained model",
}
_SCHEDULES = {
    "linear": ["--lr_schedule=linear"],
    "cosine": ["--lr_schedule=cosine"],
    # With its one half wave, which is its default there; the one of that name here has two.
    "cosine_with_restarts": ["--lr_schedule=cosine"],
    "constant_with_warmup": ["--lr_schedule=constant"],
    "constant": ["--lr_schedule=constant", "--warmup_proportion=0"],
}
# Those in 8 or 4 bits are others.
_ADAMW = re.compile(r"adamw(_hf|_apex_fused|_torch(_[a-z_]+)?)?")
_BACKENDS = {"auto": "auto", "cuda_amp": "native", "cpu_amp": "native", "amp": "native"}
_FIRST_METRIC = {"acc": "accuracy", "mcc": "matthews_correlation", "pearson": "pearson"}
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
# Their defaults, where ours differ in what is learned.
_DEFAULTS = {
    "--optimizer adamw": ("--optim", "--optimizer"),
    "--warmup_proportion 0": ("--warmup_ratio", "--warmup_steps", "--warmup_proportion"),
    "--adam_epsilon 1e-8": ("--adam_epsilon",),
}
_DEFAULT_WITH_EVALUATION = {"--keep last": ("--load_best_model_at_end", "--keep")}


def _rename(ours: str, value: str, line: Line) -> list[str]:
    return [f"--{ours}={value}"]


def _refuse(flag: str, reason: str, value: str, line: Line) -> list[str]:
    shown = f" {value}" if value and "token" not in flag else ""
    raise UsageError(f"--{flag}{shown} is not taken here: {reason}")


def _refuse_if_on(flag: str, reason: str, value: str, line: Line) -> list[str]:
    return [] if value == "false" else _refuse(flag, reason, "", line)


def _only(flag: str, known: str, reason: str, value: str, line: Line) -> list[str]:
    return [] if value == known else _refuse(flag, reason, value, line)


def _without_effect(flag: str, reason: str, value: str, line: Line) -> list[str]:
    line.remarks.append(f"--{flag} {_HERE}: {reason}")
    return []


def _warmup_steps(value: str, line: Line) -> list[str]:
    """In later releases of transformers a number below 1 is a share of the steps."""
    try:
        if 0 <= float(value) < 1:
            return [f"--warmup_proportion={value}"]
    except ValueError:
        pass
    return _refuse("warmup_steps", "--warmup_proportion X is their share of all steps", value, line)


def _lr_scheduler_type(value: str, line: Line) -> list[str]:
    if value not in _SCHEDULES:
        known = ", ".join(_SCHEDULES)
        _refuse("lr_scheduler_type", f"--lr_schedule has what these are: {known}", value, line)
    return _SCHEDULES[value]


def _optim(value: str, line: Line) -> list[str]:
    if value != "lamb" and not _ADAMW.fullmatch(value):
        reason = "--optimizer has other rules under some of the same names, and adamw (see --help)"
        _refuse("optim", reason, value, line)
    return [f"--optimizer={'lamb' if value == 'lamb' else 'adamw'}"]


def _backend(flag: str, value: str, line: Line) -> list[str]:
    if value != "apex" and value not in _BACKENDS:
        _refuse(flag, "--amp_backend is auto, apex or native", value, line)
    # Without mixed precision it says nothing there, and is refused here.
    mixed = line.said.get("--fp16") == "true"
    return [f"--amp_backend={_BACKENDS.get(value, value)}"] if mixed else []


def _eval_strategy(flag: str, value: str, line: Line) -> list[str]:
    """Evaluate never before the end, after each epoch or every so many steps, as --eval_steps has it."""
    if value == "no":
        never = [f"--eval_steps={2**31}"] if line.said.get("--do_eval") == "true" else []
        return line.at_end(never)
    if value == "epoch":
        return line.at_end(["--do_eval", "--eval_steps=0"])
    if value == "steps":
        # Without a number of its own it is done as often as the loss is logged, every 500 steps there.
        steps = line.said.get("--eval_steps") or line.said.get("--logging_steps", "500")
        return line.at_end(["--do_eval", f"--eval_steps={steps}"])
    return _refuse(flag, "its values are no, steps and epoch", value, line)


def _save_strategy(value: str, line: Line) -> list[str]:
    if value == "steps":
        return [] if "--save_steps" in line.said else ["--save_steps=500"]
    if value in ("no", "epoch"):
        return line.at_end(["--save_steps=0", *(["--save_epochs"] if value == "epoch" else [])])
    return _refuse("save_strategy", "--keep best keeps the best model", value, line)


def _load_best(value: str, line: Line) -> list[str]:
    return [f"--keep={'last' if value == 'false' else 'best'}"]


def _metric_for_best_model(value: str, line: Line) -> list[str]:
    name = line.said.get("--task_name", CUSTOM).lower()
    task = TASKS.get(OTHER_TASK_NAMES.get(name, name))
    first = task.metrics[0] if task else "pearson" if "--regression" in line.said else "acc"
    if value.removeprefix("eval_") in (first, _FIRST_METRIC[first]):
        return []
    reason = f"the best model is that of the task's first metric, {first}"
    return _refuse("metric_for_best_model", reason, value, line)


def _resume_from_checkpoint(value: str, line: Line) -> list[str]:
    if value.lower() in ("true", "false", "none"):
        return ["--resume"] if value.lower() == "true" else []
    checkpoint, folder = Path(value), line.said.get("--output_dir")
    number = _CHECKPOINT.fullmatch(checkpoint.name)
    if folder and number and checkpoint.resolve().parent == Path(folder).resolve():
        found = (_CHECKPOINT.fullmatch(entry.name) for entry in checkpoint.parent.glob("*"))
        if checkpoint.is_dir() and all(int(n[1]) <= int(number[1]) for n in found if n):
            return ["--resume"]
    reason = (
        "--resume goes on from the last checkpoint in --output_dir: name that folder, and move later "
        "checkpoints away"
    )
    return _refuse("resume_from_checkpoint", reason, value, line)


def _text_column_names(flag: str, value: str, line: Line) -> list[str]:
    if "," in value:
        _refuse(
            flag, "--text_columns A,B makes pairs of two columns, and none joins them", value, line
        )
    return [f"--text_columns={value}"]


def _pad(value: str, line: Line) -> list[str]:
    return [f"--padding={'longest' if value == 'false' else 'max_length'}"]


def _group_by_length(value: str, line: Line) -> list[str]:
    return [] if value == "false" else ["--padding=bucket"]


def _use_cpu(value: str, line: Line) -> list[str]:
    return [] if value == "false" else ["--device=cpu"]


def _complete(line: Line) -> list[str]:
    """Say what run_glue.py leaves unsaid: files without a task's name are of a task of one's own."""
    said = _SCHEDULES.get(line.said.get("--lr_scheduler_type", ""), [])
    said = [word.replace("=", " ") for word in said]
    evaluates = line.said.get("--do_eval") == "true" or "--do_eval" in line.last
    defaults = _DEFAULTS | (_DEFAULT_WITH_EVALUATION if evaluates else {})
    others = [
        default
        for default, names in defaults.items()
        if not (any(name in line.said for name in names) or (default in said))
    ]
    if others and line.said.get("--do_train") == "true":
        line.remarks.append(
            f"run_glue.py's defaults are others than these where no flag speaks: {', '.join(others)}"
        )
    files = ("--train_file", "--validation_file", "--test_file")
    has_files = any(name in line.said for name in files)
    return [f"--task_name={CUSTOM}"] if has_files and "--task_name" not in line.said else []


# transformers' names of GLUE's tasks, where ours differ.
OTHER_TASK_NAMES: Mapping[str, str] = {"sst2": "sst-2", "stsb": "sts-b"}

_RULES: dict[str, Rule] = {
    **{name: partial(_rename, ours) for name, ours in {**_RENAMED, **_RENAMED_SWITCHES}.items()},
    **{name: partial(_only, name, *rest) for name, rest in _ONLY.items()},
    **{name: partial(_without_effect, name, reason) for name, reason in _WITHOUT_EFFECT.items()},
    **{name: partial(_refuse, name, reason) for name, reason in _REFUSED.items()},
    **{name: partial(_refuse_if_on, name, reason) for name, reason in _REFUSED_SWITCHES.items()},
    **{name: partial(_eval_strategy, name) for name in ("eval_strategy", "evaluation_strategy")},
    **{name: partial(_backend, name) for name in ("fp16_backend", "half_precision_backend")},
    **{
        name: partial(_text_column_names, name)
        for name in ("text_column_names", "text_column_name")
    },
    "warmup_steps": _warmup_steps,
    "lr_scheduler_type": _lr_scheduler_type,
    "optim": _optim,
    "save_strategy": _save_strategy,
    "load_best_model_at_end": _load_best,
    "metric_for_best_model": _metric_for_best_model,
    "resume_from_checkpoint": _resume_from_checkpoint,
    "pad_to_max_length": _pad,
    "group_by_length": _group_by_length,
    "use_cpu": _use_cpu,
}
RUN_GLUE = OtherNames(
    {f"--{name}": rule for name, rule in _RULES.items()},
    {
        f"--{name}"
        for name in (
            *_RENAMED_SWITCHES,
            *_SWITCHES_WITHOUT_EFFECT,
            *_REFUSED_SWITCHES,
            *("tf32", "save_safetensors", "greater_is_better", "load_best_model_at_end"),
            *("pad_to_max_length", "group_by_length", "use_cpu"),
        )
    },
    _complete,
)
