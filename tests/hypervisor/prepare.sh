#!/usr/bin/env bash
# prepare.sh - make the root file systems for the box that plays the hypervisor, and for its guests.
#
#   prepare.sh OUT [RELEASE]   OUT must not exist; about 100 s, half a gigabyte. RELEASE is bookworm (Debian 12, as
#                              under Proxmox VE 8: systemd 252, LXC 5) or trixie (Debian 13, as under 9: 257, LXC 6)
#
#   OUT/root            Debian with systemd, LXC and the QEMU guest agent: for the box, for privileged containers
#                       and for virtual machines
#   OUT/root-100000     the same with owners moved by 100000, for unprivileged containers
#
# Needs: Debian 12, root, bash, python3; installs debootstrap with apt-get. Nothing is downloaded but Debian's packages.
set -euo pipefail

out=$(realpath -m -- "${1:?usage: prepare.sh OUT [RELEASE]}")
release=${2:-bookworm}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ ! -e "$out" ] || { echo "prepare: $out exists already" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive

command -v debootstrap >/dev/null || {
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
}
# the same mirror as this machine's own sources
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/\?$' || true)
packages=systemd,systemd-sysv,dbus,lxc,uidmap,qemu-guest-agent,python3-minimal,libpython3-stdlib,procps,iproute2
packages=$packages,openssl,ca-certificates

mkdir -p "$out"
debootstrap --variant=minbase --include="$packages" "$release" "$out/root" ${mirror:+"$mirror"} >"$out/log" || {
  tail -n 20 "$out/log" >&2
  exit 1
}
rm -rf "$out"/root/var/cache/apt/archives/*.deb "$out"/root/var/lib/apt/lists/*

# What has no business in a box or a container, or cannot work there.
disabled=(lxc.service lxc-net.service qemu-guest-agent.service)
masked=(lxc-net.service lxc-monitord.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount
  sys-fs-fuse-connections.mount systemd-modules-load.service apt-daily.timer apt-daily-upgrade.timer
  dpkg-db-backup.timer e2scrub_all.timer)
systemctl --root="$out/root" --quiet disable "${disabled[@]}" 2>/dev/null
systemctl --root="$out/root" --quiet mask "${masked[@]}" 2>/dev/null
# Every instance gets its own.
rm -f "$out/root/etc/machine-id" "$out/root/var/lib/dbus/machine-id"
: >"$out/root/etc/machine-id"

cp -a "$out/root" "$out/root-100000"
python3 "$here/shift.py" "$out/root-100000" 100000
