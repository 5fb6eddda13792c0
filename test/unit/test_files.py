"""What is written is whole, what is left half done is found again, and a full disk is said in one way."""

import errno
import os

import pytest
import torch
from crashes import Kills, read_tree, write_tree
from safetensors import SafetensorError
from safetensors.torch import save_file

from model import weights_file
from model.files import DiskError, remove_temporary_files, write_whole, writing
from tools.cli.errors import error_line
from tools.launching.launcher import move_earlier_run
from tools.run.previous import finish_moving, is_half_moved

NO_SPACE = "no space is left on the disk of out: free some there, then start again"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "out/x"), NO_SPACE),
        (
            OSError(errno.EDQUOT, "Disk quota exceeded"),
            "the disk quota is used up in out: free some",
        ),
        (
            OSError(errno.EROFS, "Read-only file system"),
            "out is on a file system that can only be read",
        ),
        (
            OSError(errno.EFBIG, "File too large"),
            "a file in out got larger than this shell allows: ulimit",
        ),
        (SafetensorError("I/O error: No space left on device (os error 28)"), NO_SPACE),
    ],
)
def test_a_disk_is_said_in_one_way(error, words):
    with pytest.raises(DiskError) as found, writing("out"), writing("out"):
        raise error
    assert str(found.value).startswith(words)
    assert found.value.strerror is None  # So it is printed as it is.


def test_a_disk_is_named_by_the_file_that_it_is_about(tmp_path):
    out = tmp_path / "out"
    for file, named in (
        (out / "a" / "b", out),
        (tmp_path / "tmp" / "x", tmp_path / "tmp"),
        (tmp_path, out),
    ):
        with pytest.raises(DiskError, match=f"the disk of {named}: "), writing(out):
            raise OSError(errno.ENOSPC, "No space left on device", str(file))


def test_torch_hides_what_went_wrong_and_it_is_said_all_the_same():
    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            pass

    with pytest.raises(DiskError, match=NO_SPACE), writing("out"):
        torch.save({"x": torch.zeros(100_000)}, Full())


@pytest.mark.parametrize("error", [ValueError("28"), OSError(errno.ENOENT, "x"), RuntimeError("x")])
def test_other_errors_are_as_they_were(error):
    with pytest.raises(type(error)) as found, writing("out"):
        raise error
    assert found.value is error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (SafetensorError("Too many open files (os error 24)"), errno.EMFILE),
        (RuntimeError("unable to open file <x>: Too many open files (24)"), errno.EMFILE),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), errno.ENOMEM),
    ],
)
def test_a_machine_without_files_or_memory_is_no_damage(tmp_path, monkeypatch, error, number):
    def fail(_):
        raise error

    monkeypatch.setattr(weights_file, "load_file", fail)
    path = tmp_path / "model.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(OSError, match=os.strerror(number)) as found:
        weights_file.read_state(path)
    assert found.value.errno == number
    assert error_line(found.value).startswith(f"{path}: ")


def test_only_what_dead_processes_left_is_taken_away(tmp_path):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)  # Now nobody has its number.
    ours = [f".writing-{child}-metrics.jsonl", f".writing-{os.getpid()}-x", f".deleting-{child}-y"]
    for name in (
        *ours,
        f".writing-{os.getppid()}-x",
        ".writings",
        ".writing-mine",
        ".metrics.jsonl.17",
        "x",
    ):
        (tmp_path / name).write_text("")
    (tmp_path / f".deleting-{child}-checkpoint-3").mkdir()
    (tmp_path / f".deleting-{child}-checkpoint-3" / "config.json").write_text("")
    remove_temporary_files(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted(
        [f".writing-{os.getppid()}-x", ".writings", ".writing-mine", ".metrics.jsonl.17", "x"]
    )


def test_a_file_is_the_old_or_the_new_one_wherever_its_writer_is_killed(tmp_path):
    folder = tmp_path / "disk"
    write_tree(folder, {"file": b"old"})
    with Kills(folder).installed() as kills:
        write_whole(folder / "file", "new")
    assert kills.points > 5
    assert {tree["file"] for tree in kills.trees} == {b"old", b"new"}


def test_a_launcher_s_logs_stay_together_wherever_their_move_is_killed(tmp_path):
    folder = tmp_path / "disk"
    logs = {"train_0.log": b"a", "rank_0.log": b"b", "train_x_loss.txt": b"c"}
    write_tree(folder, logs)
    with Kills(folder).installed() as kills:
        move_earlier_run(folder)
    assert len(kills.trees) > 5
    for tree in (*kills.trees, read_tree(folder)):
        write_tree(folder, tree)
        move_earlier_run(folder)
        assert read_tree(folder / "previous" / "1") == logs
        assert [path.name for path in folder.iterdir()] == ["previous"]
        assert [path.name for path in (folder / "previous").iterdir()] == ["1"]


def test_a_later_run_does_not_mix_with_one_that_was_being_moved(tmp_path):
    write_tree(tmp_path / "out", {"previous": None, "previous/.moving": None,
                                  "previous/.moving/a": b"old", "a": b"new", "b": b"new"})  # fmt: skip
    out = tmp_path / "out"
    finish_moving(out, [out / "a", out / "b"])
    assert not is_half_moved(out)
    assert read_tree(out / "previous" / "1") == {"a": b"old"}
    assert (out / "b").read_bytes() == b"new"
