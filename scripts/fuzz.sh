#!/usr/bin/env bash
# Builds every fuzz target and runs each for a while, two at a time. Needs Rust and a C++ compiler.
#
#   scripts/fuzz.sh [SECONDS] [TARGET…]     60 seconds and every target by default
#
# FUZZ_SEED=1 makes the same inputs in every run of the same code from an empty corpus.
# Inputs that reach new code are kept in target/fuzz/corpus/TARGET. An input that breaks a promise
# is kept in target/fuzz/artifacts, and the script ends with 1; run the target with the file as its
# argument to see it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
shift || true
all=()
for file in fuzz/fuzz_targets/*.rs; do all+=("$(basename "$file" .rs)"); done
targets=("${@:-${all[@]}}")
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

# What libFuzzer needs to see which code an input reaches. A stable compiler does; the flags must
# not apply to build scripts, hence --target.
flags="--cfg fuzzing -Cpasses=sancov-module -Cdebug-assertions -Coverflow-checks"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTFLAGS=$flags cargo build --release --manifest-path fuzz/Cargo.toml \
    --target "$host" --target-dir "$work/build"

run() {
    local target=$1 seeds=() dictionary=()
    mkdir -p "$work/corpus/$target" "$work/artifacts"
    [[ -d fuzz/seeds/$target ]] && seeds=("fuzz/seeds/$target")
    [[ -f fuzz/$target.dict ]] && dictionary=("-dict=fuzz/$target.dict")
    "$work/build/$host/release/$target" "$work/corpus/$target" "${seeds[@]}" "${dictionary[@]}" \
        -seed="${FUZZ_SEED:-0}" -max_len=8192 -rss_limit_mb=2048 -timeout=10 -max_total_time="$seconds" \
        -artifact_prefix="$work/artifacts/$target-" >"$work/$target.log" 2>&1
}

failed=0
finish() {
    local target=$1 pid=$2
    if wait "$pid"; then
        echo "fuzz: $target: $(grep -E '^Done [0-9]+ runs' "$work/$target.log" | tail -n 1)"
    else
        echo "fuzz: $target FAILED; the end of its log:" >&2
        tail -n 40 "$work/$target.log" >&2
        failed=1
    fi
}

for ((at = 0; at < ${#targets[@]}; at += 2)); do
    pids=()
    for target in "${targets[@]:at:2}"; do
        run "$target" &
        pids+=("$target:$!")
    done
    for entry in "${pids[@]}"; do finish "${entry%:*}" "${entry##*:}"; done
done
exit "$failed"
