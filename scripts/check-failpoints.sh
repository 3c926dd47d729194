#!/usr/bin/env bash
# Proves that a default build has no failpoints: the variable that sets one is not in the binary.
# The binary that the tests run has it, or the search would prove nothing.
# usage: scripts/check-failpoints.sh [--release]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=debug
(($# == 0)) || profile=release
binary=${CARGO_TARGET_DIR:-$PWD/target}/$profile/technical-analysis-agent

has_failpoints() {
    grep -qaF TA_FAILPOINT "$binary"
}

cargo build "$@" --bin technical-analysis-agent --features failpoints
if ! has_failpoints; then
    echo "check-failpoints: $binary was built with failpoints, and they were not found" >&2
    exit 1
fi
cargo build "$@" --bin technical-analysis-agent
if has_failpoints; then
    echo "check-failpoints: $binary was built without failpoints, and has them" >&2
    exit 1
fi
echo "check-failpoints: $binary has none"
