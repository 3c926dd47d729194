# Sourced by the tests here: words, and an end that leaves nothing behind.
#
# A test says what it saw (`say`), ends with 0 when all of it is as it should be, with 1 when
# something is not (`fail`), and with 77 when its engine cannot be had here (`skip`).
# shellcheck shell=bash
set -euo pipefail

# shellcheck disable=SC2034 # for the tests
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly SKIPPED=77
test_name=$(basename "$0" .sh)

say() { printf '%s: %s\n' "$test_name" "$*"; }

skip() {
    printf '%s: SKIPPED: %s\n' "$test_name" "$*"
    exit "$SKIPPED"
}

fail() {
    printf '%s: FAILED: %s\n' "$test_name" "$*" >&2
    exit 1
}

# need TOOL…: what the test itself works with.
need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip "needs $tool"
    done
}

# Commands given to `at_exit` run when the test ends, however it ends, the last one first.
cleanups=()
at_exit() { cleanups=("$*" "${cleanups[@]}"); }
run_cleanups() {
    local code=$? command
    trap - EXIT
    for command in "${cleanups[@]}"; do
        eval "$command" >/dev/null 2>&1 || true
    done
    exit "$code"
}
trap run_cleanups EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# until SECONDS COMMAND…: whether the command succeeds before the time is over.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || return 1
        sleep 0.3
    done
}
