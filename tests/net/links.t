#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Where a nic can be connected besides a bridge: Open vSwitch (by a stand-in for ovs-vsctl that writes down what it is told), a stream
# socket as passt's, a TAP by name; and links that go away under a guest.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/net/lib.sh"
mkdir "$W/bin"
cat >"$W/bin/ovs-vsctl" <<'OVS'
#!/bin/bash
cd "$(dirname "$0")/.."
echo "$*" >>ovs.told
sed -n 's/^SigBlk:[[:space:]]*//p' /proc/self/status >ovs.blocked
[[ $* != *del-port* ]] || while [ -e ovs.stuck ]; do sleep 0.1; done
case " $* " in *' ovs-none '*) echo 'ovs-vsctl: no bridge named ovs-none' >&2; exit 1 ;; esac
OVS
chmod +x "$W/bin/ovs-vsctl"
PATH=$W/bin:$PATH
world_start
tap_mtu() { cat "/sys/class/net/$1/mtu" 2>/dev/null; }

# Open vSwitch
check 'a nic is attached to Open vSwitch' nic sinner --ovs ovs-br0 --mac 00:16:3e:01:02:03
is 'ovs-vsctl is told which port, and what it is' "$(cat "$W/ovs.told")" \
	'--timeout=10 --may-exist add-port ovs-br0 vif1.0 -- set interface vif1.0 external_ids:attached-mac="00:16:3e:01:02:03" external_ids:synth-device="sinner/eth0"'
is 'xl and the guest find what libxl would have written' "$(dom0 xenstore-read /local/domain/0/backend/vif/1/0/bridge)" ovs-br0
like 'the TAP is up, and has the MAC of a cable' "$(iface vif1.0)" 'UP.*fe:ff:ff:ff:ff:ff'
is 'a guest is served' "$(bad 1 0 connect send 60 5 close)" "$(printf 'back end 4\nsent 5\nback end 6')"
: >"$W/ovs.told"
ctl daemon stop >/dev/null
check 'the daemon stops' blkd_wait_gone 15
is 'the port stays while the daemon is started anew' "$(cat "$W/ovs.told")" ''
blkd_start
check 'the next one has it' within 10 eval '[ "$(show sinner/eth0 .target)" = ovs:ovs-br0 ]'
: >"$W/ovs.told"
ctl detach sinner/eth0 --force >/dev/null
is 'detached, the port goes' "$(cat "$W/ovs.told")" '--timeout=10 --no-wait --if-exists del-port ovs-br0 vif1.0'
is 'with no signal blocked, since its time limit is one' "$(cat "$W/ovs.blocked")" 0000000000000000
check 'and the TAP' not iface vif1.0

# Open vSwitch that does not answer keeps nobody but whoever waits for it.
nic sinner --ovs ovs-br0 >/dev/null
touch "$W/ovs.stuck"
: >"$W/ovs.told"
ctl detach sinner/eth0 --force >"$W/detach.out" 2>&1 &
detach=$!
check 'a port that cannot be removed' within 10 grep -qs del-port "$W/ovs.told"
check 'meanwhile the daemon answers' ctl list
check 'meanwhile another guest gets a nic' nic honest --null
is 'meanwhile that is served' "$(bad 2 0 connect send 60 5 close)" "$(printf 'back end 4\nsent 5\nback end 6')"
ctl detach honest/eth0 --force >/dev/null
is 'who detaches is not told yet' "$(kill -0 $detach && show sinner/eth0 .phase)" leaving
like 'nor is its name free yet' "$(nic sinner --ovs ovs-br0 --dev eth0 2>&1)" 'has a device eth0 already'
rm "$W/ovs.stuck"
wait $detach
is 'it answers: detached' "$? $(iface vif1.0)" '0 '
hostxen create 3 --name mortal
nic mortal --ovs ovs-br0 >/dev/null
ctl daemon stop >/dev/null
check 'the daemon stops with a nic there' blkd_wait_gone 15
hostxen destroy 3
touch "$W/ovs.stuck"
: >"$W/ovs.told"
blkd_start
check 'a daemon that finds the nic of a domain that is gone' within 10 grep -qs del-port "$W/ovs.told"
is 'is ready before Open vSwitch answers' "$(show 3/eth0 .phase) $(iface vif3.0 | grep -o vif3.0)" 'leaving vif3.0'
rm "$W/ovs.stuck"
check 'it answers: the nodes go' within 10 eval '! dom0 xenstore-ls /local/domain/0/backend/vif/3 2>/dev/null | grep -q .'
check 'and the TAP' not iface vif3.0
out=$(nic sinner --ovs ovs-none 2>&1)
is 'a bridge that Open vSwitch does not have: told' "$? $(grep -c 'could not add vif1.0 to "ovs-none"' <<<"$out")" '1 1'
check 'and no TAP is left' not iface vif1.0

# The same on a host without it, whatever this one has: a daemon whose PATH is a directory of all other programs.
mkdir "$W/host"
for dir in /usr/sbin /usr/bin /sbin /bin; do ln -sf $dir/* "$W/host/"; done
rm -f "$W/host/ovs-vsctl"
ctl daemon stop >/dev/null
blkd_wait_gone 15
PATH=$SYNTH_BUILDDIR/hostxen:$SYNTH_BUILDDIR/backend:$SYNTH_BUILDDIR/toolstack:$W/host blkd_start
out=$(nic sinner --ovs ovs-br0 2>&1)
is 'a host without Open vSwitch: told, with what to do' "$? $(grep -c 'there is no ovs-vsctl' <<<"$out") $(grep -c -- --bridge <<<"$out")" '1 1 1'
check 'and no TAP is left there either' not iface vif1.0

# A stream socket
peer_start() # MODE
{
	rm -f "$W/peer.sock" "$W/peer.out" # the shell that makes it anew does so when it likes
	perl "$SYNTH_SRCDIR/tests/net/stream-peer.pl" "$W/peer.sock" "$1" >"$W/peer.out" 2>&1 &
	peer=$!
	children+=($peer)
	disown $peer
	within 10 grep -qs ready "$W/peer.out" || bail 'the socket does not listen' "$W/peer.out"
}
for mode in echo pieces; do
	peer_start $mode
	check "$mode: a nic is attached to a socket" nic sinner --stream "$W/peer.sock"
	is "$mode: what it offers: checksums finished, nothing to be cut" \
		"$(for f in no-csum-offload gso-tcpv4 gso-tcpv6 ipv6-csum-offload sg; do dom0 xenstore-read /local/domain/0/backend/vif/1/0/feature-$f; done | tr -d '\n')" 10001
	like "$mode: frames come back as they went" "$(bad 1 --split 0 connect send 60 1 send 1514 1 send 9000 1 send 65000 1 expect 4 close)" \
		'sent 1.rx 60 flags 0 slots 1.rx 1514 flags 0 slots 1.rx 9000 flags 0 slots 3.rx 65000 flags 0 slots 16.back end 6'
	like "$mode: a checksum the guest left open is finished" "$(bad 1 0 connect tcp 1000 0 expect 1 close)" 'tx 0.rx 1000 flags 0 slots 1.back'
	is "$mode: a packet to be cut, which was not offered, is dropped and said so" "$(bad 1 0 connect tcp 3000 1000 close | sed -n 2p)" 'tx -2 1'
	ctl detach sinner/eth0 --force >/dev/null
	check "$mode: detached, the socket is closed" within 10 grep -q closed "$W/peer.out"
done

peer_start sink
nic sinner --stream "$W/peer.sock" >/dev/null
# A machine that is busy may keep the other end from running for longer than a guest waits: five tries.
unhurried() { local i; for i in 1 2 3 4 5; do got=$(bad 1 0 connect send 60000 400 close); [[ $got != *$'\nsent 400\n'* ]] || return 0; done; echo "$got"; return 1; }
if [ $slow = 1 ]; then
	check 'an end that is slower than the guest, 24 MB: the guest waits, and nothing is lost' unhurried
	check 'all of it arrives' within 20 eval '[ "$(grep -c "^frame 60000" "$W/peer.out")" -ge 400 ]'
else
	skip 'an end that is slower than the guest: nothing is lost' 'with sanitizers it is too slow'
	bad 1 0 connect send 60000 400 close >/dev/null
fi
check 'waiting is counted' grown sinner/eth0 tx_room_waits 1
ctl detach sinner/eth0 --force >/dev/null
peer_start lie
nic sinner --stream "$W/peer.sock" >/dev/null
is 'a length that no frame has: the guest is served on, its frames are dropped' "$(bad 1 0 connect send 60 1 sleep 300 send 60 1 close)" \
	"$(printf 'back end 4\nsent 1\na frame got -2\nback end 6')"
check 'and the log says why' grep -q 'its link is gone' "$W/blkd.log"
ctl detach sinner/eth0 --force >/dev/null
peer_start mute
nic sinner --stream "$W/peer.sock" >/dev/null
worker=$(show sinner/eth0 .worker)
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$worker/status"; }
before=$(rss)
like 'an end that takes nothing: frames are dropped, and the guest does not wait' \
	"$(bad 1 0 connect send 60000 400 close)" 'a frame got -2.back end 6'
check "nor do they pile up in memory: $before KiB, then $(rss)" [ "$(rss)" -lt $((before + 4096 * slow)) ]
kill -KILL $peer
is 'the other end dies: the guest is served on' "$(bad 1 0 connect send 60 1 close | tail -n 1)" 'back end 6'
ctl detach sinner/eth0 --force >/dev/null
peer_start late
nic sinner --stream "$W/peer.sock" >/dev/null
bad_start s 1 0 connect send 60000 400 sleep 2500 say silent line close # after a second a queue is woken by itself, once
check 'an end that takes nothing for a while: the guest sends till there is no room, and is silent' within 20 said s silent
kill -USR1 $peer
frames() { grep -c '^frame 60000' "$W/peer.out"; }
check 'when it reads on, it gets the rest of a frame of which the socket took a part' \
	within 10 eval '[ "$(frames)" = "$(metric sinner/eth0 tx_packets)" ]'
check "that were some ($(frames))" [ "$(frames)" -gt 10 ]
line s
within 10 said s 'back end 6'
ctl detach sinner/eth0 --force >/dev/null
peer_start echo
check 'attached again, it works again' nic sinner --stream "$W/peer.sock"
like 'frames come back' "$(bad 1 0 connect send 60 1 expect 1 close)" 'rx 60 flags 0 slots 1'
ctl detach sinner/eth0 --force >/dev/null

# A TAP by name, and one that is deleted under the guest
check 'a TAP by name is made' nic sinner --tap wire0 --mtu 9000 --queues 2
is 'with the MTU that was asked for' "$(tap_mtu wire0) $(dom0 xenstore-read /local/domain/1/device/svif/0/mtu)" '9000 9000'
bad_start t 1 --split 0 connect say up line send 60 5 say sent line close
check 'a guest is connected' within 10 said t up
ip link del wire0
line t
check 'its TAP is deleted: it is served on, and what it sends is dropped' within 10 said t '^a frame got -2|^sent'
check 'the log says that the link is gone' within 10 grep -q 'sinner/eth0: its link is gone' "$W/blkd.log"
worker=$(show sinner/eth0 .worker)
ticks() { awk '{ print $14 + $15 }' "/proc/$worker/stat"; }
before=$(ticks)
sleep 1
check 'and nobody turns in circles over it' [ $(($(ticks) - before)) -lt $((30 * slow)) ]
line t
check 'the guest closes in peace' within 10 said t 'back end 6'
check 'it is detached' ctl detach sinner/eth0 --force
check 'and can be attached again' nic sinner --tap wire0
is 'and serves' "$(bad 1 0 connect send 60 5 close)" "$(printf 'back end 4\nsent 5\nback end 6')"
ctl detach sinner/eth0 --force >/dev/null
check 'the TAP goes with it' not iface wire0

# A bridge that goes away: the TAP stays, without one
ip link add br7 type bridge && ip link set br7 up
nic sinner --bridge br7 >/dev/null
ip link del br7
is 'a bridge that is deleted: the guest is served on' "$(bad 1 0 connect send 60 5 close)" "$(printf 'back end 4\nsent 5\nback end 6')"
check 'and it is detached in peace' ctl detach sinner/eth0 --force
check 'its TAP goes' not iface vif1.0
world_end
