#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The toolstack dies in the middle: synthctl at each system call it makes to anybody, the daemon before each thing it changes in
# xenstore.  What is left is nothing, or a whole device; the same command a second time does what it was to do; nothing leaks; a
# guest beside notices nothing.
# SYNTH_SOAK: more than 1: the daemon dies at each step of an attach, else at every seventh.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh" || exit 99
. "$SYNTH_SRCDIR/tests/crash/lib.sh" || exit 99
command -v strace >/dev/null || skip_all 'strace is not installed'
calls='socket connect rt_sigaction sendto recvfrom rt_sigprocmask ppoll write exit_group'
MAX=60 # steps; all of what is tried has fewer

# But for what the guest's front end writes.
nodes() { dom0 xenstore-ls -f / 2>/dev/null | grep -cE '^/(local/domain/0/backend/vbd/1/51712|local/domain/1/device/s?vbd/51712/(back|virt)|libxl/1/device/vbd/51712)'; }
whole= # so many nodes has a device
held() { ! flock -n -x "$img" true; } # somebody has the image
left() # what is left of sinner/xvda, in words; nothing when nothing is
{
	local n
	n=$(nodes)
	[ "$n" = 0 ] || echo "$n nodes"
	[ -z "$(ls "$SYNTH_RUNDIR/journal" | grep -v "^blkd-$honest_uuid\$")" ] || echo "a journal: $(ls "$SYNTH_RUNDIR/journal")"
	! held || echo 'the image is held'
	ls "$SYNTH_RUNDIR/workers" | grep '^blkd-1\.' && echo 'a worker of it'
	guest_empty 1 || echo 'grants of it'
}
nothing_is_left() { [ -z "$(left)" ]; }
nothing_or_whole() { local n; n=$(nodes); [ "$n" = 0 ] || [ "$n" = "$whole" ]; }
daemon_fds() { ls "/proc/$blkd_pid/fd" | wc -l; }
# killed CALL:N CMD...: synthctl with these arguments, killed when it enters the N-th such call; fails when it is over before
killed()
{
	local call=${1%:*} n=${1#*:}
	shift
	# by a shell, which says "Killed" to nobody
	sh -c 'strace -qq -f -o /dev/null -e trace="${0%%:*}" -e inject="$0" -- synthctl "$@"; exit $?' "$call:signal=KILL:when=$n" "$@" >"$W/killed.out" 2>&1
	[ $? -eq 137 ]
}
# each_step FUNCTION: with each CALL:N as its argument, until it fails for a call; $steps is how many it did
each_step()
{
	local call n
	steps=0
	for call in $calls; do
		for ((n = 1; n < MAX; n++)); do
			"$1" "$call:$n" || break
			steps=$((steps + 1))
		done
	done
}
complaint() { trouble="$trouble$1"$'\n'; } # TEXT
verdict() # NAME STEPS LEAST
{
	[ "$2" -ge "$3" ] || complaint "it was killed at $2 steps only"
	if [ -z "$trouble" ]; then pass "$1, at each of $2 steps"; else fail "$1" "$trouble"; fi
	trouble=
}
gone() # STEP: detached, though it may be detached already
{
	ctl detach sinner/xvda --if-exists >/dev/null 2>"$W/err" || complaint "$1: detach: $(cat "$W/err")"
	within 10 nothing_is_left || complaint "$1: left after detach: $(left)"
}
attached() { attach sinner "$img" xvda --may-exist >/dev/null 2>"$W/err" || complaint "attach: $(cat "$W/err")"; }
again() # STEP CMD...: the same once more; the first may still be on its way
{
	local step=$1
	shift
	within 10 ctl "$@" || complaint "$step: once more: $(ctl "$@" 2>&1)"
}
# A command that was sent is carried out, though nobody waits for it.
settled() { nothing_or_whole && ! ctl list --json | jq -e '.devices[] | select(.phase == "attaching" or .phase == "leaving")' >/dev/null; }

world_start
honest_start
honest_uuid=$(show honest/xvda .uuid)
trouble=
img=$(image a.img 4M)
attached
whole=$(nodes)
gone 'at first'
fds=$(daemon_fds)

# ------------------------------------------------------------------ synthctl
attach_killed()
{
	killed "$1" attach disk sinner "$img=xvda" --user-frontend || { gone 'attach'; return 1; }
	within 10 settled || complaint "attach, $1: $(nodes) nodes of $whole"
	again "attach, $1" attach disk sinner "$img=xvda" --user-frontend --may-exist
	[ "$(nodes)" = "$whole" ] || complaint "attach, $1: once more: $(nodes) nodes of $whole"
	gone "attach, $1"
}
each_step attach_killed
verdict 'synthctl attach is killed' "$steps" 10

detach_killed()
{
	attached
	killed "$1" detach sinner/xvda || return 1
	within 10 settled || complaint "detach, $1: $(nodes) nodes of $whole"
	gone "detach, $1"
}
each_step detach_killed
verdict 'synthctl detach is killed' "$steps" 6

mib=4
resize_killed()
{
	mib=$((9 - mib))
	killed "$1" resize sinner/xvda ${mib}M || return 1
	again "resize, $1" resize sinner/xvda ${mib}M
	[ "$(show sinner/xvda .size)" = $((mib << 20)) ] || complaint "resize, $1: $(show sinner/xvda .size)"
	[ "$(nodes)" = "$whole" ] || complaint "resize, $1: $(nodes) nodes of $whole"
}
attached
each_step resize_killed
gone 'resize'
verdict 'synthctl resize is killed' "$steps" 10

# With a guest that uses the disk, and has to let go first.
used()
{
	attached
	crash_io 1 xvda 60 --rw randwrite --bs 4k --depth 2 --rate 500
	within 10 more_requests sinner/xvda 0 || complaint "in use, $1: no I/O"
}
left_by_guest()
{
	ctl detach sinner/xvda --if-exists --timeout 20 >/dev/null 2>"$W/err" || complaint "in use, $1: detach: $(cat "$W/err")"
	within 10 nothing_is_left || complaint "in use, $1: left after detach: $(left)"
	io_ended 10 || complaint "in use, $1: the front end hangs"
}
used_killed()
{
	local status=0
	used "$1"
	killed "$1" detach sinner/xvda --timeout 20 || status=1
	left_by_guest "$1"
	return $status
}
each_step used_killed
verdict 'synthctl detach of a disk in use is killed' "$steps" 10
is 'the daemon has no descriptor more' "$(daemon_fds)" "$fds"

# ---------------------------------------------------------------- the daemon
preload=$SYNTH_BUILDDIR/tests/crash/.libs/kill-preload.so
doomed() { LD_PRELOAD=$preload KILL_AT=$W/at blkd_start; }
# dies N CMD...: the daemon does, at its N-th change; another is started.  Fails when it has not.
dies()
{
	local n=$1
	shift
	echo "$n" >"$W/at"
	ctl "$@" >/dev/null 2>&1
	if [ -e "$W/at" ]; then
		rm "$W/at"
		return 1
	fi
	within 10 not blkd_alive
	nothing_or_whole || complaint "$*, step $n: $(nodes) nodes of $whole"
	doomed
}
known() { within 10 eval "$1 \"\$(show sinner/xvda .device)\" = sinner/xvda ]"; } # '[' or '[ !'

if [ "$slow" -gt 1 ]; then
	skip 'the daemon is killed' 'a sanitizer wants to be preloaded first'
else
	step=7
	[ "${SYNTH_SOAK:-1}" -le 1 ] || step=1
	ctl daemon stop >/dev/null
	blkd_wait_gone 15
	doomed
	for ((n = 1, done = 0; n < 200; n += step, done++)); do
		dies $n attach disk sinner "$img=xvda" --user-frontend || break
		[ "$(nodes)" = 0 ] || known '[' || complaint "attach, step $n: not known"
		again "attach, step $n" attach disk sinner "$img=xvda" --user-frontend --may-exist
		[ "$(nodes)" = "$whole" ] || complaint "attach, step $n: once more: $(nodes) nodes of $whole"
		gone "attach, step $n"
	done
	gone 'attach'
	verdict 'the daemon is killed in an attach' $done $((60 / step))

	for ((n = 1; n < MAX; n++)); do
		attached
		dies $n detach sinner/xvda || break
		gone "detach, step $n"
	done
	verdict 'the daemon is killed in a detach' $((n - 1)) 3

	attached
	for ((n = 1; n < MAX; n++)); do
		dies $n resize sinner/xvda $((6 + n % 2))M || break
		known '[' || complaint "resize, step $n: not known"
		again "resize, step $n" resize sinner/xvda $((6 + n % 2))M
		[ "$(show sinner/xvda .size)" = $(((6 + n % 2) << 20)) ] || complaint "resize, step $n: $(show sinner/xvda .size)"
		n_sectors=$(dom0 xenstore-read /local/domain/0/backend/vbd/1/51712/sectors)
		[ "$n_sectors" = $(((6 + n % 2) << 11)) ] || complaint "resize, step $n: the guest is told $n_sectors sectors"
	done
	gone 'resize'
	verdict 'the daemon is killed in a resize' $((n - 1)) 3

	for ((n = 1; n < MAX; n++)); do
		used "step $n"
		dies $n detach sinner/xvda --timeout 20 && last= || last=1
		left_by_guest "step $n"
		[ -z "$last" ] || break
	done
	verdict 'the daemon is killed in a detach of a disk in use' $((n - 1)) 3
fi
undisturbed 'after all that'
world_end
