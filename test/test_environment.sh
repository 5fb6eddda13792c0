#!/usr/bin/env bash
# Sourced, not run, after setup.sh: the environment of the tests.
#
#   use_test_environment    sets $PYTHON to the Python of .venv-test, with what the tests need
#
# It is made of the Python that a launcher would take on a CPU. Where that has torch, .venv-test reads its
# packages (base.pth) behind its own, so that nothing of them is fetched twice, and never writes there. For
# another Python it is made anew.

use_test_environment() {
    local environment=$ROOT/.venv-test
    find_python
    check_version
    if [ "$PYTHON" != "$environment/bin/python" ]; then # It may be active.
        make_test_environment "$PYTHON" "$environment"
    fi
    export VIRTUAL_ENV=$environment PATH=$environment/bin:$PATH
    PYTHON=$environment/bin/python
    # shellcheck disable=SC2034 # use_python asks it.
    python_is_everyones=no
    use_python requirements-test.txt
}

make_test_environment() { # the Python that it is made of, its folder
    local made_of own
    made_of=$("$1" -c 'import sys; print(sys.executable, sys.version_info[:3])')
    has_packages "$1" || made_of+=" without packages"
    [ "$(cat "$2/made_of" 2>/dev/null)" != "$made_of" ] || return 0
    rm -rf "$2"
    case $made_of in
    *packages) make_venv "$1" "$2" ;;
    *)
        make_venv "$1" "$2" --without-pip # pip is among those packages.
        own=$("$2/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        "$1" -E -c 'import sys; print(*(p for p in sys.path if p.endswith("-packages")), sep="\n")' \
            >"$own/base.pth"
        ;;
    esac
    echo "$made_of" >"$2/made_of"
}

has_packages() { # python: whether it has pip, and a torch that will do
    PYTHON=$1
    has_module "$1" pip && ! missing_in "$ROOT/requirements.txt" | grep '^torch==' >/dev/null
}
