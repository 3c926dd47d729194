#!/usr/bin/env bash
# The bridges of examples/bridges, each as a user starts it: a server here plays the vendor's messages (see
# deploy/test/bridges.py), a real NATS server and agent take them, and the signals are those of the bars.
# Needs no network but PyPI, for what examples/bridges/requirements.txt names.
# shellcheck source=deploy/test/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=deploy/test/agent.sh
. "$(dirname "${BASH_SOURCE[0]}")/agent.sh"

requirements=$ROOT/examples/bridges/requirements.txt
venv=$ROOT/target/deploy-test/bridges
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
    rm -rf "$venv"
    { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet -r "$requirements"; } ||
        fail "what $requirements names cannot be installed"
    cp "$requirements" "$venv/requirements.txt"
fi

dir=$(mktemp -d)
at_exit "rm -rf '$dir'"
start_nats "$dir/nats"
mkdir "$dir/agent"
(cd "$dir/agent" && TECHNICAL_DELIVERY=core HTTP_ADDR=off exec "$AGENT" run >"$dir/agent.log" 2>&1) &
at_exit "kill -KILL $!"
until_true 30 grep -q '"message":"ready"' "$dir/agent.log" || fail "the agent is not ready: $(tail -n 3 "$dir/agent.log")"

"$venv/bin/python" "$ROOT/deploy/test/bridges.py" "$AGENT" "$dir" ||
    fail "a bridge does not do what it should; the agent says: $(grep -v '"INFO"' "$dir/agent.log" | tail -n 5)"
say "passed"
