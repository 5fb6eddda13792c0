#!/usr/bin/env bash
# Check a machine with an NPU in one go, and write a report that can be sent to somebody:
#
#     bash test/check_npu.sh [--data_path=DIR]
#
# DIR holds SST-2/, for the two runs whose speed is published; everything else is made here. Each
# step says what its failure means. Flags are those of tools/check_npu.py.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/test/setup.sh"
use_npu_python
source_npu_environment
exec "$PYTHON" "$ROOT/tools/check_npu.py" "$@"
