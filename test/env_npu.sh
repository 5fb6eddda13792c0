#!/usr/bin/env bash
# The environment that CANN and HCCL want on an Ascend machine. Sourced by common.sh where there is an
# NPU; harmless elsewhere.

source_cann() {
    local install_info=/etc/Ascend/ascend_cann_install.info cann_path=/usr/local/Ascend set_env
    if [ -r "$install_info" ]; then
        cann_path=$(sed -n 's/^Install_Path=//p' "$install_info" | head -n 1)
    fi
    for set_env in "$cann_path/ascend-toolkit/set_env.sh" "$cann_path/nnae/set_env.sh"; do
        if [ -r "$set_env" ]; then
            set +u # CANN's script reads variables that may not be set
            # shellcheck disable=SC1090
            . "$set_env"
            set -u
            return
        fi
    done
}

# Device logs at level error: at the default level they cost a measurable part of a step.
quiet_device_logs() {
    local node
    if command -v msnpureport >/dev/null 2>&1; then
        for node in /dev/davinci[0-9]*; do
            msnpureport -g error -d "${node#/dev/davinci}" >/dev/null 2>&1 || true
        done
    fi
}

source_cann
quiet_device_logs

export ASCEND_SLOG_PRINT_TO_STDOUT=0
export ASCEND_GLOBAL_LOG_LEVEL=3
export ASCEND_GLOBAL_EVENT_ENABLE=0
export TASK_QUEUE_ENABLE=1
export PTCOPY_ENABLE=1
export COMBINED_ENABLE=1
export TRI_COMBINED_ENABLE=1
export DYNAMIC_OP="ADD#MUL"
export HCCL_WHITELIST_DISABLE=1
export HCCL_CONNECT_TIMEOUT=1800
ulimit -SHn 512000 2>/dev/null || true
