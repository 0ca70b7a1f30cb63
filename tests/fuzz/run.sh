#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# run.sh [SECONDS]: build the fuzz targets (fuzz-*.c) with clang's libFuzzer, ASan and UBSan, and run each for SECONDS (default 20);
# FUZZ_ONLY=NAME: that one alone.
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
flags="-std=gnu11 -g -O1 -D_GNU_SOURCE -I$src -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined"
echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n); int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return 0; }' >"$tmp/try.c"
# shellcheck disable=SC2086
"$clang" $flags -o "$tmp/try" "$tmp/try.c" 2>/dev/null || { echo "skipped: $clang has no libFuzzer"; exit 77; }

# A seed for each road through a parser: one escaped line for printf(1) each.
seeds() {
	case $1 in
	blk-parse)
		printf '%s\n' '\000\000\001' '\001\001\013' '\002\003\000' '\030\002\001' '\020\005\000' '\001\006\000\040' '\002\006\001\001' '\060\005\001'
		;;
	net-rx)
		# one slot; two; GSO; a hash and more data; an error; what is not asked for
		printf '%s\n' '\007\001\0\0\0\0\0\0\074\0' '\007\002\0\0\0\0\004\0\0\020\0\0\002\0\0\0\144\0' \
			'\007\002\0\0\0\0\012\0\0\020\001\0\250\005\001\0\0\0' \
			'\007\003\0\0\0\0\014\0\100\0\004\0\0\0\0\0\0\0\0\0\0\0\0\0\100\0' \
			'\007\001\0\0\0\0\0\0\377\177' '\0\002\0\0\0\0\014\0\0\001\001\0\250\005\001\0\0\0'
		;;
	net-tx)
		ip4='\002\0\0\0\0\001\002\0\0\0\0\002\010\0\105\0\0\050\0\0\0\0\100\006\0\0\012\0\0\001\012\0\0\002\0\001\0\002\0\0\0\0\0\0\0\0\120\020\0\0\0\0\0\0'
		ip6='\002\0\0\0\0\001\002\0\0\0\0\002\206\335\140\0\0\0\0\020\0\100'
		printf '%s\n' "\\000\\077\\001\\0\\0\\0\\0\\0\\001\\0\\001\\0\\074\\0$ip4" \
			"\\002\\077\\001\\0\\0\\0\\0\\0\\015\\0\\001\\0\\377\\017\\001\\0\\020\\0\\001\\0\\0\\0\\0\\0\\0\\0\\002\\0\\0\\0\\0\\0\\0\\0\\002\\0\\100\\0$ip4" \
			"\\000\\077\\001\\0\\0\\0\\0\\0\\001\\0\\001\\0\\377\\0$ip6" '\001\000\001\0\0\0\0\0\010\0\001\0\0\0\002\0\001\0\136\001\002\003'
		;;
	esac
}

status=0
for target in "$src"/tests/fuzz/fuzz-*.c; do
	name=$(basename "$target" .c)
	name=${name#fuzz-}
	[ -z "${FUZZ_ONLY:-}" ] || [ "$FUZZ_ONLY" = "$name" ] || continue
	files=
	for f in $(sed -n 's/^ \* links: //p' "$target"); do
		files="$files $src/$f"
	done
	# shellcheck disable=SC2086
	"$clang" $flags -o "$tmp/fuzz-$name" "$target" $files
	mkdir -p "$corpus/$name"
	i=0
	seeds "$name" | while read -r head; do
		i=$((i + 1))
		# shellcheck disable=SC2059
		printf "$head" >"$corpus/$name/seed-$i"
	done
	rc=0
	"$tmp/fuzz-$name" -max_total_time="$seconds" -max_len=4400 -artifact_prefix="$tmp/crash-" -print_final_stats=1 \
		"$corpus/$name" >"$tmp/log" 2>&1 || rc=$?
	echo "fuzz-$name:"
	grep -E 'stat::number_of_executed_units|DONE|ERROR|SUMMARY' "$tmp/log" || tail -n 5 "$tmp/log"
	[ "$rc" -eq 0 ] && continue
	status=1
	tail -n 40 "$tmp/log"
	for f in "$tmp"/crash-*; do
		[ -f "$f" ] && echo "input that does it (base64):" && base64 <"$f"
	done
done
exit $status
