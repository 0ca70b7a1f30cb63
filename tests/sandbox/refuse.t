#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A worker that gets no filter does not run: neither when the kernel refuses it, nor when it only says that there is one.  The
# kernel's answers are strace's.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
command -v strace >/dev/null || skip_all 'strace is not installed'
[ $slow = 1 ] || skip_all 'a build with sanitizers has no filter'
strace -qq true 2>/dev/null || skip_all 'nothing can be traced here'
dir=$SYNTH_BUILDDIR/tests/sandbox
hostxen start >"$W/start.log" 2>&1 || bail 'hostxen does not start' "$W/start.log"
hostxen create 1 --name sinner && hostxen create 2 --name honest || bail 'no domains'
answer() # ANSWER: what came of a worker that was asked something, whose seccomp() is answered so
{
	cat >"$W/worker" <<WRAP
#!/bin/sh
exec strace -qq -o "$W/trace" -e trace=seccomp ${1:+-e inject=seccomp:$1} "$dir/checker-worker" "\$@"
WRAP
	chmod +x "$W/worker"
	dom0 "$dir/acts" "$W/worker" 0 restrict 'map memory executable' 2>"$W/acts.log"
}
# strace, the first process of a PID namespace, cannot end as the traced one did, and exits with 128 + 31 instead
like 'with its filter it runs, and does what it is told' "$(answer)" 'killed SIGSYS|exit 159'
like 'a filter was asked for' "$(cat "$W/trace")" 'SECCOMP_SET_MODE_FILTER, .* = 0'
for err in EINVAL EACCES ENOMEM ENOSYS; do
	like "$err: it ends" "$(answer error=$err)" 'exit 1'
	like "$err: and says why" "$(cat "$W/acts.log")" 'cannot filter system calls'
done
like 'a yes with nothing behind it: it ends' "$(answer retval=0)" 'exit 1'
like 'a yes with nothing behind it: and says why' "$(cat "$W/acts.log")" 'cannot filter system calls'
hostxen stop >/dev/null 2>&1
echo "1..$tap_n"
[ $tap_failed = 0 ]
