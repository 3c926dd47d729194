#!/usr/bin/env bash
# deploy/supervisor under Debian's supervisor, in an instance of its own: several processes,
# readiness, restart after kill -9, no restart of what is refused, the upgrade one by one while bars
# flow, a stop that drains, and durable delivery through a stop of all and a kill.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=deploy/test/agent.sh
. "$(dirname "${BASH_SOURCE[0]}")/agent.sh"
# shellcheck source=deploy/test/debian.sh
. "$ROOT/deploy/test/debian.sh"
# shellcheck source=deploy/test/bars.sh
. "$ROOT/deploy/test/bars.sh"

if ! command -v supervisord >/dev/null; then
    may_install || skip "supervisor is not installed, and may not be installed from here"
    apt_install supervisor || skip "supervisor is not installed, and apt-get cannot install it"
fi
dir=$(mktemp -d)
at_exit "rm -rf '$dir'"
start_nats "$dir/nats"

# The file as it is, but for what belongs to this test: binary, NATS, user, ports, log directory.
first=$((20000 + RANDOM % 10000))
program=$dir/technical-analysis-agent.conf
sed -e "s|^command=/usr/local/bin/technical-analysis-agent|command=$AGENT|" \
    -e "s|nats://127.0.0.1:4222|$NATS_URL|" -e '/^user=/d' \
    -e "s|^numprocs=2|numprocs=3|" -e "s|^numprocs_start=8081|numprocs_start=$first|" \
    -e "s|/var/log/supervisor|$dir|" "$ROOT/deploy/supervisor/technical-analysis-agent.conf" >"$program"
# the same program with a setting that the agent refuses
sed -e 's/^\[program:technical-analysis-agent\]/[program:refused]/' -e 's/^numprocs=3/numprocs=1/' \
    -e 's/^startretries=10/startretries=1/' -e 's/^autostart=true/autostart=false/' \
    -e 's/^environment=$/environment=\n    TECHNICAL_RSI_PERIOD="none",/' "$program" >"$dir/refused.conf"
cat >"$dir/supervisord.conf" <<END
[unix_http_server]
file=$dir/supervisor.sock
[supervisord]
logfile=$dir/supervisord.log
pidfile=$dir/supervisord.pid
childlogdir=$dir
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://$dir/supervisor.sock
[include]
files=$program $dir/refused.conf
END
ctl() { supervisorctl -c "$dir/supervisord.conf" "$@"; }
broken() {
    ctl status >&2 || true
    tail -n 5 "$dir"/supervisord.log "$dir"/*-agent-*.log >&2 || true
    fail "$@"
}
all=technical-analysis-agent
supervisord -c "$dir/supervisord.conf" || fail "supervisord does not start"
at_exit "supervisorctl -c '$dir/supervisord.conf' shutdown; sleep 3"

running() { [[ $(ctl status "$all:*" | grep -c RUNNING) == "$1" ]]; }
until_true 30 running 3 || broken "not three running"
for ((port = first; port < first + 3; port++)); do
    until_true 30 is_ready "127.0.0.1:$port" || broken "$port is not ready"
    grep -q "\"agent\":\"[^\"]*-$port\"" "$dir/$all-$port.log" || broken "the log of $port has another name"
done
say "supervisor $(supervisord -v): three running and ready, each with its name, port and log"

pid=$(ctl pid "$all:$all-$first")
kill -KILL "$pid"
again() { [[ $(ctl pid "$all:$all-$first") != @(0|"$pid") ]] && running 3; }
until_true 30 again || broken "not started again after kill -9"
until_true 30 is_ready "127.0.0.1:$first" || broken "not ready after kill -9"
say "kill -9: started again, and ready"

ctl start refused: >/dev/null 2>&1 || true
# the status of something that does not run ends with 3, and is none the worse for it
state() { ctl status refused: | awk '{print $2}' || true; }
given_up() { [[ $(state) == @(FATAL|EXITED) ]]; }
until_true 30 given_up || broken "a bad configuration is tried for ever"
say "a bad configuration: $(state), not tried for ever"

all_ready() {
    local port
    for ((port = first; port < first + 3; port++)); do
        is_ready "127.0.0.1:$port" >/dev/null || return 1
    done
}
all_ready || broken "not every agent is ready"
bars_begin "$dir/core"
bars_flow
for ((port = first; port < first + 3; port++)); do
    ctl restart "$all:$all-$port" >/dev/null
    until_true 60 is_ready "127.0.0.1:$port" || broken "$port is not ready after its restart"
    bars_still_flow "$port was ready again"
done
say "each restarted, one at a time, while bars flow"
bars_rest
ctl stop "$all:*" >/dev/null
for ((port = first; port < first + 3; port++)); do
    grep -q "stopped: $all-$port (exit status 0)" "$dir/supervisord.log" || broken "$port did not end with 0"
    grep -q 'everything received was finished' "$dir/$all-$port.log" || broken "$port did not drain"
done
say "stop: all three drained, exit status 0"
bars_end "core delivery, upgraded one by one and stopped"

old=$NATS_URL
start_nats "$dir/jetstream" jetstream
sed -i "s|$old|$NATS_URL|" "$program"
ctl update "$all" >/dev/null
until_true 60 all_ready || broken "not ready at the other NATS server"
bars_begin "$dir/durable"
bars_flow
ctl stop "$all:*" >/dev/null
bars_still_flow "all were stopped"
ctl start "$all:*" >/dev/null
until_true 60 all_ready || broken "not ready after the stop of all"
pid=$(ctl pid "$all:$all-$first")
kill -KILL "$pid"
until_true 30 again || broken "not started again after kill -9"
until_true 60 all_ready || broken "not ready after kill -9"
bars_still_flow "the killed agent was there again"
bars_rest
bars_end_stored "durable delivery, all stopped and one killed while bars flow"
ctl stop "$all:*" >/dev/null
grep -q "killing '.*with SIGKILL" "$dir/supervisord.log" && broken "something had to be killed"
say "passed"
