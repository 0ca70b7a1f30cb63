#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# tools/setup.sh [configure options]: everything needed to build and test, then the build itself, in ./build
# (--no-build: all but that).
#
# On Debian 12 what is missing is installed by apt (as root).  Elsewhere install the equivalents of `packages` below and
# set SYNTH_NO_APT=1.  When all is there and nothing has changed it takes a second.  demo, check and bench run it first.
set -euo pipefail
cd "$(dirname "$0")/.."

packages='autoconf automake libtool pkg-config gcc libc6-dev binutils make perl cpio kmod qemu-system-x86 libxen-dev xen-utils-4.17 xenstore-utils qemu-system-xen
liburing-dev libnbd-dev libnbd-bin nbdkit nbdkit-plugin-dev libjson-c-dev libsmartcols-dev libcmocka-dev libseccomp-dev libcap-ng-dev
fio e2fsprogs jq strace qemu-utils clang-14 libclang-rt-14-dev clang-format patch procps util-linux bsdextrautils xz-utils iproute2 iputils-ping iperf3'

die() { printf 'setup: %s\n' "$@" >&2; exit 1; }

missing=
if [ -z "${SYNTH_NO_APT:-}" ] && command -v dpkg-query >/dev/null; then
	have=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p')
	for p in $packages; do
		grep -qxF "$p" <<<"$have" || missing="$missing $p"
	done
fi
if [ -n "$missing" ]; then
	install="apt-get install -y --no-install-recommends$missing"
	[ "$(id -u)" = 0 ] || die "these packages are missing:$missing" "install them as root:  $install"
	echo "setup: installing$missing"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	export DEBIAN_FRONTEND=noninteractive
	if ! { apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } </dev/null >"$log" 2>&1; then
		tail -n 15 "$log" >&2
		die "apt could not install$missing" 'on Debian 12 with the main archive reachable they install; elsewhere install the equivalents and set SYNTH_NO_APT=1'
	fi
fi

log=build/setup.log
mkdir -p build
quietly() # WHAT CMD...
{
	local what=$1
	shift
	"$@" >>"$log" 2>&1 || { tail -n 25 "$log" >&2; die "$what failed; all of its output is in $log"; }
}
: >"$log"
newer() { [ ! -e "$2" ] || [ -n "$(find $1 -newer "$2" -print -quit)" ]; } # FILES THAN
if newer 'configure.ac Makefile.am' configure || [ ! -e Makefile.in ]; then
	quietly autoreconf autoreconf -fi
fi
[ "${1:-}" != --no-build ] || exit 0
if [ ! -e build/Makefile ] || [ $# -gt 0 ]; then
	echo 'setup: configuring and building in ./build'
	quietly configure env -C build ../configure "$@"
fi
quietly make make -C build -j"$(nproc)"
