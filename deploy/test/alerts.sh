#!/usr/bin/env bash
# The alerts, in seconds and without a Prometheus: each has unit tests in which it fires and ends,
# each is documented, and what rules and dashboard name is what an agent at work exports. With
# promtool, the unit tests run as well; deploy/test/monitoring.sh does all of it live.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=deploy/test/agent.sh
. "$(dirname "${BASH_SOURCE[0]}")/agent.sh"
need python3 curl

dir=$(mktemp -d)
at_exit "rm -rf '$dir'"
start_nats "$dir/nats"
(cd "$dir" && HTTP_ADDR=127.0.0.1:0 exec "$AGENT" run) >"$dir/agent.log" 2>&1 &
agent=$!
at_exit "kill -KILL $agent"
address() { sed -nE 's/.*"address":"(127\.0\.0\.1:[0-9]+)".*/\1/p' "$dir/agent.log" | head -n 1; }
listens() { [[ -n $(address) ]]; }
until_true 60 listens || fail "the agent does not listen: $(tail -n 3 "$dir/agent.log")"
until_true 60 is_ready "$(address)" || fail "the agent is not ready: $(tail -n 3 "$dir/agent.log")"
curl -fsS "http://$(address)/metrics" >"$dir/metrics" || fail "no answer to GET /metrics"
python3 "$ROOT/deploy/test/alerts.py" "$dir/metrics" >"$dir/verdict" || fail "$(<"$dir/verdict")"
say "$(<"$dir/verdict")"
if command -v promtool >/dev/null; then
    promtool test rules "$ROOT/deploy/monitoring/tests/rules.yml" >"$dir/out" 2>&1 || fail "$(<"$dir/out")"
    say "their unit tests pass"
else
    say "no promtool: the unit tests of the rules did NOT run"
fi
say "passed"
