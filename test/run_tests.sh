#!/usr/bin/env bash
# Install what the tests need and run them:
#
#     bash test/run_tests.sh [pytest arguments …]
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/test/setup.sh"
use_python requirements-test.txt
cd "$ROOT"
exec "$PYTHON" -m pytest "$@"
