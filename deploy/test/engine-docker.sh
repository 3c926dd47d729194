# Sourced after lib.sh: a Docker daemon with compose and buildx, or a skip that says why not.
#
# What is there is used. What is missing is installed where debian.sh may: the daemon from the
# system's own packages, the two plugins from newer ones, unpacked below target/ so that
# nothing of the system is upgraded.
# shellcheck shell=bash

# shellcheck source=deploy/test/debian.sh
. "$ROOT/deploy/test/debian.sh"

readonly ENGINE=$ROOT/target/deploy-test/docker
mkdir -p "$ENGINE"

docker_answers() { docker version >/dev/null 2>&1; }

start_daemon() {
    command -v dockerd >/dev/null || apt_install docker.io iptables || return 1
    # tests that start at once must not start two daemons
    exec 7>/tmp/deploy-test-dockerd.lock
    flock 7
    if ! docker_answers; then
        # one that is only slow to start is waited for
        if ! kill -0 "$(cat /var/run/docker.pid 2>/dev/null)" 2>/dev/null; then
            rm -f /var/run/docker.pid
            setsid dockerd >"$ENGINE/dockerd.log" 2>&1 </dev/null 7>&- &
        fi
        until_true 40 docker_answers || tail -n 3 "$ENGINE/dockerd.log" >&2
    fi
    exec 7>&-
    docker_answers
}

# A plugin of the docker command from Debian's newer release.
unpack_plugin() {
    local package=docker-$1 lists=$ENGINE/apt
    local options=(-o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null
        -o Dir::Etc::sourceparts="$ENGINE/sources" -o Dir::State::lists="$lists")
    if [[ ! -d $lists/partial ]]; then
        mkdir -p "$lists/partial" "$ENGINE/sources"
        printf '%s\n' 'Types: deb' 'URIs: http://deb.debian.org/debian' 'Suites: trixie' \
            'Components: main' 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg' >"$ENGINE/sources/newer.sources"
        apt-get "${options[@]}" update -qq || return 1
    fi
    (
        cd "$ENGINE" || exit
        apt-get "${options[@]}" download "$package" &&
            dpkg -x "$package"_*.deb unpacked &&
            mkdir -p config/cli-plugins &&
            cp "unpacked/usr/libexec/docker/cli-plugins/$package" config/cli-plugins/
        rm -rf unpacked "$package"_*.deb
        [[ -x config/cli-plugins/$package ]]
    ) >"$ENGINE/plugin.log" 2>&1
}

if ! command -v docker >/dev/null; then
    may_install || skip "docker is not installed, and may not be installed from here"
    apt_install docker.io || skip "docker is not installed, and apt-get cannot install it"
fi
if ! docker_answers; then
    [[ -z ${DOCKER_HOST:-} ]] || skip "the Docker daemon at $DOCKER_HOST does not answer"
    [[ $(id -u) == 0 ]] || skip "no Docker daemon answers (is this user allowed to use it?)"
    command -v dockerd >/dev/null || may_install || skip "no Docker daemon answers"
    start_daemon || skip "no Docker daemon answers, and none can be started here"
fi
for plugin in buildx compose; do
    docker "$plugin" version >/dev/null 2>&1 && continue
    export DOCKER_CONFIG=$ENGINE/config
    docker "$plugin" version >/dev/null 2>&1 && continue
    may_install || skip "docker has no $plugin plugin, and it may not be installed from here"
    unpack_plugin "$plugin" || skip "docker has no $plugin plugin here, and apt-get has none"
done
