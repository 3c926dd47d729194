#!/usr/bin/env bash
# Proves docker/docker-compose.yml with real bars: three agents divide the work with nothing but
# --scale, and every signal comes out exactly once, as `replay` makes it, while one agent is
# killed, one drained and started again under load, all replaced by new ones under load, and all
# stopped at once.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=deploy/test/engine-docker.sh
. "$ROOT/deploy/test/engine-docker.sh"
# shellcheck source=deploy/test/base-images.sh
. "$ROOT/deploy/test/base-images.sh"

need python3 curl
agent_image
for name in nats python prometheus; do
    base_image "$name"
    declare -x "${name^^}_IMAGE=$IMAGE"
done
# ports of the host as Docker finds them free
export NATS_PORT=0 PROMETHEUS_PORT=0 GRAFANA_PORT=0
unset TECHNICAL_DELIVERY
readonly project=ta-compose-test-$$
scratch=$(mktemp -d)
# containers read it as another user
chmod 755 "$scratch"
compose() { docker compose -p "$project" -f "$ROOT/docker/docker-compose.yml" "$@"; }
at_exit "rm -rf $scratch"
profiles=(--profile demo --profile scaling --profile monitoring)
at_exit compose "${profiles[@]}" down --volumes --timeout 1 --remove-orphans

containers() { compose ps -aq technical-analysis; }
state() { docker inspect -f "{{.State.$2}}" "$1"; }
ready() {
    docker exec "$1" /usr/local/bin/technical-analysis-agent health --ready --wait "${2:-0}" >/dev/null 2>&1
}
all_ready() {
    local agent
    for agent in $(compose "$@" ps -q technical-analysis technical-analysis-more); do
        ready "$agent" 120 || return 1
    done
}
metric() {
    curl -fsS "http://$(docker port "$1" 8080)/metrics" | awk -v name="$2" '$1 == name { printf "%d", $2 }'
}
feed() {
    docker run --rm --network "${project}_default" -e NATS_URL=nats://nats:4222 \
        -v "$scratch:/parts:ro" "$AGENT_IMAGE" feed --json "$@" >>"$scratch/feed.log" 2>&1 ||
        fail "feed $*: $(tail -n 3 "$scratch/feed.log")"
}

compose config -q
services=$(compose config --services | sort | xargs)
[[ $services == "nats technical-analysis" ]] || fail "without a profile there is: $services"

from=$SECONDS
compose up -d --wait --wait-timeout 180 --scale technical-analysis=3 >"$scratch/up.log" 2>&1 ||
    fail "compose up: $(tail -n 5 "$scratch/up.log"; compose logs --tail 5)"
mapfile -t agents < <(containers)
((${#agents[@]} == 3)) || fail "${#agents[@]} agents, not 3"
all_ready || fail "not ready: $(compose logs --tail 5)"
say "three agents ready after $((SECONDS - from)) s"

for agent in "${agents[@]}"; do
    got=$(docker inspect -f '{{.HostConfig.NanoCpus}} {{.HostConfig.Memory}} {{.Config.StopTimeout}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.RestartPolicy.Name}}' "$agent")
    [[ $got == "1000000000 536870912 30 true [ALL] unless-stopped" ]] || fail "$agent has $got"
    [[ $(metric "$agent" technical_memory_limit_bytes) == 536870912 ]] || fail "no limit in /metrics"
done
ports=$(for agent in "${agents[@]}"; do docker port "$agent" 8080; done | sort -u | wc -l)
((ports == 3)) || fail "$ports ports on the host for 3 agents"
say "1 CPU, 512 MB, read-only, no capabilities, a port of the host for each"

python3 "$ROOT/deploy/test/signals.py" bars "$scratch" 5 >"$scratch/count"
docker run --rm --network none -v "$scratch:/bars:ro" "$AGENT_IMAGE" replay /bars/all.csv \
    >"$scratch/expected"
port=$(compose port nats 4222)
python3 "$ROOT/deploy/test/signals.py" watch "${port##*:}" "$scratch/came" >"$scratch/watch.log" &
watcher=$!
at_exit kill "$watcher"
until_true 20 grep -q watching "$scratch/watch.log" || fail "the watch does not begin"
say "$(cat "$scratch/count") bars, $(wc -l <"$scratch/expected") signals expected of them"

feed /parts/1.csv
say "first fifth fed to three"

# A crash: by the kernel and not by docker kill, after which Docker does not restart. In core
# delivery a killed agent takes along what it was just doing, so this is done between two bars.
signals_of_1=$(docker run --rm --network none -v "$scratch:/bars:ro" "$AGENT_IMAGE" replay /bars/1.csv | wc -l)
everything_out() { (($(grep -c '"insight' "$scratch/came") == signals_of_1)); }
held() {
    local sum=0 agent
    for agent in "${agents[@]}"; do
        sum=$((sum + $(metric "$agent" technical_partitions_owned)))
    done
    echo "$sum"
}
until_true 30 everything_out || fail "the first fifth did not give $signals_of_1 signals"
all=$(held) victim=${agents[1]}
kill -9 "$(state "$victim" Pid)"
restarted() {
    (($(docker inspect -f '{{.RestartCount}}' "$victim") >= 1)) && ready "$victim" &&
        (($(metric "$victim" technical_partitions_owned) > 0 && $(held) == all))
}
until_true 60 restarted || fail "the killed agent is not back at work: $(docker logs --tail 3 "$victim" 2>&1)"
say "one killed with SIGKILL, restarted by Docker; the three share all $all partitions again"
feed /parts/2.csv
say "second fifth fed to three"

# A slow machine may need longer for what is done than the bars last: then it is said.
while_fed() { if kill -0 "$feeding" 2>/dev/null; then echo "while bars flow"; else echo "the bars were over before"; fi; }

# Scaling down and up: one leaves in order, and comes back.
feed --rate 40 /parts/3.csv &
feeding=$!
sleep 1
docker stop "${agents[0]}" >/dev/null
[[ $(state "${agents[0]}" ExitCode) == 0 ]] || fail "stopped under load: $(state "${agents[0]}" ExitCode)"
say "one of three drained with exit code 0 ($(while_fed))"
docker start "${agents[0]}" >/dev/null
ready "${agents[0]}" 60 || fail "it did not come back"
say "it came back ($(while_fed))"
wait "$feeding" || fail "the feed broke"

# The upgrade, as docs/deployment/docker.md has it.
feed --rate 16 /parts/4.csv &
feeding=$!
compose up -d --wait --wait-timeout 180 --no-recreate --scale technical-analysis=6 >"$scratch/up.log" 2>&1 ||
    fail "six: $(tail -n 5 "$scratch/up.log")"
all_ready || fail "six are not ready: $(compose logs --tail 5)"
say "three new ones beside the three old ($(while_fed))"
docker stop --time 30 "${agents[@]}" >/dev/null
for agent in "${agents[@]}"; do
    [[ $(state "$agent" ExitCode) == 0 ]] || fail "an old one ended with $(state "$agent" ExitCode)"
done
docker rm "${agents[@]}" >/dev/null
say "the three old ones drained with exit code 0 ($(while_fed))"
wait "$feeding" || fail "the feed broke"
mapfile -t agents < <(containers)
((${#agents[@]} == 3)) || fail "${#agents[@]} agents after the upgrade, not 3"

feed /parts/5.csv
from=$SECONDS
compose stop technical-analysis >"$scratch/stop.log" 2>&1
for agent in "${agents[@]}"; do
    [[ $(state "$agent" ExitCode) == 0 ]] || fail "stop: exit code $(state "$agent" ExitCode)"
    [[ $(state "$agent" OOMKilled) == false ]] || fail "out of memory"
done
say "last fifth fed, and all three stopped at once: exit codes 0 after $((SECONDS - from)) s"
kill -TERM "$watcher"
wait "$watcher" || fail "the watch broke"
python3 "$ROOT/deploy/test/signals.py" compare "$scratch/expected" "$scratch/came" >"$scratch/verdict" || {
    cp "$scratch/came" "$ROOT/target/deploy-test/came"
    fail "$(cat "$scratch/verdict")"
}
say "exactly once: $(cat "$scratch/verdict")"

# The profiles.
compose --profile scaling up -d --wait --wait-timeout 180 >"$scratch/up.log" 2>&1 ||
    fail "profile scaling: $(tail -n 5 "$scratch/up.log")"
count=$(compose --profile scaling ps -q technical-analysis technical-analysis-more | wc -l)
((count == 3)) || fail "profile scaling runs $count agents"
all_ready --profile scaling || fail "profile scaling: not ready"
say "profile scaling: three agents ready"

compose --profile scaling --profile monitoring up -d --wait --wait-timeout 120 prometheus \
    >"$scratch/up.log" 2>&1 || fail "Prometheus: $(tail -n 5 "$scratch/up.log")"
prometheus=$(compose --profile monitoring port prometheus 9090)
scraped() {
    curl -fsS "http://$prometheus/api/v1/query" --data-urlencode \
        'query=count(up{job="technical-analysis"} == 1) == 3' | grep -q '"value"'
}
until_true 60 scraped || fail "Prometheus does not see three agents"
say "profile monitoring: Prometheus finds and scrapes all three (Grafana is not part of this test)"

# what was fed above is stored, and the same bars again would give no second signal
compose "${profiles[@]}" down --volumes --timeout 30 >/dev/null 2>&1
FEED_RATE=200 compose --profile demo up -d live-view feed >"$scratch/up.log" 2>&1 ||
    fail "profile demo: $(tail -n 5 "$scratch/up.log")"
shown() { compose --profile demo logs --no-log-prefix live-view 2>/dev/null | grep -c ' AAPL '; }
enough() { (($(shown) > 300)); }
until_true 90 enough || fail "live-view shows: $(compose --profile demo logs live-view feed | tail -n 5)"
say "profile demo: live-view shows the signals of what feed sends ($(shown) of AAPL so far)"
compose "${profiles[@]}" down --volumes --timeout 30 >/dev/null 2>&1

# A password, by file.
printf 'k3y%s' "$RANDOM$RANDOM" >"$scratch/password"
export NATS_PASSWORD_FILE=$scratch/password
secured() {
    docker compose -p "$project" -f "$ROOT/docker/docker-compose.yml" \
        -f "$ROOT/docker/docker-compose.auth.yml" "$@"
}
secured up -d --wait --wait-timeout 120 >"$scratch/up.log" 2>&1 ||
    fail "with a password: $(tail -n 5 "$scratch/up.log"; secured logs --tail 5)"
ready "$(secured ps -q technical-analysis)" 60 || fail "not let in: $(secured logs --tail 5)"
port=$(secured port nats 4222)
timeout 30 python3 "$ROOT/deploy/test/signals.py" watch "${port##*:}" /dev/null >"$scratch/intruder" 2>&1 || true
grep -qi 'authorization violation' "$scratch/intruder" ||
    fail "who has no password is not refused: $(cat "$scratch/intruder")"
docker inspect "$(secured ps -q technical-analysis)" "$(secured ps -q nats)" |
    grep -qF "$(cat "$scratch/password")" && fail "docker inspect shows the password"
secured logs | grep -qF "$(cat "$scratch/password")" && fail "a log shows the password"
secured stop >/dev/null 2>&1
say "password by file: the agent is let in, others are not, and it is nowhere to be read"
say "passed in $SECONDS s"
