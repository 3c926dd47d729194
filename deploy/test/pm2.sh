#!/usr/bin/env bash
# deploy/pm2 under PM2 from npm, in a PM2_HOME of its own: readiness over PM2's channel, restart
# after kill -9, scaling, the upgrade one by one while bars flow, a stop that drains, durable
# delivery through a stop of all and a kill, no restart of what is refused.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=deploy/test/agent.sh
. "$(dirname "${BASH_SOURCE[0]}")/agent.sh"
# shellcheck source=deploy/test/bars.sh
. "$ROOT/deploy/test/bars.sh"

command -v node >/dev/null || skip "no node to run PM2 with"
pm2=$(command -v pm2 || true)
if [[ -z $pm2 ]]; then
    pm2=$ROOT/target/deploy-test/pm2/node_modules/.bin/pm2
    if [[ ! -x $pm2 ]]; then
        command -v npm >/dev/null || skip "PM2 is not installed, and there is no npm"
        mkdir -p "$ROOT/target/deploy-test/pm2"
        npm install --prefix "$ROOT/target/deploy-test/pm2" --no-save --silent pm2 >/dev/null 2>&1 ||
            skip "PM2 cannot be installed from npm"
    fi
fi
dir=$(mktemp -d)
at_exit "rm -rf '$dir'"
start_nats "$dir/nats"
mkdir "$dir/logs"
export PM2_HOME=$dir/home PM2_LOG_DIR=$dir/logs PM2_DISCRETE_MODE=true AGENT_BINARY=$AGENT
export HTTP_BASE_PORT=$((20000 + RANDOM % 10000))
at_exit "'$pm2' kill"

app=technical-analysis-agent
# One value per instance: an expression of JavaScript over PM2's own description of it, `p`.
each() {
    "$pm2" jlist 2>/dev/null | tail -n 1 | node -e '
        const all = JSON.parse(require("fs").readFileSync(0)).filter((p) => p.name === "'$app'");
        for (const p of all) console.log('"$1"')'
}
broken() {
    "$pm2" ls >&2 || true
    tail -n 5 "$PM2_HOME/pm2.log" "$dir"/logs/* >&2 || true
    fail "$@"
}
online() { [[ $(each p.pm2_env.status | grep -c online) == "$1" ]]; }
at() { echo "127.0.0.1:$((HTTP_BASE_PORT + $1))"; }

# Without a NATS server nobody is ready: PM2 must wait for as long as it may, here 4 s.
kill -STOP "$NATS_PID"
sed 's/listen_timeout: 30000/listen_timeout: 4000/' "$ROOT/deploy/pm2/ecosystem.config.js" >"$dir/patient.config.js"
begin=$SECONDS
"$pm2" start "$dir/patient.config.js" >/dev/null || broken "PM2 does not start it"
((SECONDS - begin >= 4)) || broken "PM2 did not wait for readiness: $((SECONDS - begin)) s"
kill -CONT "$NATS_PID"
"$pm2" delete "$app" >/dev/null
say "PM2 $("$pm2" --version | tail -n 1): waits for an agent that is not ready"

# and now it may wait for an hour, so that only the agents' own word ends the wait
sed 's/listen_timeout: 30000/listen_timeout: 3600000/' "$ROOT/deploy/pm2/ecosystem.config.js" >"$dir/endless.config.js"
timeout 300 "$pm2" start "$dir/endless.config.js" >/dev/null || broken "PM2 waits for a word that does not come"
online 2 || broken "not two online"
for number in 0 1; do
    is_ready "$(at $number)" >/dev/null || broken "PM2 says online, but instance $number is not ready"
    grep -q "\"agent\":\"[^\"]*-$number\"" "$dir/logs/agent-$number.log" || broken "instance $number has not its name"
done
grep -l 'PM2.* cannot be' "$dir"/logs/*.log && broken "PM2's channel could not be used"
say "started when both had said ready over its channel; each with its name, port and log"

pid=$(each p.pid | head -n 1)
kill -KILL "$pid"
again() { ! each p.pid | grep -qx "$pid" && online 2 && is_ready "$(at 0)"; }
until_true 60 again || broken "not started again after kill -9"
say "kill -9: started again, and ready"

"$pm2" scale "$app" 3 >/dev/null 2>&1 || true
until_true 60 is_ready "$(at 2)" || broken "the third instance is not ready on its port"
online 3 || broken "not three online"
say "scale to 3: the third has a port of its own"

bars_begin "$dir/core"
bars_flow
for number in 0 1 2; do
    "$pm2" restart "$(each "p.pm2_env.NODE_APP_INSTANCE == $number ? p.pm_id : ''" | grep .)" >/dev/null ||
        broken "instance $number cannot be restarted"
    is_ready "$(at $number)" >/dev/null || broken "PM2 went on, but instance $number is not ready"
    bars_still_flow "instance $number was ready again"
done
say "each restarted, one at a time, while bars flow"
bars_rest
killed() { grep -c SIGKILL "$PM2_HOME/pm2.log"; }
before=$(killed)
"$pm2" stop "$app" >/dev/null
online 0 || broken "something is still online"
for number in 0 1 2; do
    grep -q 'everything received was finished' "$dir/logs/agent-$number.log" || broken "instance $number did not drain"
done
[[ $(killed) == "$before" ]] || broken "something had to be killed"
say "stop: all three drained, none killed"
bars_end "core delivery, upgraded one by one and stopped"

"$pm2" delete "$app" >/dev/null
start_nats "$dir/jetstream" jetstream
timeout 300 "$pm2" start "$dir/endless.config.js" >/dev/null || broken "PM2 waits for a word that does not come"
bars_begin "$dir/durable"
bars_flow
"$pm2" stop "$app" >/dev/null
bars_still_flow "all were stopped"
timeout 300 "$pm2" start "$app" >/dev/null || broken "PM2 does not start what it stopped"
both_ready() { online 2 && is_ready "$(at 0)" && is_ready "$(at 1)"; }
until_true 60 both_ready || broken "not ready after the stop of all"
pid=$(each p.pid | head -n 1)
kill -KILL "$pid"
until_true 60 again || broken "not started again after kill -9"
bars_still_flow "the killed agent was there again"
bars_rest
bars_end_stored "durable delivery, all stopped and one killed while bars flow"

"$pm2" delete "$app" >/dev/null
TECHNICAL_RSI_PERIOD=none "$pm2" start "$ROOT/deploy/pm2/ecosystem.config.js" >/dev/null 2>&1 || true
# PM2 calls it "waiting restart", but the process is gone and is not started again
sleep 5
[[ $(each 'p.pid + "/" + p.pm2_env.restart_time' | sort -u) == 0/0 ]] || broken "a bad configuration was tried again"
refused=$(grep -c 'exited with code \[78\]' "$PM2_HOME/pm2.log") || true
((refused == 2)) || broken "exit code 78 was seen $refused times, not once per instance"
say "a bad configuration: ended with 78, not tried again"

"$pm2" delete "$app" >/dev/null
sed 's/max_memory_restart: "512M"/max_memory_restart: "2M"/' "$ROOT/deploy/pm2/ecosystem.config.js" >"$dir/small.config.js"
"$pm2" start "$dir/small.config.js" >/dev/null || broken "PM2 does not start it"
grown() { (($(each p.pm2_env.restart_time | sort -n | tail -n 1) > 0)); }
until_true 120 grown || broken "no restart above max_memory_restart"
say "above max_memory_restart: started again (PM2 looks every 30 s)"
say "passed"
