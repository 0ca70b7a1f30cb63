# SPDX-License-Identifier: LGPL-2.1-or-later
# synthctl doctor: a healthy world is healthy; each sin is found, alone, and what is advised cures it.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/toolstack/doctor.sh"
. "$SYNTH_SRCDIR/tests/xenbus/lib.sh"
world_start
V=51712
B=/local/domain/0/backend/vbd

# health
is 'no device: nothing is wrong' "$(problems)" ''
attach sinner "$(image a.img 8M)" xvda >/dev/null
ctl attach disk honest "$(image "it's b.img" 8M)=xvda" >/dev/null
guest 1 synth-blkfront io xvda --rw randrw --bs 4k --ios 50 >/dev/null 2>&1
before=$(all_nodes; ls "$SYNTH_RUNDIR")
check 'healthy: exit status 0' ctl doctor
is 'healthy: nothing is wrong' "$(problems)" ''
is 'it changes nothing' "$(all_nodes; ls "$SYNTH_RUNDIR")" "$before"
is 'healthy: -q prints nothing' "$(ctl doctor -q)" ''
is 'healthy: every kind of check has an answer' "$(ctl doctor --json | jq -r '[.findings[].check] | unique | join(" ")')" \
	'daemon daemon-xenstore devices domain files grants kernel-back-end kernel-device maptrack quota script space version worker xen xenfs xenstore'
is 'JSON: version, and the members of a finding' "$(ctl doctor --json | jq -c '[.v, (.findings[0] | keys)]')" \
	'[1,["check","commands","group","level","next","subject","what","why"]]'
is 'JSON: counts are those of the findings' "$(ctl doctor --json | jq '[.counts[]] | add')" "$(ctl doctor --json | jq '.findings | length')"
like 'text: the devices are counted' "$(ctl doctor)" 'ok +devices: 2 of ours, 0 connected: .*agree'
hostxen run -d 1 -- synth-blkfront io xvda --rw randread --bs 4k --rate 100 --runtime 600 >/dev/null 2>&1 &
io=$!
children+=($io)
disown $io
check 'I/O runs' within 10 more_requests sinner/xvda 20
is 'a busy device: nothing is wrong' "$(problems)" ''
like 'a busy device: counted as connected' "$(ctl doctor)" '2 of ours, 1 connected'

# stale nodes
plant() # DOMID VDEV: a back end directory of ours, as one that was left behind
{
	local dir=$B/$1/$2
	dom0 xenstore-write "$dir/synth/class" disk "$dir/synth/uuid" 0 "$dir/frontend" "/local/domain/$1/device/vbd/$2" "$dir/frontend-id" "$1" \
		"$dir/state" 2 "$dir/script" /nowhere/block-synth "$dir/params" null:1M
}
plant 99 $V
sick 'nodes of a domain that is not there' 'warning stale 99/51712'
is 'a warning is no failure' "$(ctl doctor >/dev/null; echo $?)" 0
like 'it is told in words' "$(ctl doctor -q)" 'warning +stale: 99/51712: nodes of a device of domain 99, which does not exist'
cure 'nodes of a domain that is not there' stale
check 'nodes of a domain that is not there: and its empty parent' gone $B/99
check 'nodes of a domain that is not there: no more than that' there $B/1/$V/state

links() # DOMID VDEV: the other two directories of such a one
{
	dom0 xenstore-write "/local/domain/$1/device/vbd/$2/backend" "$B/$1/$2" "/local/domain/$1/device/vbd/$2/state" 1 \
		"/libxl/$1/device/vbd/$2/backend" "$B/$1/$2" "/libxl/$1/device/vbd/$2/script" /nowhere/block-synth
}
plant 1 51728
links 1 51728
sick 'a device the daemon does not have' 'error unknown 1/51728'
is 'an error is exit status 1' "$(ctl doctor >/dev/null; echo $?)" 1
cure 'a device the daemon does not have' unknown
adopt_daemon
is 'a device the daemon does not have: it has it now' "$(show 1/51728 .target)" null:1M
ctl detach --force 1/51728
plant 1 51728
links 1 51728
dom0 xenstore-rm $B/1/51728/params
ctl daemon stop >/dev/null
blkd_wait_gone 15
blkd_start
sick 'a device the daemon cannot serve' 'error unknown 1/51728'
remove=$(ctl doctor --json | jq -r '.findings[] | select(.check == "unknown") | .next' | sed 's/.*removes it: //')
like 'a device the daemon cannot serve: how to remove it' "$remove" '^hostxen run -d 0 -- xenstore-rm /local/domain/0/backend/vbd/1/51728 /local.*vbd/51728 /libxl/1.*/51728$'
eval "$remove"
is 'a device the daemon cannot serve: removed' "$(problems)" ''

dom0 xenstore-write /libxl/2/device/vbd/51744/backend $B/2/51744 /libxl/2/device/vbd/51744/script /etc/xen/scripts/block-synth \
	/local/domain/2/device/vbd/51744/backend $B/2/51744
sick "libxl's record and front end without back end" 'warning remains 2/51744'
cure "libxl's record and front end without back end" remains
check "libxl's record and front end without back end: both are gone" gone /local/domain/2/device/vbd/51744
dom0 xenstore-write /libxl/2/device/vbd/51744/backend $B/2/51744 /libxl/2/device/vbd/51744/script /etc/xen/scripts/block
is "libxl's record of a device that is not ours: not our business" "$(problems)" ''
dom0 xenstore-rm /libxl/2/device/vbd/51744

# libxl's record
mirror=$(dom0 xenstore-ls -fp /libxl/2/device/vbd/$V | sort)
dom0 xenstore-rm /libxl/2/device/vbd/$V
sick "libxl's record is missing" 'warning mirror honest/xvda'
cure "libxl's record is missing" mirror
is "libxl's record is missing: as it was, afterwards" "$(dom0 xenstore-ls -fp /libxl/2/device/vbd/$V | sort)" "$mirror"

# hijack, in both directions
Q=/local/domain/0/backend/qdisk/2/$V
dom0 xenstore-write $Q/frontend /local/domain/2/device/vbd/$V $Q/state 1
sick 'another back end claims our front end' 'error front-contested honest/xvda'
cure 'another back end claims our front end' front-contested
dom0 xenstore-write $Q/frontend /local/domain/2/device/vbd/$V $Q/state 1 /local/domain/2/device/vbd/$V/backend $Q
sick 'the front end was taken over' 'error front-elsewhere honest/xvda'
cure 'the front end was taken over' front-elsewhere
is 'the front end was taken over: it stays with who took it' "$(dom0 xenstore-read /local/domain/2/device/vbd/$V/backend)" $Q
dom0 xenstore-rm $Q
dom0 xenstore-rm /local/domain/2/device/vbd/$V
guest 2 xenstore-write data/x y >/dev/null 2>&1
ctl attach disk honest "$(image "it's b.img" 8M)=xvda" >/dev/null
dom0 xenstore-write /libxl/2/device/vbd/$V/backend $Q
sick "libxl's record names another" 'warning mirror honest/xvda'
dom0 xenstore-write /libxl/2/device/vbd/$V/backend $B/2/$V

# a guest that lies about itself
guest 2 xenstore-write device/vbd/$V/backend "\$(touch $W/pwned); 'x"
sick 'a guest that writes nonsense into its own directory' 'error front-elsewhere honest/xvda'
like 'a guest that writes nonsense: no command has a word of it' "$(advice front-elsewhere)" '^synthctl detach --force honest/xvda$'
guest 2 xenstore-write device/vbd/$V/backend $'\e[31m'
out=$(ctl doctor)
check 'a guest that writes escape sequences: none reaches the terminal' test -n "$out" -a "$out" = "${out//$'\e'/}"
guest 2 xenstore-write device/vbd/$V/backend $B/2/$V
is 'the guest stops that: nothing is wrong' "$(problems)" ''

# the other class: its daemon is not missed until there is something for it to serve
like 'no nic: its daemon is not missed' "$(ctl doctor)" 'ok +daemon: synth-netd: it is not running'
hostxen run -d 0 -- synth-netd >"$W/netd.log" 2>&1 &
netd=$!
disown $netd
check 'synth-netd starts' within 10 ctl daemon status nic
ctl attach nic sinner --null --user-frontend --mac 00:16:3e:00:00:01 >/dev/null
is 'a nic: nothing is wrong' "$(problems)" ''
mirror=$(dom0 xenstore-ls -fp /libxl/1/device/vif/0 | sort)
dom0 xenstore-rm /libxl/1/device/vif/0
sick "libxl's record of a nic is missing" 'warning mirror sinner/eth0'
cure "libxl's record of a nic is missing" mirror
is "libxl's record of a nic is missing: as it was, afterwards" "$(dom0 xenstore-ls -fp /libxl/1/device/vif/0 | sort)" "$mirror"
dom0 xenstore-write /local/domain/1/device/svif/0/backend /local/domain/0/backend/vif/9/9
sick 'the front end of a nic was taken over' 'error front-elsewhere sinner/eth0'
dom0 xenstore-write /local/domain/1/device/svif/0/backend /local/domain/0/backend/vif/1/0
kill -KILL $netd
check 'synth-netd is dead' within 10 not kill -0 $netd
sick 'synth-netd killed' 'error daemon synth-netd'
cure 'synth-netd killed' daemon
check 'the nic goes' ctl detach sinner/eth0 --force
ctl daemon stop nic >/dev/null
check 'no nic any more: nothing is wrong' within 10 healthy

# a guest that does not let go: told when it has been so for 20 s, at the end of this file
ctl attach disk honest null:8M=xvdd >/dev/null
hold 2 51760
step 'another disk of the honest guest' 2 51760 3 4
ctl detach honest/xvdd --wait 0 >/dev/null 2>&1
asked=$SECONDS
is 'a guest that was asked to let go just now: nothing is wrong' "$(problems)" ''

# images
mv "$W/a.img" "$W/moved.img"
sick 'an image that was renamed' 'warning image sinner/xvda'
mv "$W/moved.img" "$W/a.img"
is 'renamed back: nothing is wrong' "$(problems)" ''
mkdir "$W/small"
if mount -t tmpfs -o size=1M synth-test "$W/small" 2>/dev/null; then
	world_dirs+=("$W/small")
	ctl attach disk honest "$(image small/c.img 8M)=xvdc" >/dev/null
	sick 'a sparse image that does not fit' "warning space $W/small/c.img"
	check 'a sparse image that does not fit: detach' ctl detach honest/xvdc --force
	truncate -s 512K "$W/small/c.img"
	ctl attach disk honest "$W/small/c.img=xvdc" >/dev/null
	is 'one that fits: nothing is wrong' "$(problems)" ''
	ctl detach honest/xvdc --force
else
	skip 'a sparse image that does not fit' 'cannot mount'
fi

# a guest that does not let go, later
[ $((SECONDS - asked)) -ge 19 ] || sleep $((19 - SECONDS + asked))
check 'a guest that does not let go' within 20 eval '! healthy'
sick 'a guest that does not let go' 'warning stuck honest/xvdd'
cure 'a guest that does not let go' stuck
drop

# who may not ask
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 711 "$W"
	chmod 700 "$HOSTXEN_DIR" "$SYNTH_RUNDIR"
	nobody() { setpriv --reuid=65534 --clear-groups "$(command -v synthctl)" doctor --json; }
	is 'not root: no complaint' "$(nobody | jq -r '.findings[] | select(.level == "warning" or .level == "error") | .what')" ''
	is 'not root: and it says what it could not ask' "$(nobody | jq -r '[.findings[] | select(.level == "n/a") | .check] | unique | join(" ")')" \
		'daemon devices domain grants kernel-back-end kernel-device maptrack quota script space xenfs xenstore'
else
	skip 'not root' 'root is needed to be somebody else'
fi

# the daemon
kill -KILL "$blkd_pid"
blkd_wait_gone
sick 'daemon killed' 'error daemon synth-blkd'
like 'daemon killed: how many wait for it' "$(ctl doctor)" '2 devices in xenstore wait for it'
is 'daemon killed: exit status' "$(ctl doctor -q >/dev/null; echo $?)" 1
cure 'daemon killed' daemon
adopt_daemon
rm "$SYNTH_RUNDIR/blkd.sock"
sick 'a daemon whose socket was removed' 'error daemon synth-blkd'
like 'a daemon whose socket was removed: who it is' "$(ctl doctor)" "process $blkd_pid has its lock"
kill -KILL "$blkd_pid"
blkd_wait_gone
blkd_start
kill -STOP "$blkd_pid"
is 'a daemon that hangs' "$(problems --timeout 0.5)" 'error daemon synth-blkd'
kill -CONT "$blkd_pid"
check 'a daemon that goes on: nothing is wrong' within 10 healthy

# domains that die while nobody serves
kill -KILL "$blkd_pid"
blkd_wait_gone
hostxen destroy 2
is 'daemon and domain dead: both are found' "$(problems)" $'error daemon synth-blkd\nwarning stale 2/51712'
blkd_start
is 'the daemon tidies up: nothing is wrong' "$(problems)" ''
kill $io

# workers that cannot live
ctl daemon stop >/dev/null
blkd_wait_gone 15
mkdir "$W/bad"
printf '#!/bin/sh\nexit 1\n' >"$W/bad/synth-blkd-worker"
chmod +x "$W/bad/synth-blkd-worker"
SYNTH_LIBEXECDIR=$W/bad blkd_start
try() { guest 1 timeout 3 synth-blkfront io xvda --rw randread --ios 1 >/dev/null 2>&1; [ "$(ctl daemon status --json | jq '.worker_list[0].crashes')" -ge 2 ]; }
check 'a worker that dies again and again' within 20 try
sick 'a worker that dies again and again' 'error worker domain 1'
ctl daemon stop >/dev/null
blkd_wait_gone 15
blkd_start
check 'a worker that lives: nothing is wrong' within 10 healthy
world_end
