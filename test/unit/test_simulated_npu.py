"""The simulated NPU, from within (npu_checks.py), and under the real program and its launchers."""

import ast
import json
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import ROOT, SMALL, command, launch, write_sst2
from safetensors.torch import load_file
from simulated_npu import ASCEND_910A, install, install_sources, recorded_calls
from torch_npu_wheel import find_wheel

CHECKS = Path(__file__).parent / "npu_checks.py"
NAMES = [
    node.name
    for node in ast.parse(CHECKS.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]
NATIVE = ("--amp_backend", "native")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")


@pytest.fixture(
    scope="module",
    params=[
        *("double", "sources"),
        pytest.param("910A", marks=pytest.mark.long),
    ],
)
def checks(request, tmp_path_factory):
    """Run the checks on the double, on that of an Ascend 910A, and on torch_npu's own files."""
    folder = tmp_path_factory.mktemp("npu") / "packages"
    words = (sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", CHECKS)
    if request.param == "sources":
        environment = install_sources(folder, None, find_wheel())
    else:
        environment = install(folder, lacks=ASCEND_910A if request.param == "910A" else ())
    return command(*words, cwd=ROOT, **environment).stdout


@pytest.mark.parametrize("name", NAMES)
def test_from_within(checks, name):
    results = re.findall(rf"^(\w+) \S*::{name}(?:\[.*\])?(?: - .*)?$", checks, re.MULTILINE)
    assert set(results) == {"PASSED"}, checks


@pytest.fixture(scope="module")
def train(tmp_path_factory, pretrained):
    """Call run_classifier.py on the small model without dropout; all calls share a folder."""
    folder = tmp_path_factory.mktemp("train")
    write_sst2(folder / "SST-2", train=80)
    shutil.copytree(pretrained, folder / "model")
    config = json.loads((folder / "model" / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "classifier_dropout_prob": 0.0}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    environment = install(folder / "packages")

    def call(device, output, *flags, processes=1):
        result = command(
            sys.executable, *((*TORCHRUN, processes) if processes > 1 else ()),
            ROOT / "run_classifier.py", "--data_dir", "SST-2", "--model_name_or_path", "model",
            "--max_seq_length", 32, "--do_train", "--do_eval", "--max_steps", 4, "--learning_rate", "1e-2",
            "--gradient_accumulation_steps", 2, "--save_steps", 2, "--batch_size", 8 // processes,
            "--device", device, "--output_dir", output, *flags, cwd=folder, **environment,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        return result.stdout, load_file(folder / output / "model.safetensors")

    call.folder = folder
    return call


@pytest.fixture(scope="module")
def on_the_cpu(train):
    return train("cpu", "cpu")


def accuracies(output):
    return re.findall(r"^  acc = (.*)$", output, re.MULTILINE)


def assert_close(ours, theirs, tolerance=1e-5):
    for key, value in theirs.items():
        assert (ours[key] - value).abs().max() <= tolerance, key


def test_the_program_learns_on_an_npu_what_it_learns_on_the_cpu(train, on_the_cpu):
    output, weights = train("npu", "one", "--device_id", 1)
    assert "device: npu:1 (Simulated Ascend)" in output
    assert_close(weights, on_the_cpu[1])
    assert accuracies(output) == accuracies(on_the_cpu[0])
    calls = recorded_calls(train.folder / "packages")
    assert {"set_device(1)", "set_compile_mode(jit_compile=False)"} <= set(calls)

    shutil.rmtree(train.folder / "one" / "checkpoint-4")
    output, resumed = train("npu", "one", "--resume", "--device_id", 1)
    assert "done = 2" in output
    assert_close(resumed, weights, 0)


def test_two_processes_learn_on_two_npus_what_one_learns_on_the_cpu(train, on_the_cpu):
    output, weights = train("npu", "two", processes=2)
    assert_close(weights, on_the_cpu[1])
    assert accuracies(output) == accuracies(on_the_cpu[0])
    calls = recorded_calls(train.folder / "packages")
    assert {"set_device(0)", "set_device(1)"} <= set(calls)


@pytest.mark.parametrize(
    ("flags", "words", "tolerance"),
    [
        (("--fp16", "--fp16_opt_level", "O1"), "apex AMP at level O1, loss scale dynamic", 2e-2),
        (("--fp16", "--fp16_opt_level", "O2"), "apex AMP at level O2, loss scale dynamic", 2e-2),
        (("--fp16", "--fp16_opt_level", "O2", *NATIVE), "fp32 master copies (O2, torch's", 2e-2),
        # LAMB's usual epsilon is nothing beside fp16's smallest numbers.
        pytest.param(
            ("--fp16", "--fp16_opt_level", "O3", *NATIVE, "--adam_epsilon", "1e-3"),
            "fp16 throughout (O3, torch's own)",
            0.5,
            marks=pytest.mark.long,
        ),
        (("--bf16",), "bf16 autocast", 5e-2),
    ],
)
def test_every_precision_trains_and_resumes(train, on_the_cpu, flags, words, tolerance):
    name = "run" + "".join(flags)
    output, weights = train("npu", name, *flags)
    assert f"precision = {words}" in output.replace("fp16 weights with ", "")
    assert_close(weights, on_the_cpu[1], tolerance)
    assert any((weights[key] - value).abs().max() > 1e-6 for key, value in on_the_cpu[1].items())
    if "--fp16" in flags:
        assert "scale: 65536  skipped: 0" in output
    shutil.rmtree(train.folder / name / "checkpoint-4")
    output, resumed = train("npu", name, *flags, "--resume")
    assert "done = 2" in output
    assert_close(resumed, weights, 0)


def test_two_processes_train_at_o2_with_apex(train, on_the_cpu):
    output, weights = train("npu", "two O2", "--fp16", "--fp16_opt_level", "O2", processes=2)
    assert "apex AMP at level O2" in output
    assert_close(weights, on_the_cpu[1], 2e-2)


@pytest.mark.parametrize(("name", "nproc"), [("train_full_1p.sh", 1), ("train_full_8p.sh", 2)])
def test_a_launcher_trains_on_an_npu(clone, tmp_path, name, nproc):
    flags = ("--device=npu", f"--nproc={nproc}", *SMALL[1:])
    environment = install(tmp_path / "packages")
    result = launch(clone, name, *flags, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "device: npu:0 (Simulated Ascend)" in result.stdout
    assert "apex AMP at level O2, loss scale dynamic" in result.stdout
    assert "Final Train Accuracy" in result.stdout


def test_more_processes_than_npus_are_one_clear_line(clone, tmp_path):
    environment = install(tmp_path / "packages")
    result = launch(clone, "train_full_8p.sh", "--device=npu", **environment)
    assert result.returncode == 2
    (line,) = (line for line in result.stdout.splitlines() if "error" in line)
    assert "8 processes want a device each, but this machine has 2 of type npu" in line
    assert "--nproc=2" in line


COLLECTIVE = """
import os, sys, time
from datetime import timedelta
import torch, torch_npu
import torch.distributed as dist
rank, how = int(sys.argv[1]), sys.argv[2]
torch.npu.set_device(rank)
seconds = 2 if how == "late" else 60
dist.init_process_group("hccl", init_method=f"file://{os.getcwd()}/store", rank=rank, world_size=2,
                        timeout=timedelta(seconds=seconds))
x = torch.full((2,), float(rank), device=f"npu:{rank}")
dist.broadcast(x, 1)
parts = [torch.zeros_like(x) for _ in range(2)]
dist.all_gather(parts, x + rank)
whole = torch.zeros(4, device=x.device)
dist.all_gather_into_tensor(whole, x + rank)
dist.barrier()
assert (x.tolist(), [p.tolist() for p in parts]) == ([1, 1], [[1, 1], [2, 2]]), (x, parts)
assert whole.tolist() == [1, 1, 2, 2]
for wrong in ("cpu", f"npu:{1 - rank}"):
    try:
        dist.all_reduce(torch.ones(1, device=wrong))
        sys.exit(f"all_reduce took a tensor on {wrong}")
    except RuntimeError:
        pass
if rank == 1:
    time.sleep(4 if how == "late" else 0)
    os._exit(0)
began = time.monotonic()
try:
    dist.all_reduce(x)
except RuntimeError:
    print(f"raised after {time.monotonic() - began:.1f} s", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("how", ["late", "gone"])
def test_collectives_and_a_peer_that_does_not_answer(tmp_path, how):
    (tmp_path / "collective.py").write_text(COLLECTIVE)
    environment = install(tmp_path / "packages")
    script = f'"{sys.executable}" collective.py 1 {how} & "{sys.executable}" collective.py 0 {how}'
    began = time.monotonic()
    result = command("bash", "-c", f"{script}; s=$?; wait; exit $s", cwd=tmp_path, **environment)
    assert result.returncode == 0, result.stderr
    raised = re.search(r"raised after (.*) s", result.stdout)
    assert raised, result.stdout + result.stderr
    assert float(raised[1]) < 5
    assert time.monotonic() - began < 30


PRECISIONS = """
import os, sys
import torch, torch_npu
import torch.distributed as dist
from apex import amp
from torch import nn
rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
torch.npu.set_device(rank)
if world > 1:
    dist.init_process_group("hccl")
found = {}
for level in ("O2", "O3", "O1"):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).to(f"npu:{rank}")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    joins = {} if level == "O3" else {"combine_grad": True}
    model, optimizer = amp.initialize(model, optimizer, opt_level=level, loss_scale=128.0, **joins)
    network = nn.parallel.DistributedDataParallel(model) if world > 1 else model
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    inputs = inputs.chunk(world)[rank].to(f"npu:{rank}")
    for _ in range(3):
        loss = network(inputs).float().pow(2).mean()
        with amp.scale_loss(loss, optimizer) as scaled:
            scaled.backward()
        optimizer.step()
        optimizer.zero_grad()
    found[level] = nn.utils.parameters_to_vector(model.parameters()).float().cpu()
torch.save(found, f"{sys.argv[1]}-{rank}.pt")
if world > 1:
    dist.destroy_process_group()
"""


def test_two_processes_learn_what_one_does_at_each_apex_level(tmp_path):
    (tmp_path / "precisions.py").write_text(PRECISIONS)
    environment = install(tmp_path / "packages")
    for words in (("precisions.py", "one"), (*TORCHRUN, 2, "precisions.py", "two")):
        result = command(sys.executable, *words, cwd=tmp_path, **environment)
        assert result.returncode == 0, result.stderr
    one, *two = (torch.load(tmp_path / f"{name}.pt") for name in ("one-0", "two-0", "two-1"))
    for level, tolerance in {"O1": 1e-3, "O2": 1e-3, "O3": 2e-3}.items():
        assert torch.equal(two[0][level], two[1][level])
        torch.testing.assert_close(two[0][level], one[level], atol=tolerance, rtol=0)
