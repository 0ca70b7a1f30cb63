#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A guest's way to xenstored: its permissions, many clients on one ring, watches, transactions, what dies with a client.
. "${SYNTH_SRCDIR:-.}/hostxen/test-lib.sh"
command -v xenstore-read >/dev/null || { echo '1..0 # SKIP no xenstore-read (Debian: xenstore-utils)'; exit 0; }
"$hostxen" start || { echo 'Bail out! no world'; exit 1; }
"$hostxen" create 4
"$hostxen" create 5
dom0() { "$hostxen" run -- timeout 20 "$@"; }
u4() { "$hostxen" run -d 4 -- timeout 20 "$@"; }
u5() { "$hostxen" run -d 5 -- timeout 20 "$@"; }

is 'relative paths are below the home' "$(u4 xenstore-read domid name)" $'4\nguest-4'
is 'a guest does not see another home' "$(u5 xenstore-read /local/domain/4/data 2>&1 >/dev/null | wc -l)" 1
check 'it writes where it may' u4 xenstore-write data/mine hello
is 'dom0 reads it' "$(dom0 xenstore-read /local/domain/4/data/mine)" hello
check 'it may not write beside that' not u4 xenstore-write device/mine hello
check 'nor in a home not its own' not u4 xenstore-write /local/domain/5/data/x hello
check 'nor introduce domains' not u4 xenstore-write /local/domain/9/x hello
dom0 xenstore-write /local/domain/5/data/secret s
dom0 xenstore-chmod /local/domain/5/data/secret n5
is 'what dom0 keeps from it stays kept' "$(u4 xenstore-read /local/domain/5/data/secret 2>/dev/null)" ''
dom0 xenstore-write /local/domain/4/data/open o
dom0 xenstore-chmod /local/domain/4/data/open n4 r5
is 'what is opened to it can be read' "$(u5 xenstore-read /local/domain/4/data/open)" o

big=$(head -c 2000 /dev/zero | tr '\0' x)
u4 xenstore-write data/big "$big"
is 'a value larger than the ring passes both ways' "$(u4 xenstore-read data/big | wc -c)" 2001
check 'a listing longer than a message' dom0 sh -c 'for i in $(seq 300); do echo /local/domain/4/data/list/a-rather-long-name-of-a-node-$i; echo x; done | xargs xenstore-write'
is 'comes in whole' "$(u4 xenstore-list data/list | wc -l)" 300

# --- many clients
jobs=()
for c in $(seq 12); do
	u4 sh -c "for i in \$(seq 40); do xenstore-write data/c$c \$i && [ \"\$(xenstore-read data/c$c)\" = \$i ] || exit 1; done" & jobs+=($!)
done
bad=0
for j in "${jobs[@]}"; do wait "$j" || bad=$((bad + 1)); done
is 'twelve clients at once get their own answers' $bad 0

# --- watches
watch() # FILE PATH...: xenstore-watch of the guest in the background
{
	local out=$1
	shift
	"$hostxen" run -d 4 -- timeout 20 stdbuf -oL xenstore-watch "$@" >"$out" 2>/dev/null &
	pids+=($!)
	within 5 test -s "$out"
}
u4 xenstore-write data/w 0
watch "$tmp/w1" data/w
watch "$tmp/w2" data/w
n1=$(wc -l <"$tmp/w1")
dom0 xenstore-write /local/domain/4/data/w 1
fired() { [ "$(wc -l <"$1")" -gt "$2" ]; }
check 'a watch fires for what dom0 writes' within 5 fired "$tmp/w1" "$n1"
check 'for each of two watchers of one path' within 5 fired "$tmp/w2" 1
is 'the path is told as it was watched' "$(sort -u "$tmp/w1")" data/w
u5 xenstore-write data/w5 0
kill "${pids[0]}"
wait "${pids[0]}" 2>/dev/null
n2=$(wc -l <"$tmp/w2")
dom0 xenstore-write /local/domain/4/data/w 2
check 'a watcher that ends does not take the other along' within 5 fired "$tmp/w2" "$n2"
# 128 is a guest's quota: were the watches of dead clients kept, this would run into it.
ok=0
for i in $(seq 150); do
	"$hostxen" run -d 4 -- timeout 0.05 stdbuf -oL xenstore-watch data/w >"$tmp/w3" 2>/dev/null
	[ -s "$tmp/w3" ] && ok=$((ok + 1))
done
within 5 true
: >"$tmp/w4"
watch "$tmp/w4" data/w
check "dead clients' watches are removed" test -s "$tmp/w4"
[ "$ok" -gt 100 ] || echo "# only $ok of 150 were watching when they were killed"

# --- the end of the domain
# (xenstore-watch does not notice; the agent of the conformance suite does, and ends)
"$hostxen" run -d 5 -- "$SYNTH_BUILDDIR/tests/conform/conform" agent & w5=$!
pids+=($w5)
within 5 dom0 xenstore-read /local/domain/5/data/conform/0/rsp
"$hostxen" destroy 5
ended() { ! kill -0 $w5 2>/dev/null; }
check 'a destroyed domain ends its clients' within 5 ended
check 'its home is removed' not dom0 xenstore-read /local/domain/5/name
check 'the other goes on' u4 xenstore-read name
"$hostxen" create 5
is 'the number again is a fresh home' "$(u5 xenstore-list data)" ''
is 'the broker had nothing to complain about' "$(cat "$HOSTXEN_DIR/hostxend.log")" ''
done_testing
