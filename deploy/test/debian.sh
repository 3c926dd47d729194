# Sourced after lib.sh: what a test may take from Debian or Ubuntu, and how.
#
# Only root installs, only with apt-get, and nothing with DEPLOY_TEST_INSTALL=no.
# shellcheck shell=bash

readonly DOWNLOADS=$ROOT/target/deploy-test/debian
mkdir -p "$DOWNLOADS"

may_install() {
    [[ ${DEPLOY_TEST_INSTALL:-yes} != no && $(id -u) == 0 ]] && command -v apt-get >/dev/null
}

apt_install() {
    local log=$DOWNLOADS/apt.log
    export DEBIAN_FRONTEND=noninteractive
    {
        flock 8
        apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 ||
            { apt-get update -qq && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1
    } 8>/tmp/deploy-test-apt.lock || {
        tail -n 5 "$log" >&2
        return 1
    }
}

download() { (cd "$DOWNLOADS" && apt-get -o APT::Sandbox::User=root download -qq "$1"); }

# packages DIRECTORY NAME…: unpacks Debian packages there.
packages() {
    local target=$1 name
    shift
    mkdir -p "$DOWNLOADS" "$target"
    for name; do
        compgen -G "$DOWNLOADS/${name}_*.deb" >/dev/null ||
            download "$name" 2>/dev/null || { apt-get update -qq && download "$name"; }
        dpkg -x "$DOWNLOADS"/"${name}"_*.deb "$target"
    done
}
