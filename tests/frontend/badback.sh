# SPDX-License-Identifier: LGPL-2.1-or-later
# badback.sh - sourced by tests of the block front end against the back end that lies, after front.sh.
badback=$SYNTH_BUILDDIR/tests/frontend/badback

back_start() # SIN [AFTER]
{
	rm -f "$W/back.out"
	hostxen run -d 0 -- "$badback" 1 51712 "$@" >"$W/back.out" 2>>"$W/back.log" &
	back=$!
	children+=($back)
	disown $back
	within 10 grep -qs ready "$W/back.out" || { echo "Bail out! badback does not start"; diag <"$W/back.log"; exit 1; }
}
back_stop()
{
	kill -TERM $back 2>/dev/null
	within 5 not kill -0 $back || kill -KILL $back
	children=()
}
# back_verdict NAME STATUS MESSAGE FILE...: of the front end that front() ran; then the back end ends, was shown nothing, and nothing stays granted
back_verdict()
{
	local name=$1 want=$2 message=$3 leaks
	shift 3
	if [ $rc -eq "$want" ] && grep -qE "$message" "$@"; then
		pass "$name"
	else
		fail "$name" "exit status $rc, wanted $want and '$message'" "$(cat "$W/err" "$W/out")"
	fi
	back_stop
	leaks=$(grep leak "$W/back.out")
	[ -z "$leaks" ] || fail "$name: nothing was shown to the back end" "$leaks"
	within 5 guest_empty 1 || fail "$name: nothing stays granted" "$(hostxen list)"
}
