#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# synthctl's manners against a control socket that answers by script: requests as documented, replies of any kind
# understood, and exit statuses that say what went wrong.
set -u
here=${SYNTH_BUILDDIR:-.}/toolstack
synthctl=$here/synthctl fake=$here/fake-blkd page=${SYNTH_SRCDIR:-$PWD}/toolstack/synthctl.1.pod
dir=$(mktemp -d) || exit 99
server=
stop() { [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null; server=; }
trap 'stop; rm -rf "$dir"' EXIT
cd "$dir" || exit 99
export SYNTH_RUNDIR=$dir
failed=0

# serve LINE...: a fresh fake daemon with this script
serve()
{
	stop
	rm -f blkd.sock log
	printf '%s\n' "$@" >script
	"$fake" blkd.sock script log &
	server=$!
	for _ in $(seq 1000); do [ -S blkd.sock ] && return; sleep 0.02; done
	echo "the fake daemon does not start"; exit 99
}
# expect STATUS PATTERN-OF-STDERR NAME CMD... ('' for nothing on stderr)
expect()
{
	local want=$1 pattern=$2 name=$3 got
	shift 3
	timeout 20 "$@" >out 2>err
	got=$?
	if [ $got -ne "$want" ] || { [ -z "$pattern" ] && [ -s err ]; } || { [ -n "$pattern" ] && ! grep -qE -- "$pattern" err; }; then
		echo "FAIL: $name: status $got, wanted $want; stderr wanted /$pattern/:"; sed 's/^/    /' err
		failed=1
	fi
}
says() # NAME PATTERN FILE
{
	grep -qE -- "$2" "$3" || { echo "FAIL: $1: no /$2/ in:"; sed 's/^/    /' "$3"; failed=1; }
}

dev='{"device": "web1/xvda", "class": "disk", "domid": 5, "domain": "web1", "dev": "xvda", "vdev": 51712, "state": "InitWait", "phase": "initwait", "frontend_state": "Initialising", "broken": null, "target": "file:'$dir'/a.img", "ro": false, "size": 1610612736, "queues": null}'
ok='"v": 1, "id": @ID@, "ok": true'
no='"v": 1, "id": @ID@, "ok": false'

# Nobody there
expect 7 'not running' 'no daemon' "$synthctl" list
says 'no daemon tells what to do' '^next: ' err
expect 7 '"code": ?"nodaemon"' 'no daemon, JSON' "$synthctl" list --json
expect 7 'not running' '--socket is used' "$synthctl" --socket "$dir/elsewhere" list
if [ "$(id -u)" != 0 ]; then
	serve hang; chmod 0 blkd.sock
	expect 6 'permission|Permission' 'no permission' "$synthctl" list
fi
serve hang
expect 7 'does not answer' 'a daemon that hangs' "$synthctl" --timeout 0.3 list
serve close
expect 7 'went away' 'a daemon that dies' "$synthctl" list
for garbage in 'nonsense' '[]' '{}' '{"id": @ID@}' '{"id": @ID@, "ok": 1}' '{"id": @ID@, "ok": false}' '{"id": @ID@, "ok": false, "error": 3}'; do
	serve "reply $garbage"
	expect 1 'not understood' "garbage $garbage" "$synthctl" list
done

# Requests are as docs/control-protocol.md says
serve "reply {$ok, \"result\": $dev}"
expect 0 '' 'attach' "$synthctl" attach disk web1 a.img=xvda --ro --queues 4 --user-frontend --removable --cache buffered --no-discard --poll-us 20 --wait 1.5
says 'attach prints the name' '^web1/xvda$' out
if command -v jq >/dev/null; then
	jq -e --arg t "file:$dir/a.img" '. == {v: 1, id: 1, cmd: "attach", class: "disk", dom: "web1", target: $t, dev: "xvda", ro: true,
		queues: 4, user_frontend: true, removable: true, cache: "buffered", discard: false, poll_us: 20, wait: 1.5}' log >/dev/null ||
		{ echo "FAIL: the attach request is:"; cat log; failed=1; }
fi
serve "reply {$ok, \"result\": $dev}"
expect 0 '' 'block-attach' "$synthctl" block-attach web1 vdev=xvda "target=$dir/a,b.img"
says 'block-attach: request' "\"target\": ?\"file:$dir/a,b.img\".*\"dev\": ?\"xvda\"" <(tr -d '\\' <log)
expect 2 'has to stand before it' 'block-attach: a key after target= is not part of a file name' "$synthctl" block-attach web1 "target=$dir/a.img" vdev=xvda
mapfile -t examples < <(grep -oE 'C<synthctl block-attach [^>]*>' "$page" | sed 's/^C<synthctl //; s/>$//')
[ ${#examples[@]} -ge 2 ] || { echo "FAIL: the manual has no examples of block-attach"; failed=1; }
for example in "${examples[@]}"; do
	serve "reply {$ok, \"result\": $dev}"
	# shellcheck disable=SC2086
	expect 0 '' "the manual's $example" "$synthctl" $example
	says "the manual's $example: request" '"target": ?"file:/[a-z/.]*".*"dev": ?"xvda"' <(tr -d '\\' <log)
done
for what in 'disk web1 a.img' 'nic web1 --bridge br0'; do
	serve "late {$no, \"error\": {\"code\": \"failed\", \"what\": \"cannot attach\", \"why\": \"the server does not answer\"}}"
	# shellcheck disable=SC2086
	expect 1 'cannot attach: the server does not answer' "attach ${what%% *}: what it stands on is slow" \
		"$synthctl" --socket "$dir/blkd.sock" --timeout 0.1 attach $what
done
expect 2 'not a disk' 'a disk that is none' "$synthctl" attach disk web1 'http://x'
serve "reply {$ok, \"result\": $dev}"
expect 0 '' 'xl syntax' "$synthctl" block-attach 5 "$dir/a.img,raw,xvda,ro"
says 'xl syntax: request' '"ro": ?true' log
serve "split {$ok, \"result\": {}}"
expect 0 '' 'detach, answer in pieces' "$synthctl" detach web1/xvda --force --wait 3
says 'detach request' '"force": ?true' log

# Refusals
for pair in failed:1 usage:2 notfound:3 busy:4 timeout:5 permission:6 exists:8 unheard-of:1; do
	serve "reply {$no, \"error\": {\"code\": \"${pair%:*}\", \"what\": \"cannot detach web1/xvda\", \"why\": \"because\", \"next\": \"do this\"}}"
	expect "${pair#*:}" 'cannot detach web1/xvda: because' "code ${pair%:*}" "$synthctl" detach web1/xvda
	says "code ${pair%:*}: next step" '^next: do this' err
done
serve "reply {$no, \"error\": {\"code\": \"notfound\", \"what\": \"no such device\"}}"
expect 0 '' 'detach --if-exists' "$synthctl" detach web1/xvda --if-exists
serve "reply {$no, \"error\": {\"code\": \"failed\", \"what\": \"bad \\u001b[31m news\"}}"
expect 1 'bad \?\[31m news' 'no escape sequence reaches the terminal' "$synthctl" show web1/xvda
serve "reply {$ok, \"result\": [$dev]}"
expect 0 '' '--may-exist' "$synthctl" attach disk web1 a.img=xvda --may-exist
says '--may-exist asks first and stops there' '"cmd": ?"list"' log
[ "$(wc -l <log)" = 1 ] || { echo "FAIL: --may-exist attached all the same"; failed=1; }
for phase in attaching detaching removing removed leaving lingering; do
	between=${dev/initwait/$phase}
	serve "reply {$ok, \"result\": [$between]}" "reply {$ok, \"result\": [$dev]}"
	expect 0 '' "--may-exist, $phase and then there" "$synthctl" attach disk web1 a.img=xvda --may-exist
	[ "$(wc -l <log)" = 2 ] || { echo "FAIL: --may-exist took a device that is $phase for attached"; failed=1; }
done
serve "reply {$ok, \"result\": [$between]}" "reply {$ok, \"result\": []}" "reply {$ok, \"result\": $dev}"
expect 0 '' '--may-exist, gone meanwhile' "$synthctl" attach disk web1 a.img=xvda --may-exist
says '--may-exist, gone meanwhile: attached' '"cmd": ?"attach"' log
mapfile -t many < <(for _ in $(seq 40); do echo "reply {$ok, \"result\": [$between]}"; done)
serve "${many[@]}"
expect 5 'is there, but is lingering' '--may-exist, neither for long' "$synthctl" --timeout 0.5 attach disk web1 a.img=xvda --may-exist

# An upgrade is over when it is
status() { echo "reply {$ok, \"result\": {\"version\": \"1\", \"era\": 2, \"upgrade\": {\"running\": $1, \"replaced\": 3, \"failed\": 0, \"error\": null, \"pause\": {}}}}"; }
serve "reply {$ok, \"result\": {\"era\": 2}}" "$(status true)" "$(status false)"
expect 0 '' 'upgrade' "$synthctl" daemon upgrade
says 'upgrade tells' '^upgraded to version 1, 3 workers replaced' out
mapfile -t many < <(for _ in $(seq 40); do status true; done)
serve "reply {$ok, \"result\": {\"era\": 2}}" "${many[@]}"
expect 5 'the upgrade is not over: workers are still being replaced' 'an upgrade that goes on' "$synthctl" --timeout 0.5 daemon upgrade
[ ! -s out ] || { echo "FAIL: an upgrade that goes on is said to be over"; failed=1; }

# Output
serve "reply {$ok, \"result\": [$dev]}" "reply {$ok, \"result\": [$dev]}" "reply {$ok, \"result\": [$dev]}" "reply {$ok, \"result\": [$dev]}" \
	"reply {$ok, \"result\": [$dev]}" "reply {$ok, \"result\": $dev}" "reply {$ok, \"result\": $dev}"
expect 0 '' list "$synthctl" list
says 'list heading' '^DEVICE +STATE +SIZE +MODE +QUEUES +TARGET' out
says 'list row' '^web1/xvda +InitWait +1\.5G +rw +- +file:' out
expect 0 '' 'list -Ho' "$synthctl" list -H -o device,size -b
says 'list -Ho' '^web1/xvda +1610612736$' out
expect 0 '' 'list --json' "$synthctl" list disk --json
says 'list --json' '"devices": ?\[' out
expect 2 'no column "nonsense"' 'unknown column' "$synthctl" list -o nonsense
expect 0 '' 'list DOM' "$synthctl" list web1 -o all
says 'list DOM asks for it' '"dom": ?"web1"' log
expect 0 '' show "$synthctl" show web1/xvda
says show '^STATE +InitWait' out
serve "reply {$ok, \"result\": [{\"device\": \"web1/xvda\", \"domid\": 5, \"dev\": \"xvda\", \"metrics\": {\"read_requests\": 10, \"read_sectors\": 8}}]}" \
	"late {$ok, \"result\": [{\"device\": \"web1/xvda\", \"domid\": 5, \"dev\": \"xvda\", \"metrics\": {\"read_requests\": 20, \"read_sectors\": 16}}]}"
expect 0 '' 'stat -i' "$synthctl" stat -i 0.1 -c 1 web1/xvda
says 'stat -i shows rates' '^web1/xvda +[1-9][0-9]* ' out

# Ctrl-C while it waits
interrupt() # REPLY-TO-THE-QUESTION-AFTERWARDS CMD...: runs CMD, SIGINT when its request is there; status in $status
{
	serve hang "$1"
	shift
	env --default-signal=INT "$@" >out 2>err &
	local pid=$!
	for _ in $(seq 1000); do [ -s log ] && break; sleep 0.02; done
	kill -INT "$pid"
	wait "$pid"
	status=$?
}
interrupt "reply {$ok, \"result\": [$dev]}" "$synthctl" attach disk web1 a.img --wait 30
[ $status = 130 ] || { echo "FAIL: Ctrl-C in attach: status $status"; failed=1; }
says 'Ctrl-C in attach says how things stand' 'web1/xvda is attached and InitWait' err
interrupt "reply {$ok, \"result\": $dev}" "$synthctl" detach web1/xvda --wait 30
[ $status = 130 ] || { echo "FAIL: Ctrl-C in detach: status $status"; failed=1; }
says 'Ctrl-C in detach says how things stand' 'web1/xvda is still there: InitWait' err
interrupt "reply {$no, \"error\": {\"code\": \"notfound\", \"what\": \"no such device\"}}" "$synthctl" detach web1/xvda --wait 30
[ $status = 130 ] || { echo "FAIL: Ctrl-C in detach: status $status"; failed=1; }
says 'Ctrl-C in detach, device gone' 'is gone' err
# Of nics there may be several alike: it is the new one that is told of.
nic() { echo "{\"device\": \"web1/$1\", \"class\": \"nic\", \"state\": \"InitWait\", \"frontend_state\": null, \"target\": \"$2\", \"attached_s\": $3}"; } # ETHX LINK SECONDS
interrupt "reply {$ok, \"result\": [$(nic eth0 bridge:br0 1000), $(nic eth1 bridge:br0 0), $(nic eth2 bridge:br1 0), $(nic eth3 bridge:br0 1000)]}" \
	"$synthctl" --socket "$dir/blkd.sock" attach nic web1 --bridge br0 --wait 30
[ $status = 130 ] || { echo "FAIL: Ctrl-C in attach nic: status $status"; failed=1; }
says 'Ctrl-C in attach nic says how things stand' 'web1/eth1 is attached and InitWait' err
says 'Ctrl-C in attach nic says what to do' '^next: .*synthctl detach web1/eth1' err
interrupt "reply {$ok, \"result\": [$(nic eth0 bridge:br0 1000)]}" "$synthctl" --socket "$dir/blkd.sock" attach nic web1 --bridge br0 --wait 30
[ $status = 130 ] || { echo "FAIL: Ctrl-C in attach nic: status $status"; failed=1; }
says 'Ctrl-C in attach nic, nothing attached' 'the nic is not attached, as far as synth-netd says' err
for args in 'set web1/eth0 --link down' 'resize web1/xvda 1G' 'daemon stop'; do
	# shellcheck disable=SC2086
	interrupt '' "$synthctl" --socket "$dir/blkd.sock" $args
	[ $status = 130 ] || { echo "FAIL: Ctrl-C in $args: status $status"; failed=1; }
	says "Ctrl-C in $args: what was asked for is done" 'interrupted: what was asked is carried out all the same' err
	says "Ctrl-C in $args: what tells" '^next: .*synthctl' err
done

# Usage
for args in '' 'nonsense' 'attach' 'attach nic web1 x' 'attach disk web1' 'attach disk a b c' 'detach web1' 'detach /xvda' 'show' 'list --ro' \
	'list --nonsense' 'attach disk web1 x --queues 0' 'attach disk web1 x --queues 33' 'attach disk web1 x --queues 2x' \
	'attach disk web1 x --wait -1' 'attach disk web1 x --wait nan' 'attach disk web1 x --cache none' 'resize web1/xvda 1' 'resize web1/xvda -5G' \
	'daemon sing' 'doctor web1' 'doctor --force' 'stat -i 0' 'completion fish' 'list -o' 'help nonsense'; do
	# shellcheck disable=SC2086
	expect 2 'synthctl: ' "usage: $args" "$synthctl" $args
done
expect 0 '' 'help' "$synthctl" help
expect 0 '' 'help attach' "$synthctl" help attach
says 'help attach' '--user-frontend' out
for args in 'help attach' 'attach --help' 'attach web1 --help'; do
	# shellcheck disable=SC2086
	expect 0 '' "$args" "$synthctl" $args
	says "$args: of a disk" '--cdrom' out
	says "$args: of a nic" '--bridge' out
done
expect 0 '' 'attach nic --help' "$synthctl" attach nic --help
! grep -q -- --cdrom out || { echo 'FAIL: the help for a nic is for a disk'; failed=1; }
expect 2 'attach what.*`synthctl attach disk DOM .*`synthctl attach nic DOM`' 'no noun' "$synthctl" attach
expect 2 'attach what.*`synthctl attach disk DOM .*`synthctl attach nic DOM`' 'the noun is forgotten' "$synthctl" attach web1 --bridge xenbr0
expect 0 '' '--help' "$synthctl" detach --help
expect 0 '' 'version' "$synthctl" version
expect 0 '' 'completion' "$synthctl" completion bash
bash -n out || { echo "FAIL: the completion script is not bash"; failed=1; }

exit $failed
