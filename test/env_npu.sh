#!/usr/bin/env bash
# The environment that CANN, torch_npu and HCCL want on an Ascend machine. Sourced by common.sh where there
# is an NPU; harmless elsewhere. What its user has set stays as it is. docs/npu.md says what reads what.
#
# HCCL_EXEC_TIMEOUT is not here: it follows --ddp_timeout (tools/machine/device.py).

# Where CANN may be: where its user says, where its installer wrote down that it is, where it is by default;
# for the machine first, then for the user alone. Before CANN 8.5 its script lay beside "latest", the
# folder that ASCEND_HOME_PATH names, and the folder was not named cann.
cann_folders() {
    local root=${ALBERT_TEST_ROOT-} base home=${HOME:-/nowhere}
    if [ -n "${ASCEND_HOME_PATH:-}" ]; then
        printf '%s\n' "$ASCEND_HOME_PATH" "$(dirname "$ASCEND_HOME_PATH")"
    fi
    {
        sed -n 's/^Install_Path=//p' "$root/etc/Ascend/ascend_cann_install.info" || true
        echo "$root/usr/local/Ascend"
        sed -n 's/^Install_Path=//p' "$home/Ascend/ascend_cann_install.info" || true
        echo "$home/Ascend"
    } 2>/dev/null | while IFS= read -r base; do
        printf '%s\n' "$base/cann" "$base/ascend-toolkit" "$base/nnae" "$base"
    done
}

# An image for containers, or its user, may have done it already.
cann_is_there() {
    [ -d "${ASCEND_HOME_PATH:-/dev/null}" ] &&
        [[ ":${LD_LIBRARY_PATH:-}" == *":$ASCEND_HOME_PATH/"* ]]
}

source_cann() {
    local folders folder words options=$-
    mapfile -t folders < <(cann_folders | awk '!seen[$0]++')
    for folder in "${folders[@]}"; do
        if [ -r "$folder/set_env.sh" ]; then
            set +eu # CANN's script reads variables that may not be set, and may end with a failed test.
            # shellcheck disable=SC1091
            . "$folder/set_env.sh"
            [[ $options != *u* ]] || set -u
            [[ $options != *e* ]] || set -e
            return
        fi
    done
    if compgen -G "${ALBERT_TEST_ROOT-}/dev/davinci[0-9]*" >/dev/null; then
        printf -v words '%s, ' "${folders[@]}"
        echo "warning: no CANN found (ASCEND_HOME_PATH is ${ASCEND_HOME_PATH:-not set}): looked for" \
            "set_env.sh in ${words%, }; source it if it is elsewhere" >&2
    fi
}

# Device logs at level error: at a lower level they cost a measurable part of a step. The driver lets only
# root and its own user set it; whoever asks for other logs keeps them.
quiet_device_logs() {
    local node
    if [ -z "${ASCEND_GLOBAL_LOG_LEVEL:-}" ] && command -v msnpureport >/dev/null 2>&1 &&
        { [ "$(id -u)" = 0 ] || [ "$(id -un)" = HwHiAiUser ]; }; then
        for node in "${ALBERT_TEST_ROOT-}"/dev/davinci[0-9]*; do
            [ -e "$node" ] || return 0
            timeout -k 1 5 msnpureport -g error -d "${node##*/davinci}" </dev/null >/dev/null 2>&1 ||
                return 0
        done
    fi
}

cann_is_there || source_cann
quiet_device_logs

# CANN's logs: not on the terminal, errors only, no events.
export ASCEND_SLOG_PRINT_TO_STDOUT=${ASCEND_SLOG_PRINT_TO_STDOUT-0}
export ASCEND_GLOBAL_LOG_LEVEL=${ASCEND_GLOBAL_LOG_LEVEL-3}
export ASCEND_GLOBAL_EVENT_ENABLE=${ASCEND_GLOBAL_EVENT_ENABLE-0}
# torch_npu hands operations to the device from a second thread, and their workspace with them.
export TASK_QUEUE_ENABLE=${TASK_QUEUE_ENABLE-2}
export COMBINED_ENABLE=${COMBINED_ENABLE-1}
# Batches of changing width leave no fragments behind. A newer torch_npu takes the settings in either of
# two variables and ends where both are set.
if [ -z "${PYTORCH_ALLOC_CONF+set}" ]; then
    export PYTORCH_NPU_ALLOC_CONF=${PYTORCH_NPU_ALLOC_CONF-expandable_segments:True}
fi
# One process keeps to the cores of its device. Not 2, which puts the main thread, and the threads that it
# starts, on a single core. Several processes have their share of the cores from --bind_cores already;
# torch_npu sees that and leaves it.
export CPU_AFFINITY_CONF=${CPU_AFFINITY_CONF-1}
export HCCL_WHITELIST_DISABLE=${HCCL_WHITELIST_DISABLE-1}
export HCCL_CONNECT_TIMEOUT=${HCCL_CONNECT_TIMEOUT-1800}
ulimit -SHn 512000 2>/dev/null || true
