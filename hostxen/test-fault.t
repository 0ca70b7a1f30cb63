#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Failures on demand (HOSTXEN_FAULT), strict mappings (HOSTXEN_STRICT), limits, and programs built with sanitizers.
. "${SYNTH_SRCDIR:-.}/hostxen/test-lib.sh"
"$hostxen" start || { echo 'Bail out! no world'; exit 1; }
all='open bind notify event share map copy'
run() { "$hostxen" run -d 1 -- "$probe" "$@" 2>&1; }

fine=$(printf '%s ok\n' $all)
is 'without a fault nothing fails' "$(run $all)" "$fine"
is 'map:2 fails the second' "$(HOSTXEN_FAULT=map:2 run open share map map map)" $'open ok\nshare ok\nmap ok\nmap Invalid argument\nmap ok'
is 'map:2+ fails all from the second on' "$(HOSTXEN_FAULT=map:2+ run open share map map map | grep -c 'map Invalid')" 2
is 'copy:1 is a general error' "$(HOSTXEN_FAULT=copy:1 run open share copy copy)" $'open ok\nshare ok\ncopy Protocol error\ncopy ok'
is 'notify:1 is lost silently' "$(HOSTXEN_FAULT=notify:1 run open bind notify event notify event)" \
	$'open ok\nbind ok\nnotify ok\nevent Connection timed out\nnotify ok\nevent ok'
is 'share:1 finds no space' "$(HOSTXEN_FAULT=share:1 run open share share)" $'open ok\nshare No space left on device\nshare ok'
is 'bind:2 fails the second' "$(HOSTXEN_FAULT=bind:2 run open bind bind)" $'open ok\nbind Invalid argument\nbind ok'
is 'several at once' "$(HOSTXEN_FAULT=share:1,map:1 run open share share map map | grep -c ' ok')" 3
is 'a limit of pages is kept' "$(HOSTXEN_GNTALLOC_LIMIT=2 run open share share share)" \
	$'open ok\nshare ok\nshare ok\nshare No space left on device'

is 'use after unmap goes unseen normally' "$(run open share stale | tail -1)" 'stale ok'
ASAN_OPTIONS=handle_segv=0 HOSTXEN_STRICT=1 run open share stale >/dev/null 2>&1
is 'but faults with HOSTXEN_STRICT' $? 139
is 'which changes nothing else' "$(HOSTXEN_STRICT=1 run $all)" "$fine"

# --- sanitizers: a program of ours built so, in a world that is not
: "${CC:=cc}"
sanitized() # NAME FLAGS...
{
	local name=$1 out
	shift
	if ! $CC -w -g "$@" -o "$tmp/probe-san" "$SYNTH_SRCDIR/hostxen/probe.c" -lxenevtchn -lxengnttab 2>"$tmp/cc.log"; then
		skip "$name" "the compiler cannot"
		return
	fi
	out=$("$hostxen" run -d 1 -- "$tmp/probe-san" $all 2>&1)
	if [[ $out == *'unexpected memory mapping'* ]]; then
		out=$(setarch -R "$hostxen" run -d 1 -- "$tmp/probe-san" $all 2>&1)
	fi
	is "$name" "$out" "$(run $all)"
}
sanitized 'a program with AddressSanitizer and UBSan runs' -fsanitize=address,undefined
sanitized 'a program with ThreadSanitizer runs' -fsanitize=thread
if command -v clang >/dev/null || command -v clang-14 >/dev/null; then
	CC=$(command -v clang || command -v clang-14)
	sanitized 'the same with clang, AddressSanitizer' -fsanitize=address,undefined
	sanitized 'the same with clang, ThreadSanitizer' -fsanitize=thread
fi
done_testing
