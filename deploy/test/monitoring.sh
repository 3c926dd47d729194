#!/usr/bin/env bash
# Proves deploy/monitoring: the rules by their unit tests; then, with an agent at work and a
# Prometheus that scrapes it, that every metric which rules and dashboard name is exported, that
# every panel has data, and that alerts fire. TECHNICAL_AGENT_BIN names a binary that is built.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=deploy/test/debian.sh
. "$ROOT/deploy/test/debian.sh"
need python3 curl

tools=$ROOT/target/deploy-test/prometheus
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
    tools=
elif [[ ! -x $tools/usr/bin/prometheus ]]; then
    may_install || skip "promtool and prometheus are not installed, and may not be from here"
    packages "$tools" prometheus || skip "apt-get has no prometheus here"
fi
PATH=${tools:+$tools/usr/bin:}$PATH

cd "$ROOT/deploy/monitoring" || exit
scratch=$(mktemp -d)
at_exit "rm -rf $scratch"
quietly() { "$@" >"$scratch/out" 2>&1 || fail "$*: $(cat "$scratch/out")"; }
quietly promtool check config prometheus.yml
quietly promtool check rules rules/*.yml
quietly promtool test rules tests/rules.yml
say "rules: checked, and their unit tests pass"

agent=${TECHNICAL_AGENT_BIN:-}
if [[ -z $agent ]]; then
    command -v cargo >/dev/null || skip "no cargo to build the agent with (rules are proven)"
    (cd "$ROOT" && cargo build --release --quiet)
    agent=${CARGO_TARGET_DIR:-$ROOT/target}/release/technical-analysis-agent
fi
server=$("$ROOT/scripts/nats-server.sh")

# start NAME COMMAND…: in the background, ended with the test.
start() {
    local name=$1
    shift
    "$@" >"$scratch/$name.log" 2>&1 &
    declare -g "${name}_pid=$!"
    at_exit kill -9 $!
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
cd "$scratch" || exit
nats_port=$(free_port) http=127.0.0.1:$(free_port) prometheus_at=127.0.0.1:$(free_port)
start nats "$server" -a 127.0.0.1 -p "$nats_port" -js -sd "$scratch/nats"
export NATS_URL=nats://127.0.0.1:$nats_port
start agent env HTTP_ADDR="$http" "$agent" run
until_true 60 "$agent" health --ready --url "http://$http" || fail "the agent: $(tail -n 3 agent.log)"

# ours, but for how an agent is found and how often it is asked
sed -e 's/^  \(scrape\|evaluation\)_interval: .*/  \1_interval: 1s/' \
    -e "s#rules/\*.yml#$ROOT/deploy/monitoring/rules/*.yml#" \
    -e '/dns_sd_configs:/,/refresh_interval/d' \
    -e "/job_name: technical-analysis/a\\    static_configs: [{targets: [\"$http\"]}]" \
    -e "s/127.0.0.1:9090/$prometheus_at/" "$ROOT/deploy/monitoring/prometheus.yml" >prometheus.yml
start prometheus prometheus --config.file=prometheus.yml --storage.tsdb.path=data \
    --web.listen-address="$prometheus_at"
value() {
    curl -fsS "http://$prometheus_at/api/v1/query" --data-urlencode "query=$1" | grep -q '"value"'
}
until_true 60 value "technical_ready{instance=\"$http\"} == 1" ||
    fail "no scrape: $(tail -n 3 prometheus.log)"

"$agent" feed "$ROOT"/tests/data/bars/{ibm_1d,spy_1m}.csv --rate 300 >feed.log 2>&1 ||
    fail "feed: $(tail -n 3 feed.log)"
until_true 60 value 'job:technical_signals_published:rate1m > 1 and job:technical_signal_latency_seconds:p99_5m > 0' ||
    fail "the recordings have no data"
curl -fsS "http://$http/metrics" >metrics
# shellcheck disable=SC2094 # the file that is written is another
quietly promtool check metrics <metrics
python3 "$ROOT/deploy/test/alerts.py" metrics >verdict || fail "$(cat verdict)"
python3 "$ROOT/deploy/test/dashboard.py" metrics "$prometheus_at" >verdict || fail "$(cat verdict)"
value 'ALERTS{alertstate="firing"}' && fail "an alert is on though all is well"
say "$(tail -n 1 verdict); no alert is on"

python3 - "$nats_port" <<'END'
import socket, sys
port = int(sys.argv[1])
payload = b'{"symbol":"IBM","timeframe":"1d","timestamp":"2013-03-04T00:00:00Z","open":1,"high":1,"low":-1,"close":1}'
with socket.create_connection(("127.0.0.1", port)) as broker:
    broker.sendall(b'CONNECT {"verbose":false}\r\nPUB raw.market_data.price.IBM.1d %d\r\n%s\r\nPING\r\n'
                   % (len(payload), payload))
    answer = b""
    while b"PONG" not in answer:
        answer += broker.recv(4096)
END
until_true 60 value 'ALERTS{alertname="TechnicalAnalysisDeadLetters", alertstate="firing"}' ||
    fail "a dead letter raises no alert"
say "a refused bar raises TechnicalAnalysisDeadLetters"
# shellcheck disable=SC2154 # set by start
kill -9 "$agent_pid"
until_true 60 value 'ALERTS{alertname="TechnicalAnalysisDown", alertstate="firing"}' ||
    fail "a killed agent raises no alert"
say "a killed agent raises TechnicalAnalysisDown"
say "passed in $SECONDS s"
