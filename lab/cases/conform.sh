# SPDX-License-Identifier: LGPL-2.1-or-later
# what: the conformance suite which keeps hostxen honest passes on real Xen, dom0 and a guest as its two sides
# set: short pv
# guest: own
# time: 200
G=conform-$TYPE
tap=$LAB/conform.tap
tool=$LAB/toolstack

# What the suite needs done to domains. A domain has one guest's name; its number is the toolstack's choice or, by a
# preload, the suite's.
cat >$tool <<'END'
#!/bin/busybox sh
. /lab/lab.sh
name=$G-other
case $1 in
create)
	if [ $# -gt 1 ]; then
		export LD_PRELOAD=/lab/bin/choose-domid.so CHOOSE_DOMID="$2" LIBXL_DOMID_REUSE_TIMEOUT=0
	fi
	guest_create "$name" >&2
	domid "$name"
	;;
agent)
	{
		xl unpause "$2" && guest_wait "$name"
		in_guest "$name" '(conform agent >/tmp/agent.log 2>&1 &)'
	} >&2
	;;
destroy) xl destroy "$2" ;;
esac
END
chmod +x $tool

guest_boot "$G"
g '(conform agent >/tmp/agent.log 2>&1 &)'
export G
_from=$(cut -d. -f1 /proc/uptime)
# Ends in time to say how far it came.
timeout $((180 * SLOW)) conform dom0 "$(domid)" --toolstack $tool >"$tap" || :
# Each failure, with what the suite says about it, each test that was not run, and the slow ones.
set +x
at=
while read -r l; do
	case $l in
	'#'*) note "$at: ${l#\# }" ;;
	*) at=${l#*: } ;;
	esac
	case $l in 'not ok '* | 'ok '*'# SKIP'*) note "$l" ;; esac
done <"$tap"
set -x
note "$(grep -c '^ok' "$tap") of $(sed -n 's/^1\.\.//p' "$tap"), skipped $(grep -c '# SKIP' "$tap"), in $(($(cut -d. -f1 /proc/uptime) - _from)) s"
refuses grep -q '^not ok\|^Bail out' "$tap"
grep -q '^1\.\.' "$tap"
guest_destroy "$G"
