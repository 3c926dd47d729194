#!/usr/bin/env bash
# Puts the binary, the units and a first environment file in their places, or takes them away.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

help() {
    cat <<'TEXT'
usage: deploy/systemd/install.sh [install | uninstall]

  install     copies the binary, the units, their documentation, and an environment file where
              there is none; starts nothing. Run again it upgrades: then restart the units
  uninstall   stops and removes all that, except /etc/technical-analysis and the logs

  TECHNICAL_AGENT_BIN   the binary (default: target/release, built when missing)
  DESTDIR               install below this directory, for packages; systemctl is not called
TEXT
}

bin=${DESTDIR:-}/usr/local/bin/technical-analysis-agent
units=${DESTDIR:-}/etc/systemd/system
settings=${DESTDIR:-}/etc/technical-analysis
docs=${DESTDIR:-}/usr/local/share/doc/technical-analysis-agent

systemctl_if_live() {
    if [[ -z ${DESTDIR:-} && -d /run/systemd/system ]]; then systemctl "$@"; fi
}

case ${1:-install} in
    install)
        from=${TECHNICAL_AGENT_BIN:-${CARGO_TARGET_DIR:-$root/target}/release/technical-analysis-agent}
        [[ -x $from ]] || (cd "$root" && cargo build --release --locked)
        # replaced, not overwritten: a running agent keeps the file it was started from
        install -D -m 755 "$from" "$bin.new"
        mv "$bin.new" "$bin"
        install -D -m 644 -t "$units" "$here/technical-analysis.service" "$here/technical-analysis@.service"
        install -D -m 644 -t "$docs" "$root/docs/deployment/systemd.md"
        if [[ ! -e $settings/environment ]]; then
            install -D -m 600 "$here/environment" "$settings/environment"
        fi
        systemctl_if_live daemon-reload
        echo "installed; next: edit $settings/environment, then: systemctl enable --now technical-analysis"
        ;;
    uninstall)
        systemctl_if_live disable --now technical-analysis.service 2>/dev/null || :
        systemctl_if_live stop 'technical-analysis@*.service' || :
        rm -f "$bin" "$units"/technical-analysis{,@}.service \
            "$units"/multi-user.target.wants/technical-analysis{,@*}.service
        rm -rf "$docs"
        systemctl_if_live daemon-reload
        echo "removed; $settings and the logs are kept"
        ;;
    -h | --help) help ;;
    *)
        help >&2
        exit 64
        ;;
esac
