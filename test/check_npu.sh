#!/usr/bin/env bash
# Check a machine with an NPU in one go, and write a report that can be sent to somebody:
#
#     bash test/check_npu.sh [--data_path=DIR]
#
# DIR holds SST-2/, for the two runs whose speed is published; everything else is made here. It takes an
# hour at most, and each step says what its failure means. Flags are those of tools/check_npu.py.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/test/setup.sh"
find_python
use_npu_python
. "$ROOT/test/env_npu.sh"
exec "$PYTHON" "$ROOT/tools/check_npu.py" "$@"
