# SPDX-License-Identifier: LGPL-2.1-or-later
# doctor.sh - sourced by the doctor's tests, after tests/lib/world.sh.
# What it complains about, "LEVEL CHECK SUBJECT" a line
problems() { ctl doctor "$@" --json | jq -rs 'if length != 1 then "no report" else .[0].findings[] end | if type == "string" then . else select(.level == "warning" or .level == "error") | "\(.level) \(.check) \(.subject)" end'; }
# advice CHECK [SUBJECT]: the commands of that finding
advice() { ctl doctor --json | jq -r --arg c "$1" --arg s "${2:-}" '.findings[] | select(.check == $c and .level != "ok" and ($s == "" or .subject == $s)) | .commands[]'; }
# sick NAME PROBLEMS: exactly these
sick() { is "$1: exactly this is found" "$(problems)" "$2"; }
# cure NAME CHECK: what it advises is done, and nothing is found any more
cure()
{
	local commands
	commands=$(advice "$2")
	if [ -z "$commands" ]; then
		fail "$1: a command is advised"
		return
	fi
	(cd / && eval "$commands") >"$W/cure.out" 2>&1 </dev/null 9>&-
	if within 10 healthy; then pass "$1: the advised command cures it"; else
		fail "$1: the advised command cures it" "$commands" "$(cat "$W/cure.out")" "still: $(problems)"; fi
}
healthy() { [ -z "$(problems)" ]; }
# Everything in xenstore, with owners
all_nodes() { dom0 xenstore-ls -fp; }
# The daemon that was started on advice is ours to watch
adopt_daemon() { blkd_pid=$(ctl daemon status --json | jq .pid); }
