#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every libxen* function that our programs, xenstored and QEMU import is bound to libhostxen.so when they run on hostxen.
# A preload with the wrong symbol version, or without the symbol, is bypassed silently: the real library is called, and
# looks for a hypervisor. libxenstore is meant to be the real one (it talks to the real xenstored).
# And of the functions that later Xens no longer have our programs import none: else they would not build there.
#
# The dynamic linker is asked what it would bind (LD_TRACE_LOADED_OBJECTS): the programs themselves do not run.
set -u
lib=$SYNTH_BUILDDIR/hostxen/.libs/libhostxen.so
served='^(xc_|xenevtchn_|xengnttab_|xengntshr_|xenforeignmemory_|xendevicemodel_|xencall_|xentoolcore_restrict_all)'
gone='^xc_domain_getinfo$' # with Xen 4.18
fails=0 checked=0 total=0

rtld=$(readelf -lW "$SYNTH_BUILDDIR/hostxen/hostxen" | sed -nE 's/.*interpreter: ([^]]+)\].*/\1/p')
[ -x "$rtld" ] || { echo "no dynamic linker found"; exit 77; }
refused=$(nm -D --defined-only "$lib" | sed -n 's/.* hx_stub_//p')

# SYMBOL FILE of everything of libxen* that object $1 is bound to, with preload $2
bindings() {
	LD_TRACE_LOADED_OBJECTS=1 LD_WARN=yes LD_BIND_NOW=1 LD_DEBUG=bindings LD_PRELOAD=$2 "$rtld" "$1" 2>&1 |
		sed -nE "s/.*binding file ([^ ]+) \[0\] to ([^ ]+) \[0\]: normal symbol .([A-Za-z0-9_]+)'.*/\1 \3 \2/p" |
		awk -v obj="$1" '$1 == obj { print $2, $3 }' | grep -E "$served" | sort -u
}

# check OBJECT ours|strict|lax: a lax one (QEMU) may import what hostxen only refuses, since it does not call that here
check() {
	local sym file n=0
	[ -e "$1" ] || return 0
	checked=$((checked + 1))
	while read -r sym file; do
		n=$((n + 1))
		if [ "$file" != "$lib" ]; then
			echo "FAIL: $1: $sym is bound to $file"
			fails=$((fails + 1))
		elif [ "$2" = ours ] && grep -q "$gone" <<<"$sym"; then
			echo "FAIL: $1: later Xens have no $sym"
			fails=$((fails + 1))
		elif [ "$2" != lax ] && grep -qx "$sym" <<<"$refused"; then
			echo "FAIL: $1: $sym exists in libhostxen.so but is not served"
			fails=$((fails + 1))
		fi
	done < <(bindings "$1" "$lib")
	# the count of what the object imports, by another way, so that a change of the linker's words is noticed
	local want
	want=$(nm -D --undefined-only "$1" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -cE "$served")
	if [ "$n" != "$want" ]; then
		echo "FAIL: $1: imports $want functions of libxen*, $n were seen bound"
		fails=$((fails + 1))
	fi
	total=$((total + n))
	echo "$1: $n functions"
}

# Can it fail? Without the preload everything is bound elsewhere.
conform=$SYNTH_BUILDDIR/tests/conform/conform
[ "$(bindings "$conform" '' | awk -v l="$lib" '$2 != l' | wc -l)" -gt 10 ] || {
	echo "FAIL: no bindings seen without the preload"
	exit 1
}
check "$conform" ours
while read -r f; do
	check "$f" ours
done < <(for d in backend frontend toolstack; do
	find "$SYNTH_BUILDDIR/$d" -type f \( -perm -u+x -o -name '*.so' \) ! -name '*.o' ! -name 'lt-*'
done | while read -r f; do [ "$(head -c4 "$f" | tail -c3)" = ELF ] && echo "$f"; done | sort -u)
for f in /usr/lib/xen-*/bin/xenstored; do check "$f" strict; done
for f in /usr/lib/xen-*/bin/vchan-socket-proxy /usr/lib/*/libxenvchan.so.*.*; do check "$f" strict; done
for f in /usr/libexec/xen-qemu-system-i386 /usr/lib/xen/bin/qemu-system-i386; do check "$f" lax; done

echo "$checked objects, $total bindings, $fails failures"
[ "$total" -gt 20 ] && [ "$fails" = 0 ]
