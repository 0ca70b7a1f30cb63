#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh [SECONDS]: build the fuzz targets with clang's libFuzzer, ASan and UBSan, and run each for SECONDS (default 20).
# New findings are kept in $FUZZ_CORPUS (default: forgotten). 77: no clang with libFuzzer here.
set -eu
seconds=${1:-20}
src=$(cd "$(dirname "$0")/../.." && pwd)
clang=
for c in ${CLANG:-} clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
	command -v "$c" >/dev/null 2>&1 && clang=$c && break
done
[ -n "$clang" ] || { echo "skipped: no clang (Debian: apt-get install clang)"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
corpus=${FUZZ_CORPUS:-$tmp/corpus}
mkdir -p "$corpus/blk-parse"
flags="-std=gnu11 -g -O1 -D_GNU_SOURCE -I$src -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n); int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0; }' >"$tmp/try.c"
# shellcheck disable=SC2086
"$clang" $flags -o "$tmp/try" "$tmp/try.c" 2>/dev/null || { echo "skipped: $clang has no libFuzzer"; exit 77; }
# shellcheck disable=SC2086
"$clang" $flags -o "$tmp/fuzz-blk-parse" "$src/tests/fuzz/fuzz-blk-parse.c" "$src/backend/block/blk-parse.c"
# A seed for each road through the parser.
i=0
for head in '\000\000\001' '\001\001\013' '\002\003\000' '\030\002\001' '\020\005\000' '\001\006\000\040' '\002\006\001\001' '\060\005\001'; do
	i=$((i + 1))
	# shellcheck disable=SC2059
	printf "$head" >"$corpus/blk-parse/seed-$i"
done
status=0
"$tmp/fuzz-blk-parse" -max_total_time="$seconds" -max_len=4400 -artifact_prefix="$tmp/crash-" -print_final_stats=1 \
	"$corpus/blk-parse" >"$tmp/log" 2>&1 || status=$?
grep -E 'stat::number_of_executed_units|DONE|ERROR|SUMMARY' "$tmp/log" || tail -n 5 "$tmp/log"
if [ "$status" -ne 0 ]; then
	tail -n 40 "$tmp/log"
	for f in "$tmp"/crash-*; do
		[ -f "$f" ] && echo "input that does it (base64):" && base64 <"$f"
	done
	exit 1
fi
