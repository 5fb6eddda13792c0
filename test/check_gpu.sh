#!/usr/bin/env bash
# Check a machine with an NVIDIA GPU in one go, and write a page of what it measures:
#
#     bash test/check_gpu.sh [--data_path=DIR]
#
# DIR holds SST-2/. It takes less than 8 minutes; flags are those of tools/check_gpu.py.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/test/setup.sh"
# shellcheck disable=SC2119 # no other requirements than its own
use_python
exec "$PYTHON" "$ROOT/tools/check_gpu.py" "$@"
