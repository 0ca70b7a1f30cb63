#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# synth-netfront: list, info, and what it says to wrong words.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
world_start

# says NAME STATUS TEXT ARGS...: exit status and message
says()
{
	local name=$1 want=$2 text=$3 out status
	shift 3
	out=$(timeout 20 hostxen run -d 1 -- synth-netfront "$@" 2>&1)
	status=$?
	if [ $status -eq "$want" ] && [[ $out == *"$text"* ]]; then pass "$name"; else fail "$name" "status $status, wanted $want: $out"; fi
}
says 'no interface: told, with what to do' 3 'attach nic' info
is 'a list of none is empty' "$(guest 1 synth-netfront list)" ''
is 'and in JSON' "$(guest 1 synth-netfront list --json | jq -c .)" '[]'
nic sinner --null --mac 00:16:3e:00:00:07 >/dev/null
nic sinner --null --mac 00:16:3e:00:00:08 --mtu 9000 --queues 2 >/dev/null
is 'list' "$(guest 1 synth-netfront list | tr -s ' ')" "$(printf '%s\n' 'DEV TYPE STATE BACKEND-STATE MAC MTU BACKEND' \
	'eth0 svif Initialising InitWait 00:16:3e:00:00:07 1500 /local/domain/0/backend/vif/1/0' \
	'eth1 svif Initialising InitWait 00:16:3e:00:00:08 9000 /local/domain/0/backend/vif/1/1')"
is 'info' "$(guest 1 synth-netfront info eth1 --json | jq -c '[.dev, .handle, .mac, .mtu, .max_queues, .sg, .offloads, .carrier]')" \
	'["eth1",1,"00:16:3e:00:00:08",9000,2,true,["csum4","csum6","gso4","gso6"],true]'
is 'an interface has three names' "$(for dev in eth1 vif1 1; do guest 1 synth-netfront info $dev | sed -n 's/^dev *//p'; done | xargs)" 'eth1 eth1 eth1'
says 'several interfaces and none is said' 2 'has 2 interfaces: say which' io
says 'no such interface' 3 'this domain has no interface eth7' io eth7
says 'a name that is none' 2 "'xvda' is no interface" info xvda
says 'too many words' 2 'list takes no argument' list eth0
says 'an unknown command' 2 'frobnicate' frobnicate
says 'an unknown option' 2 'unrecognized option' io eth0 --frobnicate
for wrong in '--size 0' '--size 65536' '--size 9-8' '--kind ipx' '--rate x' '--frames -1' '--queues 0' '--queues 33' '--dst 00:11' '--mode sideways' '--gso 0 --kind tcp4' \
	'--rx-bufs 33' '--tx-bufs 5' '--timeout 0'; do
	# shellcheck disable=SC2086
	says "io $wrong" 2 '' io eth0 $wrong
done
world_end
