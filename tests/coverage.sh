#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# coverage.sh [DIR]: how much of the code that reads foreign bytes is run by its unit tests and by the fuzzers' kept inputs
# (tests/fuzz/corpus), a line a group of files; fails below 95 % of the lines of any group.  Built in DIR (default: forgotten) with
# gcc --coverage, without autotools; a test's comment says what it links beside what is pure.  COVERAGE_LINES=1: the lines that were not run, too.  77: something is missing here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
src=$(cd "$here/.." && pwd)
least=${COVERAGE_LEAST:-95}
for tool in gcc gcov jq pkg-config; do
	command -v $tool >/dev/null || { echo "skipped: no $tool (Debian: apt-get install gcc jq pkg-config)"; exit 77; }
done
pkg-config --exists cmocka json-c || { echo "skipped: no cmocka or json-c (Debian: apt-get install libcmocka-dev libjson-c-dev)"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
out=${1:-$tmp/build}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$src"

# The groups: each has to pass by itself.
groups()
{
	echo "ring common/ring"
	echo "span common/span"
	echo "headers and checksums common/net"
	echo "xenbus common/xenbus"
	echo "block requests backend/block/blk-parse.c backend/block/blk-req.c"
	echo "block overlaps backend/block/blk-overlap.c"
	echo "block journal backend/block/blk-journal.c"
	echo "journal backend/journal.c backend/worker/journal.c"
	echo "control plane's record backend/control/record.c"
	echo "front ends' nodes backend/block/blk-front.c backend/net/net-front.c backend/control/front-nodes.c"
	echo "nic's slots backend/net/net-tx.c backend/net/net-rx.c backend/net/net-hdr.c"
	echo "nic's rules backend/net/net-mcast.c backend/net/net-rate.c backend/net/net-target.c"
	echo "pair ring backend/net/pair-ring.c"
	echo "settings backend/control/spec.c backend/block/image-uri.c common/xen/vdev.c"
	echo "worker's socket backend/control/wire.c"
	echo "front ends' answers frontend/block/blk-rsp.c frontend/net/net-rsp.c"
}

lib=$(ls common/base/*.c common/event/*.c common/log/*.c common/metrics/*.c common/net/*.c common/ring/*.c common/span/*.c \
	common/xen/vdev.c common/xenbus/*.c backend/*.c backend/block/{blk-front,blk-journal,blk-overlap,blk-parse,blk-req,fence,image,image-uri}.c \
	backend/control/{ctl,fault,front-nodes,nodes,record,spec,wire}.c \
	backend/net/{net-front,net-hdr,net-mcast,net-pace,net-rate,net-rx,net-target,net-tx,pair-ring}.c \
	backend/net/*journal*.c backend/net/*redo*.c backend/worker/{journal,moderate,poll}.c \
	frontend/block/{blk-rsp,blk-verify}.c frontend/net/{net-probe,net-rsp}.c 2>/dev/null | grep -v /test-)
units=$(ls common/ring/test-*.c common/span/test-*.c common/net/test-*.c common/xen/test-vdev.c common/xenbus/test-*.c common/metrics/test-*.c \
	backend/block/test-{blk-*,fence,image}.c backend/control/test-{record,spec,wire}.c backend/net/test-*.c backend/worker/test-journal*.c \
	backend/test-*.c frontend/block/test-blk-rsp.c frontend/net/test-net-rsp.c 2>/dev/null || true)
targets=$(ls tests/fuzz/fuzz-*.c)

words() { sed -n "s/^ \* $1: //p" "$2" | tr '\n' ' '; }
makefile()
{
	local f o objs= all=
	echo "flags = -std=gnu11 -g -O0 --coverage -D_GNU_SOURCE -D__XEN_TOOLS__ -I$src -I$out -DSYNTH_SCRIPTDIR='\"/etc/xen/scripts\"' -DSYNTH_LIBDIR='\"/nonexistent\"' -DSYNTH_LIBEXECDIR='\"/nonexistent\"' -DSYNTH_RUNDIR='\"/nonexistent\"' $(pkg-config --cflags json-c cmocka)"
	for f in $units $targets; do all="$all run/$(basename "$f" .c)"; done
	echo "all:$all"
	for f in $lib; do objs="$objs obj/${f%.c}.o"; done
	printf 'lib.a:%s\n\t@rm -f $@\n\tar rcs $@ $^\n' "$objs"
	for f in $units $targets; do
		objs="obj/${f%.c}.o"
		case $f in tests/fuzz/*) objs="$objs obj/tests/fuzz/replay.o" ;; esac
		for o in $(words links "$f"); do objs="$objs obj/${o%.c}.o"; done
		printf 'run/%s: %s lib.a\n\t@mkdir -p run\n\tgcc --coverage -o $@ $^ %s -lpthread\n' "$(basename "$f" .c)" "$objs" "$(pkg-config --libs json-c cmocka)"
	done
	printf 'obj/%%.o: %s/%%.c config.h\n\t@mkdir -p $(dir $@)\n\tgcc $(flags) -MMD -MP -c -o $@ $<\n' "$src"
	# shellcheck disable=SC2016
	echo '-include $(shell find obj -name "*.d" 2>/dev/null)'
}
[ -e "$out/config.h" ] || echo '#define PACKAGE_VERSION "coverage"' >"$out/config.h"
makefile >"$out/coverage.mk"
make -s -C "$out" -f coverage.mk -j"$(nproc)" >"$tmp/make.log" 2>&1 || { tail -n 40 "$tmp/make.log"; exit 1; }

find "$out" -name '*.gcda' -delete
status=0
for f in $units; do
	name=$(basename "$f" .c)
	timeout 120 "$out/run/$name" >"$tmp/$name.log" 2>&1 || { echo "$name failed:"; tail -n 20 "$tmp/$name.log"; status=1; }
done
for f in $targets; do
	name=$(basename "$f" .c)
	find "tests/fuzz/corpus/${name#fuzz-}" -type f -print0 2>/dev/null | sort -z |
		xargs -0 -r timeout 120 "$out/run/$name" >"$tmp/$name.log" 2>&1 || { echo "$name failed on a kept input:"; tail -n 20 "$tmp/$name.log"; status=1; }
done

# A line that any program ran was run: objects of one source (a test may include it) are joined.
find "$out/obj" -name '*.gcno' | while read -r f; do
	(cd "$out" && gcov --json-format --stdout "$f" 2>/dev/null) |
		jq -r --arg src "$src/" '.files[] | (.file | ltrimstr($src)) as $f | .lines[] | "\($f)\t\(.line_number)\t\(.count)"'
done | awk -F'\t' '{ k = $1 "\t" $2; n[k] += $3 } END { for (k in n) print k "\t" n[k] }' | sort -t"$(printf '\t')" -k1,1 -k2,2n >"$tmp/lines"
cp "$tmp/lines" "$out/lines"

printf '%-26s %7s %7s  %6s\n' 'lines of' all run '%'
while read -r group; do
	files= name=
	for f in $group; do
		if [ -d "$f" ]; then files="$files $(ls "$f"/*.c | grep -v /test- | tr '\n' ' ')"
		elif [ -e "$f" ]; then files="$files $f"
		else case $f in */*.c) ;; *) name="$name${name:+ }$f" ;; esac
		fi
	done
	[ -n "$files" ] || continue
	awk -F'\t' -v files="$files" -v name="$name" -v least="$least" -v show="${COVERAGE_LINES:-}" '
		BEGIN { n = split(files, a, " "); for (i = 1; i <= n; i++) want[a[i]] = 1 }
		$1 in want { all[$1]++; if ($3 > 0) run[$1]++; else missed[$1] = missed[$1] " " $2 }
		END {
			for (f in want) { A += all[f]; R += run[f] }
			p = A ? 100 * R / A : 0
			printf "%-26s %7d %7d  %6.2f%s\n", name, A, R, p, p < least ? "  BELOW " least : ""
			for (f in want) { if (!all[f]) print "    " f ": in no program"; else if (show != "" && missed[f] != "") print "    " f ":" missed[f] }
			exit p < least
		}' "$tmp/lines" || status=1
done < <(groups)
awk -F'\t' '$1 !~ /test|^\// && $1 ~ /\.c$/ { a++; if ($3 > 0) r++ } END { printf "%-26s %7d %7d  %6.2f  (no limit: all that is linked)\n", "everything", a, r, a ? 100 * r / a : 0 }' "$tmp/lines"
exit $status
