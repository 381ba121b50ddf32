#!/usr/bin/env bash
# build-step-ca.sh - build a real step-ca server from Debian's own library packages (no download but apt's).
#
#   build-step-ca.sh 0.19.0 OUT    Debian 12's packages and Go 1.19; about 1 minute on an empty machine
#   build-step-ca.sh 0.30.2 OUT    Debian sid's packages and Go in a throw-away chroot; about 3 minutes
#
# OUT is the path of the binary to write. Needs: Debian 12, root, bash; installs what else it needs with apt-get.
# The binary takes step-ca's usual arguments (CONFIG, --password-file FILE, ...) and reports its version.
set -euo pipefail

version=${1:?usage: build-step-ca.sh 0.19.0|0.30.2 OUT}
out=$(realpath -m -- "${2:?usage: build-step-ca.sh 0.19.0|0.30.2 OUT}")
mkdir -p "$(dirname "$out")"
work=$(mktemp -d)
export DEBIAN_FRONTEND=noninteractive

write_main() { # $1: directory, $2: import path of the `step` package, $3: of softkms, $4: extra statement
  mkdir -p "$1"
  cat > "$1/main.go" <<GO
// A step-ca server: the stock start command of Debian's smallstep library, nothing added.
package main

import (
	"flag"
	"fmt"
	"os"

	"$2"
	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/commands"
	"github.com/urfave/cli"

	_ "$3"
	_ "github.com/smallstep/certificates/cas/softcas"
	_ "github.com/smallstep/certificates/cas/stepcas"
)

func main() {
	step.Set("Smallstep CA", "$version", "debian")
	authority.GlobalVersion.Version = "$version"
	$4
	args := flag.NewFlagSet("step-ca", flag.ContinueOnError)
	_ = args.Parse(os.Args) // stops at the program name, which the command then drops
	if err := commands.AppCommand.Run(cli.NewContext(cli.NewApp(), args, nil)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
GO
}

case $version in
  0.19.0)
    trap 'rm -rf "$work"' EXIT
    dpkg -s golang-go golang-github-smallstep-certificates-dev >/dev/null 2>&1 || {
      apt-get update -qq
      apt-get install -y -qq --no-install-recommends golang-go gcc libc6-dev golang-github-smallstep-certificates-dev >/dev/null
    }
    write_main "$work" go.step.sm/cli-utils/step github.com/smallstep/certificates/kms/softkms ''
    # Go 1.19 warns about the library's own C code; its words matter only when the build fails
    (cd "$work" && GO111MODULE=off GOPATH=/usr/share/gocode GOFLAGS=-buildvcs=false go build -o "$out" . 2>log) \
      || { cat "$work/log" >&2; exit 1; }
    ;;
  0.30.2)
    root=$work/sid
    trap 'umount "$root/proc" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
    command -v debootstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq --no-install-recommends debootstrap >/dev/null; }
    # the same mirror as this machine's own sources
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/\?$' || true)
    debootstrap --variant=minbase sid "$root" ${mirror:+"$mirror"} >/dev/null
    mount -t proc proc "$root/proc"
    chroot "$root" sh -c 'apt-get -o Acquire::Check-Valid-Until=false update -qq && apt-get install -y -qq --no-install-recommends golang-go golang-github-smallstep-certificates-dev >/dev/null'
    have=$(chroot "$root" dpkg-query -W -f '${Version}' golang-github-smallstep-certificates-dev)
    case $have in "$version"-*) ;; *) echo "build-step-ca: sid now ships $have, not $version; building that" >&2; version=${have%-*} ;; esac
    write_main "$root/build" github.com/smallstep/cli-utils/step go.step.sm/crypto/kms/softkms \
      'if err := step.Init(); err != nil { fmt.Fprintln(os.Stderr, err); os.Exit(1) }'
    chroot "$root" sh -c 'cd /build && HOME=/tmp GO111MODULE=off GOPATH=/usr/share/gocode CGO_ENABLED=0 go build -o step-ca .'
    install -m 0755 "$root/build/step-ca" "$out"
    ;;
  *) echo "build-step-ca: unknown version $version" >&2; exit 2 ;;
esac
echo "built step-ca $version: $out"
