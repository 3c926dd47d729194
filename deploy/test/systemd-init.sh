#!/bin/sh
# Gives systemd a control-group tree that it may write and that holds nothing but this
# container, then becomes systemd. The container has a cgroup namespace of its own.
set -e
tree=/sys/fs/cgroup
if [ -e $tree/cgroup.controllers ]; then
    mount -o remount,rw $tree
else
    # version 1: one tree per controller, mounted again from inside the namespace
    awk -v tree=$tree/ 'index($2, tree) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n 1 umount -l
    umount -l $tree
    mount -t tmpfs -o mode=755,nosuid,nodev,noexec cgroup $tree
    awk -F: '$2 != "" && $2 !~ /^name=/ {print $2}' /proc/self/cgroup | while read -r controller; do
        mkdir -p "$tree/$controller"
        mount -t cgroup -o "$controller" cgroup "$tree/$controller" || rmdir "$tree/$controller"
    done
    mkdir -p $tree/systemd
    mount -t cgroup -o none,name=systemd cgroup $tree/systemd
fi
exec /lib/systemd/systemd "$@"
