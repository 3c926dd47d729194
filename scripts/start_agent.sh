#!/usr/bin/env bash
# Starts one agent: checks the configuration and that NATS can be reached, then runs it here
# or, with --background, on its own with a pid file and a log. stop_agent.sh is its counterpart.
set -euo pipefail
# shellcheck source=scripts/agents.sh
. "$(dirname "${BASH_SOURCE[0]}")/agents.sh"

help() {
    cat <<'TEXT'
usage: scripts/start_agent.sh [--name NAME] [--log-level LEVEL] [--nats-url URL] [--background]

  --name NAME        the agent's name (default: $TECHNICAL_AGENT_NAME, else `technical`)
  --log-level LEVEL  TRACE, DEBUG, INFO, WARN, ERROR or a full tracing filter
  --nats-url URL     one or more NATS servers, comma-separated
  --background       detach; log to logs/NAME.log, pid file .run/NAME.pid; returns once the
                     agent is ready. Without HTTP_ADDR it gets a free HTTP port of its own
  --help             this text

Everything else is configured by the environment and by .env in the project directory, which
is where the agent runs (`technical-analysis-agent --help` lists the variables).

  TECHNICAL_AGENT_BIN   the binary (default: target/release, built when missing)
  AGENT_RUN_DIR         instead of .run
  AGENT_LOG_DIR         instead of logs
  AGENT_START_TIMEOUT   seconds a background agent may take to become ready (default 30)

Exit codes: 0 started and ready (in the foreground: the agent's own) · 1 that name runs
already, its HTTP_ADDR is taken, or the agent did not become ready in time (it is stopped
again) · 64 bad command line · 69 NATS cannot be reached · 75 somebody else is starting or
stopping that name · 78 bad configuration · otherwise the exit code of the agent that ended
while starting.
TEXT
}

name=${TECHNICAL_AGENT_NAME:-technical} background=
while (($#)); do
    option=$1 value=
    case $option in
        --name=* | --log-level=* | --nats-url=*) value=${option#*=} option=${option%%=*} ;;
        --name | --log-level | --nats-url)
            (($# > 1)) || usage_error "$option needs a value"
            value=$2
            shift
            ;;
    esac
    case $option in
        --name) name=$value ;;
        --log-level) export LOG_LEVEL=$value ;;
        --nats-url) export NATS_URL=$value ;;
        --background) background=yes ;;
        --help | -h)
            help
            exit 0
            ;;
        *) usage_error "unknown argument \`$1\`" ;;
    esac
    shift
done
check_name "$name"
timeout=${AGENT_START_TIMEOUT:-30}
[[ $timeout =~ ^[0-9]+$ ]] || usage_error "AGENT_START_TIMEOUT=$timeout is no number of seconds"
if [[ -n $background ]]; then require_linux; fi

bin=${TECHNICAL_AGENT_BIN:-}
# ours, not the agent's, which would take it for a misspelt setting
export -n TECHNICAL_AGENT_BIN
export TECHNICAL_AGENT_NAME=$name
if [[ -n $bin ]]; then
    [[ -x $bin ]] || usage_error "TECHNICAL_AGENT_BIN=$bin is no executable file"
    bin=$(realpath "$bin")
fi
cd "$root"
if [[ -z $bin ]]; then
    bin=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release/technical-analysis-agent
    if [[ ! -x $bin ]]; then
        say "$name: building the agent (once)"
        cargo build --release >&2
    fi
fi

settings=$("$bin" config --json) || {
    code=$?
    say "$name: not started: the configuration is not valid (see above)"
    exit "$code"
}
settings=${settings//$'\n'/ }

# `value` or `source` of one configuration key.
setting() { sed -nE "s/.*\"key\": *\"$2\"[^}]*\"$1\": *\"([^\"]*)\".*/\1/p" <<<"$settings"; }

# Whether something listens on HOST PORT.
listens() {
    # shellcheck disable=SC2016 # the inner shell expands them
    timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}

# Whether something listens on any of the comma-separated servers.
nats_reachable() {
    local url servers host port
    IFS=, read -ra servers <<<"$1"
    for url in "${servers[@]}"; do
        url=${url// /} url=${url#*://} url=${url##*@} url=${url%%/*}
        # [::1]:4222, host:4222, host
        if [[ $url =~ ^\[(.+)\](:([0-9]+))?$ ]]; then
            host=${BASH_REMATCH[1]} port=${BASH_REMATCH[3]:-4222}
        else
            host=${url%%:*} port=4222
            if [[ $url == *:* ]]; then port=${url##*:}; fi
        fi
        listens "$host" "$port" && return 0
    done
    return 1
}

nats=$(setting value NATS_URL)
nats=${nats:-${NATS_URL:-nats://localhost:4222}}
nats_reachable "$nats" || {
    say "$name: not started: no NATS server answers at $nats; start one, or name another with --nats-url"
    exit 69
}

if [[ -z $background ]]; then
    exec "$bin" run
fi

lock_name "$name" $((timeout + 10))
if find_agent "$name"; then
    say "$name: runs already, process $pid; stop it first, or choose another --name"
    exit 1
fi
# An agent that ended without being stopped stays listed until it is started, so a start that
# fails must leave it so.
expected=
if [[ -e $run_dir/$name.pid ]]; then expected=yes; fi
not_started() { if [[ -z $expected ]]; then forget_agent "$name"; fi; }

# A port that nobody listens on and that no other agent here was given. Below the range that
# systems hand out to clients, so that no outgoing connection takes it meanwhile.
free_port() {
    local port
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 12000))
        grep -qsx "url=http://127.0.0.1:$port" "$run_dir"/*.info && continue
        listens 127.0.0.1 "$port" && continue
        printf '%s' "$port"
        return 0
    done
    say "$name: found no free port from 20000 to 32000 in 200 tries; set HTTP_ADDR"
    return 1
}

log_dir=${AGENT_LOG_DIR:-$root/logs}
mkdir -p "$log_dir"
log=$log_dir/$name.log
{
    flock 9
    address=$(setting value HTTP_ADDR)
    if [[ -z ${HTTP_ADDR:-} && $(setting source HTTP_ADDR) == default ]]; then
        address=127.0.0.1:$(free_port)
        export HTTP_ADDR=$address
    fi
    case $address in
        off) url= ;;
        0.0.0.0:*) url=http://127.0.0.1:${address##*:} ;;
        '[::]':*) url="http://[::1]:${address##*:}" ;;
        *) url=http://$address ;;
    esac
    # else whoever listens there would answer for the new agent, and say that it is ready
    if [[ $url =~ ^http://\[?([^]]+)\]?:([0-9]+)$ ]] && listens "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"; then
        say "$name: not started: something listens on HTTP_ADDR=$address already; each agent needs" \
            "its own (without HTTP_ADDR a free one is chosen)"
        exit 1
    fi
    printf 'url=%s\nbin=%s\nlog=%s\n' "$url" "$bin" "$log" >"$run_dir/$name.info"
} 9>"$run_dir/.ports.lock"

printf -- '--- %(%Y-%m-%dT%H:%M:%S%z)T starting %s\n' -1 "$name" >>"$log"
# a session of its own: closing the terminal does not reach it
setsid "$bin" run </dev/null >>"$log" 2>&1 8>&- &
pid=$!
started=$(start_time "$pid") || started=
printf '%s\n%s\n' "$pid" "$started" >"$run_dir/$name.pid"

last_log_lines() {
    say "--- the end of $log:"
    tail -n 15 "$log" >&2
}

give_up() {
    kill -TERM "$pid" 2>/dev/null || :
    for _ in {1..50}; do
        same_process "$pid" "$started" || break
        sleep 0.1
    done
    if same_process "$pid" "$started"; then kill -KILL "$pid" 2>/dev/null || :; fi
    not_started
}
trap 'give_up; exit 130' INT TERM HUP

deadline=$((SECONDS + timeout)) settled=$((SECONDS + 2))
while :; do
    if ! same_process "$pid" "$started"; then
        code=0
        wait "$pid" || code=$?
        not_started
        say "$name: ended while starting, exit code $code"
        last_log_lines
        exit $((code == 0 ? 1 : code))
    fi
    answer=0
    is_ready "$bin" "$url" || answer=$?
    # asked again whether it lives: what answered may be on its way out
    if ((answer == 0)) && same_process "$pid" "$started"; then
        say "$name: started and ready, process $pid, $url, log $log"
        exit 0
    fi
    # with HTTP_ADDR=off nobody can be asked: having stayed alive must do
    if ((answer == 2 && SECONDS >= settled)); then
        say "$name: started, process $pid, no HTTP endpoint to ask for readiness, log $log"
        exit 0
    fi
    if ((SECONDS >= deadline)); then
        say "$name: not ready after $timeout s; stopping it again"
        give_up
        last_log_lines
        exit 1
    fi
    sleep 0.2
done
