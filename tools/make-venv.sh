#!/bin/sh
# Makes .venv from a lock: tools/make-venv.sh PYTHON [LOCK]. Run by make, in the project's folder. The
# lock is requirements.lock, with the embedded servers and what development needs, unless another is
# named: requirements-runtime.lock is what the engine runs on.
#
# The lock is complete, so nothing is resolved (--no-deps), and what has no known hash is refused.
# Debian's python3 comes without pip and without the means to make it (ensurepip). Then pip is taken
# out of Debian's own signed package, beside .venv, and nothing on the system is changed.
set -eu

python=$1
lock=${2:-requirements.lock}

fail() {
    printf 'error: %s\n  remedy: %s\n' "$1" "$2"
    exit 1
}

# Leaves pip's wheel in the folder $1. Private package lists, if there are none on this machine.
fetch_debian_pip() {
    mkdir -p "$1/lists/partial" "$1/archives/partial"
    (
        cd "$1"
        apt-get -qq download python3-pip-whl 2>/dev/null || {
            own="-o Dir::State::Lists=$PWD/lists -o Dir::Cache=$PWD -o Debug::NoLocking=1"
            # shellcheck disable=SC2086
            apt-get -qq $own update && apt-get -qq $own download python3-pip-whl
        }
        dpkg-deb --extract python3-pip-whl_*.deb .
        mv usr/share/python-wheels/pip-*.whl .
    ) >/dev/null 2>&1
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Perennial needs Python 3.11 or newer as '$python'" \
        "install one, or name it: make PYTHON=/path/to/python3.11"

rm -rf .venv .venv-pip
if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv .venv
    pip=".venv/bin/python -m pip"
else
    "$python" -m venv --without-pip .venv
    if "$python" -m pip --version >/dev/null 2>&1; then
        pip="$python -m pip --python .venv/bin/python"
    elif fetch_debian_pip .venv-pip; then
        pip="$python $(echo .venv-pip/pip-*.whl)/pip --python .venv/bin/python"
    else
        rm -rf .venv .venv-pip
        fail "'$python' can't make a virtual environment: it has neither ensurepip nor pip" \
            "on Debian and Ubuntu, as root: apt-get install python3-venv"
    fi
fi

echo "installing the locked requirements into .venv (once)"
options="--quiet --disable-pip-version-check --no-input --no-deps"
# shellcheck disable=SC2086
$pip install $options --require-hashes -r "$lock"
# shellcheck disable=SC2086
$pip install $options --no-index --no-build-isolation -e .
rm -rf .venv-pip
