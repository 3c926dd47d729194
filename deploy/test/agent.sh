# Sourced after lib.sh: the agent that is tested, and a NATS server for it.
#
# $AGENT is TECHNICAL_AGENT_BIN, else the release build of this tree.
# shellcheck shell=bash

AGENT=${TECHNICAL_AGENT_BIN:-}
if [[ -z $AGENT ]]; then
    cargo build --release --locked --quiet --manifest-path "$ROOT/Cargo.toml" ||
        fail "the agent cannot be built; name one with TECHNICAL_AGENT_BIN"
    AGENT=${CARGO_TARGET_DIR:-$ROOT/target}/release/technical-analysis-agent
fi
AGENT=$(realpath "$AGENT")
# nothing of the tester's own settings reaches the agents
unset TECHNICAL_AGENT_BIN HTTP_ADDR NATS_URL LOG_DIR LOG_LEVEL TECHNICAL_AGENT_NAME

# Starts a NATS server on a free port: sets NATS_URL and NATS_PID. Its files go to $1; with
# JetStream, if $2 is `jetstream`.
start_nats() {
    local server ports more=()
    [[ ${2:-} != jetstream ]] || more=(-js -sd "$1/store")
    server=$("$ROOT/scripts/nats-server.sh") || skip "no nats-server, and none can be installed"
    mkdir -p "$1"
    "$server" -a 127.0.0.1 -p -1 --ports_file_dir "$1" "${more[@]}" >"$1/nats.log" 2>&1 &
    NATS_PID=$!
    at_exit "kill -KILL $NATS_PID"
    ports=$1/nats-server_$NATS_PID.ports
    until_true 20 test -s "$ports" || fail "nats-server does not start: $(tail -n 2 "$1/nats.log")"
    NATS_URL=$(sed -nE 's/.*"(nats:\/\/[^"]+)".*/\1/p' "$ports" | head -n 1)
    [[ -n $NATS_URL ]] || fail "nats-server names no address in $ports"
    export NATS_URL
}

is_ready() { timeout 10 "$AGENT" health --ready --url "http://$1"; }
