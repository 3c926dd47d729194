# systemd as PID 1, and nothing that needs hardware.
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends \
        systemd systemd-sysv dbus procps >/dev/null \
    && systemctl mask -q systemd-udevd.service systemd-udevd-kernel.socket \
        systemd-udevd-control.socket systemd-logind.service systemd-resolved.service \
        systemd-timesyncd.service getty.target console-getty.service dev-hugepages.mount \
        dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
        sys-fs-fuse-connections.mount \
    && systemctl set-default -q multi-user.target
COPY --chmod=755 systemd-init.sh /init.sh
ENV container=docker
STOPSIGNAL SIGRTMIN+3
ENTRYPOINT ["/init.sh"]
