# SPDX-License-Identifier: LGPL-2.1-or-later
# lib.sh - sourced by ./demo: how a step is told, how a failure is, and how everything is taken down, however it ends.
#
#	step TEXT               a new step; what fails from here on, failed there
#	shown CMD...            a command people can type, and what it says
#	note TEXT...            a line of the story
#	fail TEXT               the end, with the last lines of all logs ($W/*.log)
exec 9>&1 # where the story goes: a trap may run while a command's output goes to a file
n=0 what='preparing' W='' pids=() began=$SECONDS ended= keep=
step() { n=$((n + 1)); what=$1; printf '\n%2d. %s\n' "$n" "$1"; }
note() { printf '    %s\n' "$@"; }
indent() { sed 's/^/    /'; }
shown() { printf '    $ %s\n' "$*"; "$@" 2>&1 | indent; }
fail()
{
	local status=$? log
	trap - ERR
	sleep 0.1 # what failed may have had the Ctrl-C that is ours too: the trap goes first
	[ $status != 130 ] || interrupted
	exec >&9
	printf '\ndemo: FAILED at step %s (%s)%s\n' "$n" "$what" "${1:+: $1}"
	for log in "$W"/*.log; do
		[ -s "$log" ] || continue
		printf '  last lines of %s:\n' "$(basename "$log")"
		tail -n 12 "$log" | cut -c1-200 | sed 's/^/    /'
	done
	exit 1
}
interrupted() { printf '\ndemo: interrupted\n' >&9; exit 130; }
clean_up()
{
	local status=$? pid
	trap - EXIT INT TERM ERR
	exec >&9
	for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null; done
	[ -z "$W" ] || timeout 20 hostxen stop >/dev/null 2>&1
	for pid in ${pids[@]+"${pids[@]}"}; do kill -KILL "$pid" 2>/dev/null; done
	wait 2>/dev/null
	if [ -n "$keep" ]; then echo "kept: $W"; else [ -z "$W" ] || rm -rf "$W"; fi
	[ $status = 0 ] && [ -n "$ended" ] && echo 'demo: ok'
	exit $status
}
trap clean_up EXIT
trap interrupted INT TERM
set -E
trap 'fail' ERR
within() # SECONDS CMD...: until it succeeds
{
	local end=$((SECONDS + $1 + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
not_running() { ! kill -0 "$1" 2>/dev/null; }

in_guest() { local d=$1; shift; hostxen run -d "$d" -- "$@"; } # DOMID CMD...: a process of that guest
daemon_start() # NAME COMMAND...: a daemon of dom0, until it answers; what it says is in NAME.log
{
	local name=$1
	shift
	hostxen run -d 0 -- "$@" >"$W/$name.log" 2>&1 &
	daemon_pid=$!
	pids+=("$daemon_pid")
	within 10 synthctl daemon status "$(daemon_class "$name")" || fail "$name does not answer"
}
daemon_class() { case $1 in synth-blkd) echo disk ;; *) echo nic ;; esac; }
