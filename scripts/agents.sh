# shellcheck shell=bash
# What start_agent.sh and stop_agent.sh share: where a background agent is written down, and
# how it is told apart from a process that merely has its number. Sourced, never run.
#
#   .run/NAME.pid    line 1 the process id, line 2 its start time (field 22 of /proc/PID/stat);
#                    both must fit, so that a recycled process id is never signalled. It is
#                    there for as long as the agent should run
#   .run/NAME.info   url=, bin=, log= of that process
#   .run/.NAME.lock  held while NAME is being started or stopped

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
run_dir=${AGENT_RUN_DIR:-$root/.run}

# Exit codes, beside those of the agent itself.
readonly USAGE=64

say() { printf '%s\n' "$*" >&2; }

usage_error() {
    say "${0##*/}: $*"
    say "try ${0##*/} --help"
    exit "$USAGE"
}

require_linux() {
    if [[ ! -r /proc/self/stat ]] || ! command -v flock >/dev/null || ! command -v setsid >/dev/null; then
        say "${0##*/}: background agents need Linux (/proc) with flock and setsid (util-linux);" \
            "elsewhere run technical-analysis-agent in the foreground"
        exit 69
    fi
}

# A name becomes a file name and part of a NATS subject.
check_name() {
    [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$ ]] ||
        usage_error "name \`$1\` must be 1 to 64 letters, digits, '.', '-' or '_', and start with a letter or digit"
}

# Takes NAME's lock on file descriptor 8, waiting for whoever holds it.
lock_name() {
    mkdir -p "$run_dir"
    exec 8>"$run_dir/.$1.lock"
    flock -w "$2" 8 || {
        say "$1: another start or stop of it has been under way for $2 s; giving up"
        exit 75
    }
}

# The start time of a living process, in clock ticks since boot; fails when there is none.
# A zombie has ended: only its parent has not noticed yet.
start_time() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # the command name may hold anything, so count from the last parenthesis
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} != [ZX] ]] && printf '%s' "${fields[19]}"
}

same_process() {
    local now
    now=$(start_time "$1") && [[ $now == "$2" ]]
}

# Sets `pid` and `started` of NAME; fails when it does not run.
find_agent() {
    pid='' started=''
    { read -r pid && read -r started; } 2>/dev/null <"$run_dir/$1.pid" || return 1
    [[ $pid =~ ^[0-9]+$ && -n $started ]] && same_process "$pid" "$started"
}

# One entry of NAME's .info file.
info() { sed -n "s/^$2=//p" "$run_dir/$1.info" 2>/dev/null; }

forget_agent() { rm -f "$run_dir/$1.pid" "$run_dir/$1.info"; }

# Whether the agent at URL says that it is ready; 2 when nobody can be asked.
is_ready() {
    local bin=$1 url=$2
    [[ -n $url && -x $bin ]] || return 2
    timeout 5 "$bin" health --ready --url "$url" >/dev/null 2>&1 8>&- || return 1
}
