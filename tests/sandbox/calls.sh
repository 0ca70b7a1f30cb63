# SPDX-License-Identifier: LGPL-2.1-or-later
# calls.sh - sourced by calls-*.t after world.sh: workers run below strace, and what they call is held against their table
# (--list-calls).  A call too few in it kills a worker; a call too many is told, unless the test gives a reason why it cannot be seen.
#
#	trace_workers synth-blkd-worker
#	...the usual I/O...
#	calls_hold synth-blkd-worker 'CALL REASON'...
command -v strace >/dev/null || skip_all 'strace is not installed'
[ $slow = 1 ] || skip_all 'a build with sanitizers has no filter'
strace -qq true 2>/dev/null || skip_all 'nothing can be traced here'

trace_workers() # PROGRAM
{
	mkdir -p "$W/traced" "$W/trace"
	cat >"$W/traced/$1" <<WRAP
#!/bin/sh
case \$1 in --reads-journal | --list-calls) exec "$SYNTH_BUILDDIR/backend/$1" "\$@" ;; esac
exec strace -f -qq -o "$W/trace/log.\$(cat /proc/sys/kernel/random/uuid)" "$SYNTH_BUILDDIR/backend/$1" "\$@"
WRAP
	chmod +x "$W/traced/$1"
	export SYNTH_LIBEXECDIR=$W/traced
}

# The names of what was called once the filter was there, each once.
called()
{
	local f
	for f in "$W"/trace/log.*; do
		sed -E '1,/seccomp\(SECCOMP_SET_MODE_FILTER, .*= 0$/d' "$f"
	done | sed -nE 's/^[0-9]+ +(<\.\.\. )?([a-z_0-9]+)(\(| resumed).*/\2/p' | sort -u
}

calls_hold() # PROGRAM [CALL REASON]...
{
	local list call why killed
	list=$("$SYNTH_BUILDDIR/backend/$1" --list-calls | awk '{ print $1 }' | sort -u)
	shift
	killed=$(grep -l 'killed by SIGSYS' "$W"/trace/log.* 2>/dev/null)
	if [ -z "$killed" ]; then
		pass 'no worker was killed for a call that is not in its table'
	else
		fail 'no worker was killed for a call that is not in its table' "$(for f in $killed; do echo "$f:"; tail -n 12 "$f" | cut -c1-160; done)"
	fi
	called >"$W/called"
	check 'the workers were traced' [ "$(wc -l <"$W/called")" -gt 15 ]
	for call in $list; do
		why=$(printf '%s\n' "$@" | sed -n "s/^$call //p")
		if grep -qx "$call" "$W/called"; then
			pass "$call is needed"
		elif [ -n "$why" ]; then
			skip "$call is needed" "not seen here: $why"
		else
			fail "$call is needed" 'nothing calls it: out of the table with it, or a case for it into this test'
		fi
	done
	echo "# $(wc -w <<<"$list") system calls"
}
