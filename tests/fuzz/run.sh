#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh [SECONDS]: build the fuzz targets (fuzz-*.c) with clang's libFuzzer, ASan and UBSan, and run each for SECONDS (default 20),
# as many at once as there are CPUs.  Each starts from tests/fuzz/corpus/NAME, all of which it runs first.
# FUZZ_ONLY="NAME...": those alone.  New findings are kept in $FUZZ_CORPUS, what is built in $FUZZ_BUILD (default: forgotten).
# A line a target: executions, edges covered, inputs that make a difference.  77: no clang with libFuzzer here.
#
# run.sh --minimise: put the least set of inputs that covers what corpus/NAME and $FUZZ_CORPUS/NAME cover into corpus/NAME.
set -eu
minimise=
[ "${1:-}" != --minimise ] || { minimise=1; shift; }
seconds=${1:-20}
here=$(cd "$(dirname "$0")" && pwd)
src=$(cd "$here/../.." && pwd)
clang=
for c in ${CLANG:-} clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
	command -v "$c" >/dev/null 2>&1 && clang=$c && break
done
[ -n "$clang" ] || { echo "skipped: no clang (Debian: apt-get install clang)"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
corpus=${FUZZ_CORPUS:-$tmp/corpus} out=${FUZZ_BUILD:-$tmp/build}
mkdir -p "$corpus" "$out"
echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n); int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0; }' >"$tmp/try.c"
"$clang" -fsanitize=fuzzer,address,undefined -o "$tmp/try" "$tmp/try.c" 2>/dev/null || { echo "skipped: $clang has no libFuzzer"; exit 77; }

names=
for target in "$here"/fuzz-*.c; do
	name=$(basename "$target" .c)
	name=${name#fuzz-}
	[ -z "${FUZZ_ONLY:-}" ] || [[ " $FUZZ_ONLY " == *" $name "* ]] || continue
	names="$names $name"
done

# What is pure, or nearly: targets find the rest of what they need here.
lib=$(cd "$src" && ls common/base/*.c common/event/*.c common/log/*.c common/metrics/*.c common/net/*.c common/ring/*.c common/span/*.c \
	common/xen/vdev.c common/xenbus/*.c backend/*.c backend/block/{blk-front,blk-journal,blk-overlap,blk-parse,blk-req,image-uri}.c \
	backend/control/{fault,front-nodes,nodes,spec,wire}.c backend/net/{net-front,net-hdr,net-mcast,net-pace,net-rate,net-rx,net-target,net-tx,pair-ring}.c \
	backend/net/*journal*.c backend/net/*redo*.c backend/worker/{journal,moderate,poll}.c \
	frontend/block/{blk-rsp,blk-verify}.c frontend/net/{net-probe,net-rsp}.c 2>/dev/null | grep -v /test-)
words() { sed -n "s/^ \* $1: //p" "$here/fuzz-$2.c" | tr '\n' ' '; }
# Objects are shared between targets; headers count too (-MMD).
makefile()
{
	local name f objs libobjs= all=
	for f in $lib; do libobjs="$libobjs obj/${f%.c}.o"; done
	echo '#define PACKAGE_VERSION "fuzz"' >"$tmp/config.h"
	cmp -s "$tmp/config.h" "$out/config.h" || cp "$tmp/config.h" "$out/config.h"
	echo "flags = -std=gnu11 -g -O1 -D_GNU_SOURCE -D__XEN_TOOLS__ -DFUZZING -I$src -I$out -Wall -Wno-unknown-warning-option -fno-sanitize-recover=undefined -DSYNTH_SCRIPTDIR='\"/etc/xen/scripts\"' -DSYNTH_LIBDIR='\"/nonexistent\"' -DSYNTH_LIBEXECDIR='\"/nonexistent\"' -DSYNTH_RUNDIR='\"/nonexistent\"' $(pkg-config --cflags json-c 2>/dev/null || true)"
	for name in $names; do all="$all fuzz-$name"; done
	echo "all:$all"
	printf 'lib.a:%s\n\t@rm -f $@\n\tar rcs $@ $^\n' "$libobjs"
	for name in $names; do
		objs=
		for f in "tests/fuzz/fuzz-$name.c" $(words links "$name"); do
			objs="$objs obj/${f%.c}.o"
		done
		printf 'fuzz-%s:%s lib.a\n\t%s -fsanitize=fuzzer,address,undefined -o $@ $^ %s -lpthread\n' "$name" "$objs" "$clang" \
			"$(for f in $(words needs "$name"); do pkg-config --libs "$f"; done | tr '\n' ' ')"
	done
	printf 'obj/%%.o: %s/%%.c config.h\n\t@mkdir -p $(dir $@)\n\t%s $(flags) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<\n' "$src" "$clang"
	# shellcheck disable=SC2016
	echo '-include $(shell find obj -name "*.d" 2>/dev/null)'
}
makefile >"$tmp/fuzz.mk"
cmp -s "$tmp/fuzz.mk" "$out/fuzz.mk" || cp "$tmp/fuzz.mk" "$out/fuzz.mk"
make -s -C "$out" -f fuzz.mk -j"$(nproc)" >"$tmp/make.log" 2>&1 || { tail -n 40 "$tmp/make.log"; exit 1; }
cat "$tmp/make.log"

if [ -n "$minimise" ]; then
	for name in $names; do
		mkdir -p "$tmp/min/$name" "$corpus/$name" "$here/corpus/$name"
		"$out/fuzz-$name" -merge=1 -use_counters=0 -max_len=4400 "$tmp/min/$name" "$here/corpus/$name" "$corpus/$name" >"$tmp/log" 2>&1 ||
			{ echo "fuzz-$name:"; tail -n 20 "$tmp/log"; exit 1; }
		# those that found a bug stay, by their names; others have no meaning but their bytes
		find "$here/corpus/$name" -type f -not -name 'bug-*' -delete
		for f in "$tmp/min/$name"/*; do
			cp "$f" "$here/corpus/$name/$(basename "$f" | cut -c1-12)"
		done
		echo "fuzz-$name: $(find "$here/corpus/$name" -type f | wc -l) inputs, $(cat "$here/corpus/$name"/* | wc -c) bytes"
	done
	exit 0
fi

# one NAME: its line into $tmp/NAME.line; what went wrong into $tmp/NAME.bad
export TMPDIR=$tmp
one()
{
	local name=$1 log=$tmp/$1.log rc=0 f
	mkdir -p "$corpus/$name" "$tmp/crash/$name"
	"$out/fuzz-$name" -max_total_time="$seconds" -max_len=4400 -timeout=20 -rss_limit_mb=1024 -artifact_prefix="$tmp/crash/$name/" \
		-print_final_stats=1 "$corpus/$name" "$here/corpus/$name" >"$log" 2>&1 || rc=$?
	awk -v name="$name" '/cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") { split($(i + 1), c, "/"); corp = c[1] } } }
		/stat::number_of_executed_units/ { n = $2 } /stat::average_exec_per_sec/ { s = $2 }
		END { printf "fuzz-%-12s %11d executions (%d/s), %5d edges, %4d inputs\n", name, n, s, cov, corp }' "$log" >"$tmp/$name.line"
	[ "$rc" -ne 0 ] || return 0
	{
		echo "fuzz-$name FAILED:"
		grep -vE '^#[0-9]+|^NEW_FUNC|^INFO' "$log" | tail -n 60
		for f in "$tmp/crash/$name"/*; do
			[ -f "$f" ] && echo "input that does it (base64):" && base64 <"$f"
		done
	} >"$tmp/$name.bad"
}

running=0
for name in $names; do
	mkdir -p "$here/corpus/$name" 2>/dev/null || true
	one "$name" &
	running=$((running + 1))
	if [ "$running" -ge "$(nproc)" ]; then
		wait -n
		running=$((running - 1))
	fi
done
wait
status=0
for name in $names; do
	cat "$tmp/$name.line" 2>/dev/null || true
	[ ! -s "$tmp/$name.bad" ] || { cat "$tmp/$name.bad"; status=1; }
done
awk '{ n += $2 } END { printf "%d targets, %d executions\n", NR, n }' "$tmp"/*.line
exit $status
