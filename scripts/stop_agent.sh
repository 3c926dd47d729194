#!/usr/bin/env bash
# Stops agents that start_agent.sh put in the background, or says how they are. It goes by pid
# file alone and never by a name pattern, so it cannot hit a process that it did not start.
set -euo pipefail
# shellcheck source=scripts/agents.sh
. "$(dirname "${BASH_SOURCE[0]}")/agents.sh"

help() {
    cat <<'TEXT'
usage: scripts/stop_agent.sh (--name NAME | --all) [--timeout SECONDS]
       scripts/stop_agent.sh --status [--name NAME]

  --name NAME        this agent
  --all              every agent that has a pid file
  --timeout SECONDS  how long it may drain after SIGTERM before SIGKILL (default 30, above
                     the agent's own SHUTDOWN_TIMEOUT of 25)
  --status           one line per agent: name, process, uptime, address, state
  --help             this text

  AGENT_RUN_DIR      instead of .run

Exit codes of a stop: 0 stopped, or did not run · 1 had to be killed, or could not be
signalled · 64 bad command line · 75 somebody else is starting or stopping it.
Exit codes of --status: 0 every agent asked for is ready · 1 one runs but is not ready, or
should run and does not · 3 none runs, and none should.

An agent that ended without being stopped from here should run: it is listed until it is
started again, or stopped by --name or --all.
TEXT
}

name='' all='' status='' timeout=30
while (($#)); do
    option=$1 value=
    case $option in
        --name=* | --timeout=*) value=${option#*=} option=${option%%=*} ;;
        --name | --timeout)
            (($# > 1)) || usage_error "$option needs a value"
            value=$2
            shift
            ;;
    esac
    case $option in
        --name)
            name=$value
            check_name "$name"
            ;;
        --timeout) timeout=$value ;;
        --all) all=yes ;;
        --status) status=yes ;;
        --help | -h)
            help
            exit 0
            ;;
        *) usage_error "unknown argument \`$1\`" ;;
    esac
    shift
done
[[ $timeout =~ ^[0-9]+$ ]] || usage_error "--timeout $timeout is no number of seconds"
[[ -z $name || -z $all ]] || usage_error "--name and --all exclude each other"
[[ -n $name$all$status ]] || usage_error "say which: --name NAME or --all"
require_linux

names=()
if [[ -n $name ]]; then
    names=("$name")
else
    for file in "$run_dir"/*.pid; do
        [[ -e $file ]] || continue
        file=${file##*/}
        names+=("${file%.pid}")
    done
fi

show_status() {
    local up now running=0 unready=0 ended=0 state
    local -r row='%-24s %8s %10s  %-28s %s\n'
    if ((${#names[@]})); then
        # shellcheck disable=SC2059 # the format is one for all rows
        printf "$row" NAME PROCESS UPTIME HTTP STATE
    else
        echo 'no agents in the background'
    fi
    for name in "${names[@]}"; do
        if ! find_agent "$name"; then
            state='not running'
            if [[ -e $run_dir/$name.pid ]]; then
                state='not running, but it was not stopped: start it, or stop it by name'
                ended=$((ended + 1))
            fi
            # shellcheck disable=SC2059
            printf "$row" "$name" - - - "$state"
            continue
        fi
        running=$((running + 1))
        read -r now _ </proc/uptime
        up=$((${now%.*} - started / $(getconf CLK_TCK)))
        state=ready
        is_ready "$(info "$name" bin)" "$(info "$name" url)" || case $? in
            2) state='running (no HTTP endpoint to ask)' ;;
            *) state='running, not ready' unready=$((unready + 1)) ;;
        esac
        # shellcheck disable=SC2059
        printf "$row" "$name" "$pid" "${up}s" "$(info "$name" url)" "$state"
    done
    if ((running + ended == 0)); then return 3; fi
    ((unready + ended == 0))
}

stop_one() (
    name=$1
    lock_name "$name" $((timeout + 40))
    if ! find_agent "$name"; then
        if [[ -e $run_dir/$name.pid ]]; then
            say "$name: had ended already; no longer listed"
        else
            say "$name: was not running"
        fi
        forget_agent "$name"
        exit 0
    fi
    kill -TERM "$pid" || {
        say "$name: process $pid could not be signalled; is it another user's?"
        exit 1
    }
    deadline=$((SECONDS + timeout))
    while same_process "$pid" "$started"; do
        if ((SECONDS >= deadline)); then
            say "$name: still there $timeout s after SIGTERM; killing process $pid"
            kill -KILL "$pid" 2>/dev/null || :
            for _ in {1..50}; do
                same_process "$pid" "$started" || break
                sleep 0.1
            done
            forget_agent "$name"
            exit 1
        fi
        sleep 0.1
    done
    forget_agent "$name"
    say "$name: stopped, process $pid"
)

if [[ -n $status ]]; then
    code=0
    show_status || code=$?
    exit "$code"
fi

if ((${#names[@]} == 0)); then
    say 'no agents in the background'
    exit 0
fi
# all at once: they drain side by side
waiting=() code=0
for name in "${names[@]}"; do
    stop_one "$name" &
    waiting+=($!)
done
for job in "${waiting[@]}"; do
    wait "$job" || code=$?
done
exit "$code"
