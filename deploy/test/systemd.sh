#!/usr/bin/env bash
# The systemd units under a real systemd, PID 1 of a container: installed by install.sh, rated,
# started, watched, killed, hung, drained, misconfigured, several at once, uninstalled.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=deploy/test/agent.sh
. "$(dirname "${BASH_SOURCE[0]}")/agent.sh"
# shellcheck source=deploy/test/engine-docker.sh
. "$ROOT/deploy/test/engine-docker.sh"
# shellcheck source=deploy/test/base-images.sh
. "$ROOT/deploy/test/base-images.sh"

nats=$("$ROOT/scripts/nats-server.sh") || skip "no nats-server, and none can be installed"
base_image debian
image=technical-analysis.local/systemd
build_with_network -t "$image" --build-arg BASE="$IMAGE" -f "$ROOT/deploy/test/systemd.Dockerfile" \
    "$ROOT/deploy/test" || fail "the image with systemd cannot be built"

box=technical-analysis-systemd-$$
in_box() { docker exec "$box" "$@"; }
into_box() { docker cp "$1" "$box:$2" >/dev/null 2>&1 || fail "$1 cannot be copied into the container"; }
# as few rights as systemd can do with, and never --privileged
docker run -d --name "$box" --cap-add ALL --cap-drop SYS_RESOURCE --cgroupns private \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
    --tmpfs /run --tmpfs /run/lock --tmpfs /tmp:exec "$image" >/dev/null 2>&1 || {
    docker rm -f "$box" >/dev/null 2>&1 || true
    skip "this Docker cannot run a container with the rights that systemd needs"
}
at_exit "docker rm -f '$box'"
booted() { [[ $(in_box systemctl is-system-running) == running ]]; }
until_true 60 booted || {
    in_box systemctl --failed --no-pager || true
    skip "systemd does not come up in a container here: $(docker logs "$box" 2>&1 | tail -n 1)"
}
say "systemd $(in_box systemctl --version | awk 'NR == 1 {print $2}') is PID 1"

unit=technical-analysis.service
prop() { in_box systemctl show -P "$1" "${2:-$unit}"; }
is() { [[ $(prop "$1" "${3:-}") == "$2" ]]; }
logged() {
    local text
    text=$(in_box journalctl --no-pager -o cat -u "${2:-$unit}")
    grep -q "$1" <<<"$text"
}
broken() {
    in_box systemctl status --no-pager "$unit" >&2 || true
    fail "$@"
}
# settings DIRECTIVE…: for this test alone, on top of the unit
settings() {
    printf '%s\n' '[Service]' "$@" |
        docker exec -i "$box" sh -c 'mkdir -p /run/systemd/system/technical-analysis.service.d &&
            cat >/run/systemd/system/technical-analysis.service.d/test.conf'
    in_box systemctl daemon-reload
}
restarted() { is NRestarts "$1" && is ActiveState active; }

in_box mkdir -p /src/deploy /src/docs/deployment
into_box "$ROOT/deploy/systemd" /src/deploy/
into_box "$ROOT/docs/deployment/systemd.md" /src/docs/deployment/
into_box "$AGENT" /src/agent
into_box "$nats" /usr/local/bin/nats-server
in_box env TECHNICAL_AGENT_BIN=/src/agent /src/deploy/systemd/install.sh >/dev/null || fail "install.sh"
[[ $(in_box stat -c %a /etc/technical-analysis/environment) == 600 ]] || fail "the environment file is open"

for name in technical-analysis.service technical-analysis@1.service; do
    problems=$(in_box systemd-analyze verify --man=no "/etc/systemd/system/${name/1/}" 2>&1) || true
    [[ -z $problems ]] || fail "$name: $problems"
    rating=$(in_box systemd-analyze security --no-pager --offline=true --threshold=20 \
        "/etc/systemd/system/${name/1/}" | tail -n 1) || fail "$name: $rating"
    say "$name: verified; security ${rating#*: }"
done

# first without a NATS server: it waits, says why, and is not ready
settings WatchdogSec=4 RestartSec=1 TimeoutStopSec=5 Environment=SHUTDOWN_TIMEOUT=12
in_box systemctl enable -q "$unit"
in_box systemctl start --no-block "$unit"
waits() { is ActiveState activating && [[ $(prop StatusText) == 'not ready: '*nats* ]]; }
until_true 20 waits || broken "without NATS it is $(prop ActiveState): $(prop StatusText)"
say "without NATS: activating, \"$(prop StatusText)\""
in_box systemd-run -q --unit=nats /usr/local/bin/nats-server -a 127.0.0.1
until_true 30 is ActiveState active || broken "not active with NATS there"
is StatusText ready || broken "status is $(prop StatusText)"
in_box technical-analysis-agent health --ready >/dev/null || broken "not ready"
say "NATS is there: READY=1, active, \"$(prop StatusText)\", user $(in_box ps -o user= -p "$(prop MainPID)")"
is MemoryMax 536870912 || broken "MemoryMax is $(prop MemoryMax)"

sleep 13
is NRestarts 0 || broken "restarted though nothing hung: the watchdog is not fed"
say "WatchdogSec=4: alive after 13 s, so it is fed"
in_box kill -STOP "$(prop MainPID)"
until_true 60 restarted 1 || broken "a hung process was not replaced"
logged 'Watchdog timeout' || broken "it was not the watchdog that replaced it"
say "stopped with SIGSTOP: the watchdog killed it, and it runs again"
in_box kill -KILL "$(prop MainPID)"
until_true 30 restarted 2 || broken "not started again after kill -9"
say "kill -9: it runs again"

in_box technical-analysis-agent feed --synthetic --symbols 20 --bars 500 >/dev/null 2>&1 ||
    broken "bars cannot be published"
in_box systemctl stop "$unit"
[[ $(prop Result)/$(prop ExecMainStatus)/$(prop ActiveState) == success/0/inactive ]] ||
    broken "stop ended with $(prop Result), exit code $(prop ExecMainStatus)"
logged 'everything received was finished' || broken "it did not drain"
say "stop: drained, exit code 0"

# A NATS that hangs makes the drain last as long as it may: 12 s, beyond TimeoutStopSec=5 and
# three times the watchdog. Only EXTEND_TIMEOUT_USEC and a watchdog that is fed bring it to its end.
in_box systemctl start "$unit"
in_box kill -STOP "$(in_box systemctl show -P MainPID nats.service)"
in_box systemctl stop "$unit"
in_box kill -CONT "$(in_box systemctl show -P MainPID nats.service)"
[[ $(prop Result)/$(prop ExecMainStatus) == exit-code/75 ]] ||
    broken "a long drain ended with $(prop Result), $(prop ExecMainStatus); expected exit-code, 75"
say "a drain that cannot end: neither cut at TimeoutStopSec nor by the watchdog, exit code 75"

settings RestartSec=1 Environment=TECHNICAL_RSI_PERIOD=none
in_box systemctl reset-failed "$unit"
in_box systemctl start "$unit" 2>/dev/null && broken "it started with a bad configuration"
sleep 4
[[ $(prop ActiveState)/$(prop ExecMainStatus)/$(prop NRestarts) == failed/78/0 ]] ||
    broken "a bad configuration: $(prop ActiveState), $(prop ExecMainStatus), restarts $(prop NRestarts)"
say "a bad configuration: failed with 78, not tried again"

in_box systemctl start technical-analysis@1 technical-analysis@2 technical-analysis@12 ||
    fail "the instances do not start"
for number in 1 2 12; do
    in_box technical-analysis-agent health --ready \
        --url "http://127.0.0.1:$((8080 + number))" >/dev/null ||
        fail "instance $number is not ready"
    logged "\"agent\":\"technical-analysis-[^\"]*-$number\"" "technical-analysis@$number" ||
        fail "instance $number has not its name"
done
say "three instances, each with its name and port"
in_box /src/deploy/systemd/install.sh uninstall >/dev/null || fail "uninstall"
left=$(in_box sh -c 'pgrep -f "[t]echnical-analysis-agent run"; ls /usr/local/bin/technical-analysis-agent \
    /etc/systemd/system/technical-analysis* 2>/dev/null' || true)
[[ -z $left ]] || fail "uninstall leaves $left"
for number in 1 2 12; do
    is Result success "technical-analysis@$number" || fail "instance $number did not stop in order"
done
say "uninstalled: all stopped in order, nothing left but the settings"
say "passed"
