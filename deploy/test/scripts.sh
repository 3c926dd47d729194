#!/usr/bin/env bash
# scripts/start_agent.sh and stop_agent.sh as a user types them: three agents at once, each with
# its own log, pid file and port; status; the upgrade one by one while bars flow; a stop that
# drains; durable delivery through a stop of all and a kill; the forced stop of a hung one.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=deploy/test/agent.sh
. "$(dirname "${BASH_SOURCE[0]}")/agent.sh"

# shellcheck source=deploy/test/bars.sh
. "$ROOT/deploy/test/bars.sh"

need curl
{ [[ -r /proc/self/stat ]] && command -v flock && command -v setsid; } >/dev/null ||
    skip "background agents need Linux with flock and setsid"
dir=$(mktemp -d)
at_exit "rm -rf '$dir'"
start_nats "$dir/nats"
export TECHNICAL_AGENT_BIN=$AGENT AGENT_RUN_DIR=$dir/run AGENT_LOG_DIR=$dir/logs
start=$ROOT/scripts/start_agent.sh stop=$ROOT/scripts/stop_agent.sh
at_exit "'$stop' --all --timeout 1"

# start_all NAME…: at once, and returns when all are ready.
start_all() {
    local name job waiting=()
    for name; do
        "$start" --name "$name" --background 2>"$dir/$name.out" &
        waiting+=($!)
    done
    for job in "${waiting[@]}"; do
        wait "$job" || fail "an agent did not start: $(cat "$dir"/*.out)"
    done
}
stop() { "$stop" "$@" 2>"$dir/stop" || fail "stop $*: $(<"$dir/stop")"; }

# Slots that the agents hold, one line each, and whether those are all.
held() {
    local url
    for url in $(sed -n 's/^url=//p' "$dir"/run/*.info); do
        curl -fsS -m 5 "$url/metrics" | sed -n 's/^technical_partitions_owned //p'
    done
}
all_held() { (($(held | paste -sd+) == 256)); }

names=(one two three)
start_all "${names[@]}"
"$stop" --status >"$dir/status" || fail "not every agent is ready: $(<"$dir/status")"
[[ $(grep -cE ' ready$' "$dir/status") == 3 ]] || fail "not three ready: $(<"$dir/status")"
[[ $(sed -n 's/^url=//p' "$dir"/run/*.info | sort -u | wc -l) == 3 ]] || fail "two share a port"
say "three started at once, each ready, with its own log, pid file and port"

"$start" --name one --background 2>/dev/null && fail "a name that runs was started again"
say "a name that runs is not started twice"

pid_of() { head -n 1 "$dir/run/$1.pid"; }
kill -KILL "$(pid_of two)"
until_true 5 grep -q '^two .*not running' <("$stop" --status) || true
"$stop" --status --name two >"$dir/status" && fail "a killed agent is said to run: $(<"$dir/status")"
"$start" --name two --background 2>/dev/null || fail "a killed agent cannot be started again"
say "after kill -9: status says so, and it starts again"

bars_begin "$dir/core"
bars_flow
for name in "${names[@]}"; do
    stop --name "$name"
    "$start" --name "$name" --background 2>"$dir/$name.out" || fail "$name: $(<"$dir/$name.out")"
    bars_still_flow "$name was there again"
done
say "each stopped and started again, one at a time, while bars flow"
# the killed agent's symbols were without a holder for some seconds; their first signals are still to come
until_true 10 all_held || fail "symbols have no holder: $(held)"
bars_rest
stop --all
for name in "${names[@]}"; do
    grep -q 'everything received was finished' "$dir/logs/$name.log" || fail "$name did not drain"
done
say "stop: drained"
bars_end "core delivery, upgraded one by one and stopped"

start_nats "$dir/jetstream" jetstream
start_all one two
bars_begin "$dir/durable"
bars_flow
stop --all
bars_still_flow "all were stopped"
start_all one two
kill -KILL "$(pid_of two)"
"$start" --name two --background 2>"$dir/two.out" || fail "a killed agent cannot be started again: $(<"$dir/two.out")"
bars_still_flow "the killed agent was there again"
bars_rest
bars_end_stored "durable delivery, all stopped and one killed while bars flow"
stop --name one
"$start" --name three --background 2>"$dir/three.out" || fail "three: $(<"$dir/three.out")"

kill -STOP "$(pid_of two)"
code=0
"$stop" --all --timeout 10 2>"$dir/stop" || code=$?
((code == 1)) || fail "the stop of a hung agent ended with $code, not 1: $(<"$dir/stop")"
grep -q '^two: .*killing' "$dir/stop" || fail "the hung agent was not killed: $(<"$dir/stop")"
grep -q 'everything received was finished' "$dir/logs/three.log" || fail "three did not drain: $(tail -n 5 "$dir/logs/three.log")"
code=0
"$stop" --status >"$dir/status" || code=$?
((code == 3)) || fail "something still runs: $(<"$dir/status")"
compgen -G "$dir/run/*.pid" >/dev/null && fail "a pid file is left"
say "stop of all: one hung and was killed (exit code 1), the other drained; nothing is left"
say "passed"
