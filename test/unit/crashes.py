"""Disks that fail: layers between the program and its files, in this process, for a run's whole length.

A layer is told of every operation on the files below a folder before it is done and after it: each opening
for writing, first write, rename, deletion, new folder and sync. What a killed process or a power cut would
leave at that point is a tree: each path below the folder with its bytes, None for a folder.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pathlib
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

import model.checkpoint

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def read_tree(folder):
    """Return what is in ``folder``."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def write_tree(folder, tree):
    """Make ``folder`` hold a tree and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in sorted(tree.items()):
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)


class FileLayer:
    """Passes every operation on; a layer that does more takes over :meth:`before` and :meth:`after`."""

    def __init__(self, folder):
        self.folder = folder

    def before(self, kind, path):
        """Is called before ``kind`` is done to ``path``."""

    def after(self, kind, path, target=None):
        """Is called after it; ``target`` is the new path of a renamed one."""

    @contextmanager
    def installed(self):
        """Have this process's file operations go through the layer for the block."""
        with pytest.MonkeyPatch.context() as patch:
            replaced = {
                "open": self._opening(io.open),
                "rename": self._renaming(os.rename),
                "replace": self._renaming(os.replace),
                "mkdir": self._simple("mkdir", os.mkdir),
                "rmdir": self._simple("rmdir", os.rmdir),
                "unlink": self._simple("unlink", os.unlink),
            }
            for name, function in replaced.items():
                if name == "open":
                    patch.setattr(io, "open", function)
                    patch.setattr(builtins, "open", function)
                else:
                    patch.setattr(os, name, function)
                if hasattr(pathlib, "_NormalAccessor"):  # Python 3.10 has its own references.
                    patch.setattr(pathlib._NormalAccessor, name, staticmethod(function))
            patch.setattr(os, "remove", replaced["unlink"])
            patch.setattr(os, "fsync", self._syncing(os.fsync))
            # These libraries write without Python.
            patch.setattr(model.checkpoint, "save_file", self._saving(model.checkpoint.save_file))
            yield self

    def _is_inside(self, path):
        return self.folder in Path(path).parents

    def _simple(self, kind, function):
        def call(path, *others, dir_fd=None, **options):
            full = Path(path) if dir_fd is None else _path_of(dir_fd) / path
            options |= {} if dir_fd is None else {"dir_fd": dir_fd}
            if not self._is_inside(full):
                return function(path, *others, **options)
            self.before(kind, full)
            result = function(path, *others, **options)
            self.after(kind, full)
            return result

        return call

    def _renaming(self, function):
        def call(source, target, **options):
            if not self._is_inside(source):
                return function(source, target, **options)
            self.before("rename", Path(source))
            function(source, target, **options)
            return self.after("rename", Path(source), Path(target))

        return call

    def _syncing(self, function):
        def call(descriptor):
            path = _path_of(descriptor)
            if path != self.folder and not self._is_inside(path):
                return function(descriptor)
            self.before("sync", path)  # Nobody waits for the real disk.
            return self.after("sync", path)

        return call

    def _saving(self, function):
        def call(tensors, path, **options):
            self.before("open", path)
            function(tensors, path, **options)
            self.after("open", path)
            self.before("write", path)

        return call

    def _opening(self, function):
        def call(file, mode="r", *others, **options):
            reads = not set(mode) & set("wax+")
            if isinstance(file, int) or reads or not self._is_inside(os.fspath(file)):
                return function(file, mode, *others, **options)
            path = Path(file)
            self.before("open", path)
            raw = _Raw(self, path, mode)
            self.after("open", path)
            buffer = io.BufferedWriter(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding="utf-8")

        return call


class _Raw(io.FileIO):
    """A file that tells a layer when it is first written to, and when half of that is done."""

    def __init__(self, layer, path, mode):
        super().__init__(path, mode.replace("b", "").replace("t", ""))
        self._layer, self._path, self._written = layer, path, False

    def write(self, data):
        half = 0
        if not self._written:
            self._written = True
            self._layer.before("write", self._path)
            half = super().write(bytes(data[: len(data) // 2]))
            self._layer.before("half", self._path)
        else:
            self._layer.before("more", self._path)
        return half + super().write(bytes(data[half:]))


def _path_of(descriptor):
    return Path(f"/proc/self/fd/{descriptor}").readlink()


class Kills(FileLayer):
    """Collects what a kill before each operation would leave.

    Attributes:
        points: how many operations there were.
        trees: what is left, each but once, in the order of the operations.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.points, self.trees = 0, []
        self._blobs = {}

    def before(self, kind, path):
        if kind == "more":
            return
        self.points += 1
        tree = read_tree(self.folder)
        # Equal files of many trees are kept in memory once.
        tree = {name: self._blobs.setdefault(content, content) for name, content in tree.items()}
        if not self.trees or tree != self.trees[-1]:
            self.trees.append(tree)


class FullDisk(FileLayer):
    """Has no space left from the ``after``-th operation that needs some on.

    Attributes:
        asked: how many there were.
    """

    def __init__(self, folder, after, number=errno.ENOSPC):
        super().__init__(folder)
        self._after, self._number, self.asked = after, number, 0

    def before(self, kind, path):
        if kind in ("open", "write", "half", "more", "mkdir"):
            self.asked += 1
            if self.asked > self._after:
                raise OSError(self._number, os.strerror(self._number), str(path))


class PowerCuts(FileLayer):
    """Collects what a power cut before each operation may leave on a disk with a journal.

    Content that was not synced is lost: a file is as long as when it was synced, or, where more was
    appended since, full of NULs from there. Which names a folder holds is as when it was synced; what was
    done to it since may be lost, kept, or its first half kept. A rename between two folders is one step.

    Attributes:
        trees: what is left, each but once.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.trees, self._seen, self._last = [], set(), 0
        # A file or folder goes by a number of its own: the system gives those of deleted ones to others.
        self._numbers = {}
        # The synced content of files, and the synced names of folders.
        self._content, self._names = {}, {}
        self._pending = []
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                self._names[self._new_number(path)] = {}
            else:
                self._content[self._new_number(path)] = path.read_bytes()
        for path in folder.rglob("*"):
            self._names[self._number(path.parent)][path.name] = self._number(path)

    def _new_number(self, path):
        number = self._numbers[path.stat().st_ino] = self._last = self._last + 1
        return number

    def _number(self, path):
        return self._numbers[path.stat().st_ino]

    def before(self, kind, path):
        if kind == "open":
            self._existed = path.exists()
        elif kind == "rename":
            self._moved = self._number(path)
        if kind not in ("half", "more"):
            self.cut()

    def after(self, kind, path, target=None):
        folder = None if kind == "sync" else self._number(path.parent)
        if kind == "sync":
            number = self._number(path)
            if path.is_dir():
                self._sync_folder(number)
            else:
                self._content[number] = path.read_bytes()
        elif kind == "open":
            if not self._existed:
                self._pending.append([(folder, path.name, self._new_number(path))])
            if not self._existed or not path.stat().st_size:
                self._content[self._number(path)] = b""
        elif kind == "mkdir":
            number = self._new_number(path)
            self._names[number] = {}
            self._pending.append([(folder, path.name, number)])
        elif kind in ("unlink", "rmdir"):
            self._pending.append([(folder, path.name, None)])
        elif kind == "rename":
            new = (self._number(target.parent), target.name, self._moved)
            self._pending.append([(folder, path.name, None), new])

    def cut(self):
        """Collect what a power cut now may leave."""
        halves = self._pending[: len(self._pending) // 2]
        for steps, nuls in (([], False), (halves, False), (self._pending, True)):
            names = {number: dict(entries) for number, entries in self._names.items()}
            for changes in steps:
                _change(names, changes)
            tree = {}
            self._build(names, self._number(self.folder), "", tree, nuls)
            mark = hash(tuple(sorted((k, v or b"") for k, v in tree.items())))
            if mark not in self._seen:
                self._seen.add(mark)
                self.trees.append(tree)

    def _sync_folder(self, number):
        """Have what was done to a folder last, and before it what was done to others with it."""
        needed, chosen, others = {number}, [], []
        for changes in reversed(self._pending):
            folders = {folder for folder, *_ in changes}
            if needed & folders:
                needed |= folders
            (chosen if needed & folders else others).append(changes)
        for changes in reversed(chosen):
            _change(self._names, changes)
        self._pending = others[::-1]

    def _build(self, names, number, prefix, tree, nuls):
        for name, inner in names[number].items():
            path = f"{prefix}{name}"
            if inner in names:
                tree[path] = None
                self._build(names, inner, f"{path}/", tree, nuls)
            else:
                tree[path] = self._content[inner]
                live = self.folder / path
                if nuls and live.is_file() and self._number(live) == inner:
                    tree[path] = tree[path].ljust(live.stat().st_size, b"\0")


def _change(names, changes):
    for folder, name, number in changes:
        if number is None:
            names[folder].pop(name, None)
        else:
            names[folder][name] = number
