#!/usr/bin/env bash
# Install what the tests need and run them:
#
#     bash test/run_tests.sh [pytest arguments …]
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/test/setup.sh"
use_python requirements-test.txt
try_requirements tensorflow requirements-tensorflow.txt "the tests that need TensorFlow"
cd "$ROOT"
exec "$PYTHON" -m pytest --numprocesses logical --dist worksteal "$@"
