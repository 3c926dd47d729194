#!/usr/bin/env bash
# Proves the image: built from docker/Dockerfile with the repository as its context, small, not
# root, on a read-only root, healthy by its own probe, and drained by `docker stop`.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=deploy/test/engine-docker.sh
. "$ROOT/deploy/test/engine-docker.sh"
# shellcheck source=deploy/test/base-images.sh
. "$ROOT/deploy/test/base-images.sh"
need curl

readonly OURS_AT_MOST=$((25 * 1000 * 1000)) run=ta-image-test-$$
given=${AGENT_IMAGE:-}
from=$SECONDS
agent_image
say "image $AGENT_IMAGE after $((SECONDS - from)) s"

of_image() { docker image inspect -f "$1" "$AGENT_IMAGE"; }
expect() { [[ $2 == "$3" ]] || fail "$1 is '$2', not '$3'"; }

expect user "$(of_image '{{.Config.User}}')" 65532:65532
expect "stop signal" "$(of_image '{{.Config.StopSignal}}')" SIGTERM
expect "health check" "$(of_image '{{json .Config.Healthcheck.Test}}')" \
    '["CMD","/usr/local/bin/technical-analysis-agent","health","--live"]'
of_image '{{join .Config.Env "\n"}}' | grep -qx HTTP_ADDR=0.0.0.0:8080 || fail "HTTP_ADDR is not set"
# our layers, without those of the base
ours=$(docker history --no-trunc --human=false --format '{{.Size}} {{.CreatedBy}}' "$AGENT_IMAGE" |
    awk '/COPY/ { sum += $1 } END { printf "%d", sum }')
((ours > 0 && ours <= OURS_AT_MOST)) || fail "our layers have $ours bytes, allowed are $OURS_AT_MOST"
say "$(numfmt --to=si "$ours")B of ours, $(of_image '{{.Size}}' | numfmt --to=si)B in all"

locked_down=(--read-only --cap-drop ALL --security-opt no-new-privileges --network none)
version=$(docker run --rm "${locked_down[@]}" "$AGENT_IMAGE" --version)
expect "label version" "$(of_image '{{index .Config.Labels "org.opencontainers.image.version"}}')" \
    "$(awk '{ print $2 }' <<<"$version")"
if [[ -z $given ]]; then
    [[ $version == *"git $BUILD_GIT,"* ]] || fail "--version does not name $BUILD_GIT: $version"
    expect "label revision" "$BUILD_GIT" \
        "$(of_image '{{index .Config.Labels "org.opencontainers.image.revision"}}')"
fi
say "$version"
if docker run --rm --entrypoint /bin/sh "$AGENT_IMAGE" -c true 2>/dev/null; then
    fail "the image holds a shell"
fi
docker run --rm "${locked_down[@]}" -v "$ROOT/tests/data/bars:/bars:ro" "$AGENT_IMAGE" \
    replay /bars/fb_1d.csv | grep -c '"symbol":"FB"' | grep -qx 147 ||
    fail "196 bars must give 147 signals: the first with the fiftieth"
say "replays without a network, on a read-only root"

base_image nats
at_exit "docker rm -f $run-agent $run-nats; docker network rm $run"
docker network create "$run" >/dev/null
docker run -d --name "$run-agent" --network "$run" --read-only --cap-drop ALL \
    --security-opt no-new-privileges --memory 512m --cpus 1 -e NATS_URL=nats://broker:4222 \
    -p 127.0.0.1::8080 "$AGENT_IMAGE" >/dev/null
health() { docker inspect -f '{{.State.Health.Status}}' "$run-agent"; }
is_health() { [[ $(health) == "$1" ]]; }
http=$(docker port "$run-agent" 8080)
until_true 20 curl -fsS "http://$http/livez" || fail "/livez does not answer"
until_true 120 is_health healthy || fail "without NATS the image says it is $(health)"
asked() { docker exec "$run-agent" /usr/local/bin/technical-analysis-agent health "$@" >/dev/null; }
if asked || asked --ready; then fail "without NATS it says it is well"; fi
docker run -d --name "$run-nats" --network "$run" --network-alias broker "$IMAGE" --jetstream \
    >/dev/null
asked --ready --wait 60 || fail "with NATS it is not ready"
asked || fail "with NATS it is ready, and not healthy"
# longer than interval × retries: an agent whose NATS is away must not be taken for dead
docker stop -t 5 "$run-nats" >/dev/null
sleep 25
is_health healthy || fail "without NATS the image says it is $(health)"
if asked; then fail "without NATS it says it is well"; fi
docker start "$run-nats" >/dev/null
asked --ready --wait 60 || fail "it does not find NATS again"
say "alive and not ready without NATS, ready once NATS is there, alive while NATS is away"
expect "memory limit as exported" "$(curl -fsS "http://$http/metrics" |
    awk '$1 == "technical_memory_limit_bytes" { printf "%d", $2 }')" $((512 * 1024 * 1024))
docker stop -t 30 "$run-agent" >/dev/null
expect "exit code" "$(docker inspect -f '{{.State.ExitCode}}' "$run-agent")" 0
docker logs "$run-agent" 2>&1 | grep -q '"message":"stopped; everything received was finished"' ||
    fail "the log does not end with the drain"
say "drained by docker stop, exit code 0"
docker run --name "$run-wrong" -e TECHNICAL_RSI_PERIOD=x "$AGENT_IMAGE" >/dev/null 2>&1 || code=$?
docker rm -f "$run-wrong" >/dev/null
expect "exit code of a bad configuration" "${code:-0}" 78
say "passed in $SECONDS s"
