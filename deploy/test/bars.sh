# Sourced after agent.sh: real bars through what a test launched, and whether every signal came out
# exactly once, as `replay` makes it.
#
# bars_begin DIRECTORY, bars_flow; whatever is to be survived; bars_rest; then bars_end for core
# delivery, or bars_end_stored for durable delivery.
# shellcheck shell=bash

readonly SIGNALS=$ROOT/deploy/test/signals.py
# some 2,500 bars in 60 parts, 30 a second: they last for nearly a minute and a half, unless hurried
readonly BARS_PARTS=60 BARS_RATE=30

# Makes the bars and what must come of them in $1, and listens to what is published.
bars_begin() {
    bars=$1
    mkdir -p "$bars"
    python3 "$SIGNALS" bars "$bars" "$BARS_PARTS" >"$bars/count" || fail "bars cannot be made"
    (cd "$bars" && NATS_URL='' "$AGENT" replay all.csv >expected 2>replay.log) || fail "replay: $(<"$bars/replay.log")"
    python3 "$SIGNALS" watch "${NATS_URL##*:}" "$bars/came" >"$bars/watch.log" 2>&1 &
    bars_watch=$!
    at_exit "kill -KILL $bars_watch"
    until_true 20 grep -q watching "$bars/watch.log" || fail "the watch does not begin: $(<"$bars/watch.log")"
}

# Publishes part after part in the background, in order, slowly unless there is a file `hurry`.
bars_flow() {
    local part rate
    for ((part = 1; part <= BARS_PARTS; part++)); do
        rate=(--rate "$BARS_RATE")
        [[ ! -e $bars/hurry ]] || rate=()
        "$AGENT" feed "${rate[@]}" "$bars/$part.csv" >>"$bars/feed.log" 2>&1 || exit 1
        echo "$part" >"$bars/fed"
    done &
    bars_feed=$!
    at_exit "kill -KILL $bars_feed"
    until_true 30 test -s "$bars/fed" || fail "bars cannot be published: $(tail -n 3 "$bars/feed.log")"
}

# Fails unless bars have flowed until now, so that what was done met work in hand.
bars_still_flow() {
    kill -0 "$bars_feed" 2>/dev/null ||
        fail "the bars were over before $1: $(tail -n 3 "$bars/feed.log"); $(cat "$bars/fed") of $BARS_PARTS parts"
}

# Publishes what is left, and returns once the server has all of it.
bars_rest() {
    touch "$bars/hurry"
    wait "$bars_feed" || fail "bars cannot be published: $(tail -n 3 "$bars/feed.log")"
    [[ $(cat "$bars/fed") == "$BARS_PARTS" ]] || fail "only $(cat "$bars/fed") of $BARS_PARTS parts were published"
}

bars_compare() {
    python3 "$SIGNALS" compare "$bars/expected" "$1" 2 >"$bars/verdict" || fail "$2: $(<"$bars/verdict")"
    say "$2: $(<"$bars/verdict")"
}

# What was heard of core delivery, after the agents have ended. At least two must have taken part.
bars_end() {
    kill -TERM "$bars_watch"
    wait "$bars_watch" || fail "the watch broke: $(<"$bars/watch.log")"
    bars_compare "$bars/came" "$1"
}

# What the stream holds of durable delivery, once it holds as much as is expected.
bars_end_stored() {
    kill -TERM "$bars_watch"
    python3 "$SIGNALS" stored "${NATS_URL##*:}" "$bars/stored" "$(wc -l <"$bars/expected")" 120 2>"$bars/stored.log" ||
        fail "the stream of signals cannot be read: $(tail -n 1 "$bars/stored.log")"
    bars_compare "$bars/stored" "$1"
}
