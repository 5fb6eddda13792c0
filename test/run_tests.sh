#!/usr/bin/env bash
# Install what the tests need and run them:
#
#     bash test/run_tests.sh [--oldest] [pytest arguments …]
#
# What they need beside requirements.txt (pytest, transformers, TensorFlow …) goes into an environment of
# their own, .venv-test (test/test_environment.sh), and not into the one that is active.
#
# With --oldest they run in .venv-oldest: on Python 3.10, with the oldest versions that
# will do (constraints-oldest.txt). The first time that is a download of 2 GB where pip finds no CPU build
# of so old a torch. What is not for that torch is skipped, and the tests that need TensorFlow or
# pyarrow are.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/test/setup.sh"
. "$ROOT/test/test_environment.sh"

use_oldest() {
    local found environment=$ROOT/.venv-oldest
    PYTHON=$environment/bin/python
    if [ ! -x "$PYTHON" ]; then
        found=$(find_python_3_10) || fail 1 "--oldest needs Python 3.10, and there is no python3.10 on the" \
            "PATH or in ~/.pyenv/versions/3.10*/bin"
        make_venv "$found" "$environment"
    fi
    if ! "$PYTHON" -m pip show --quiet torch 2>/dev/null; then
        echo "installing the oldest versions that will do (some minutes)"
        install_torch "$(grep '^torch==' "$ROOT/constraints-oldest.txt")"
    fi
    pip_install -r "$ROOT/requirements.txt" -r "$ROOT/requirements-test.txt" -c "$ROOT/constraints-oldest.txt" ||
        fail 1 "pip could not install what constraints-oldest.txt names: $PIP_REASON"
}

find_python_3_10() {
    local python
    for python in python3.10 "$HOME"/.pyenv/versions/3.10*/bin/python3.10; do
        # pyenv puts a python3.10 on the PATH that may only say that there is none.
        "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null || continue
        echo "$python"
        return
    done
    return 1
}

if [ "${1:-}" = --oldest ]; then
    shift
    use_oldest
else
    use_test_environment
    try_requirements tensorflow requirements-tensorflow.txt "the tests that need TensorFlow"
    try_requirements triton requirements-triton.txt "the tests that need Triton"
    try_requirements matplotlib requirements-optional.txt "the tests that need pyarrow or matplotlib"
fi
cd "$ROOT"
exec "$PYTHON" -m pytest --numprocesses logical --dist worksteal "$@"
