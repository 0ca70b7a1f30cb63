# SPDX-License-Identifier: LGPL-2.1-or-later
# requests.t - every way one request can be wrong, in every shape of ring: each is answered with the documented status, alone, in
# zero-padded bytes, and touches nothing; the disk beside it goes on.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
honest_start

# What must come back, but for what depends on the device.
expected='
unknown-op eopnotsupp
reserved-op eopnotsupp
op-255 eopnotsupp
no-segments error
no-segments-write error
12-segments error
255-segments error
first-after-last error
last-8 error
first-last-255 error
past-end error
past-end-write error
sector-overflow error
byte-overflow error
indirect-0 error
indirect-257 error
indirect-65535 error
indirect-nested error
indirect-flush error
indirect-bad-page error
indirect-last-8 error
indirect-past-end error
indirect-bad-gref error
indirect-self ok
bad-gref error
bad-gref-write error
bad-gref-first error
bad-gref-middle error
bad-gref-last error
foreign-gref error
third-party-gref error
readonly-gref error
same-gref-twice ok
ring-gref ok
discard-overflow error
discard-huge error
discard-past-end error
discard-zero error
discard-flags ok
flush-garbage ok
flush-12-segments error
zero-slot error
ones-slot eopnotsupp
same-gref-in-two ok ok'

# A grant number that is good in another guest and not in this one (the sinner never holds so many).
background hostxen run -d 2 -- "$badfront" -t 600000 51712 grefs >"$W/grefs"
within 10 test -s "$W/grefs"
foreign=$(cat "$W/grefs")

image a.img 8M >/dev/null
fill() { head -c 8M /dev/urandom >"$W/a.img"; sha256sum <"$W/a.img"; }

# shape NAME BADFRONT-OPTIONS...: all request sins on one connection
shape()
{
	local name=$1 line sin want got before
	shift
	before=$(fill)
	attach sinner "$W/a.img" xvda >/dev/null || { fail "$name: attach"; return; }
	bad 1 -r "$foreign" -d 2 "$@" 51712 all-requests >"$W/out" 2>&1
	while read -r sin want; do
		[ -n "$sin" ] || continue
		got=$(sed -n "s/^$sin //p" "$W/out")
		is "$name: $sin is answered: $want" "$got" "$want"
	done <<<"$expected"
	like "$name: rejections are counted" "$(stat_of sinner/xvda bad_requests)" '^[1-9][0-9]+$'
	is "$name: a front end that sends bad requests is not cut off" "$(show sinner/xvda .broken)" null
	check "$name: the device is reusable" bad 1 -n 10 51712 verify
	undisturbed "$name"
	ctl detach sinner/xvda --force >/dev/null
}

shape 'x86_64'
shape 'x86_64, persistent' -p
shape 'x86_32' -a x86_32
shape 'no protocol node, 4 pages, persistent' -a none -o 2 -p
shape '2 queues of 2 pages' -q 2 -o 1

# ------------------------------------------------------------- what depends on the device
one() { bad 1 51712 request "$1" 2>&1; } # SIN

before=$(fill)
attach sinner "$W/a.img" xvda --ro >/dev/null
# XSA-142, XSA-266: every path that could write
for sin in write discard barrier flush-with-data indirect-write; do
	like "a read-only disk refuses: $sin (XSA-142, XSA-266)" "$(one $sin)" "^$sin (error|eopnotsupp)\$"
done
like 'a read-only disk is still read' "$(one same-gref-twice)" ' ok$'
like 'a read-only disk is still flushed' "$(one flush-garbage)" ' ok$'
ctl detach sinner/xvda --force >/dev/null
is 'no byte of a read-only image has changed' "$(sha256sum <"$W/a.img")" "$before"

attach sinner "$W/a.img" xvda --no-discard >/dev/null
is 'without --no-discard nothing is discarded: EOPNOTSUPP' "$(one discard)" 'discard eopnotsupp'
ctl detach sinner/xvda --force >/dev/null
attach sinner "$W/a.img" xvda --queues 2 >/dev/null
is 'a barrier that was not offered (2 queues): EOPNOTSUPP' "$(one barrier)" 'barrier eopnotsupp'
ctl detach sinner/xvda --force >/dev/null

attach sinner null:8M xvda >/dev/null
bad 1 -r "$foreign" -d 2 51712 all-requests >"$W/out" 2>&1
is 'null: bad requests are refused there too' "$(grep -c ' error$' "$W/out")" "$(grep -c ' error$' <<<"$expected")"
ctl detach sinner/xvda --force >/dev/null

# Log and error path under load: the budget of a guest is 20 lines and 10 a second (XSA-157, XSA-180)
attach sinner "$W/a.img" xvda >/dev/null
lines=$(wc -l <"$W/blkd.log")
like 'a flood of bad requests is answered, each once' "$(bad 1 -t 2000 51712 bad-flood | tr '\n' ' ')" '^ok 0 left 0 answered many'
lines=$(($(wc -l <"$W/blkd.log") - lines))
check "a flood of bad requests does not flood the log: $lines lines (XSA-157, XSA-180)" test "$lines" -lt 100
undisturbed 'a flood of bad requests'

world_end
