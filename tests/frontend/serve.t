#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `synth-blkfront serve`: NBD clients see the disk, byte for byte.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
. "$SYNTH_SRCDIR/tests/frontend/front.sh"
for tool in nbdkit nbdcopy nbdinfo qemu-img; do
	command -v $tool >/dev/null || skip_all "$tool is not installed"
done
[ -e "$SYNTH_BUILDDIR/frontend/.libs/nbdkit-synth-plugin.so" ] || skip_all 'built without nbdkit'
ldd "$SYNTH_BUILDDIR/frontend/.libs/nbdkit-synth-plugin.so" | grep -qE 'lib[at]san' && skip_all 'nbdkit cannot load a sanitized plugin'
world_start
img=$(image a.img 64M)
head -c 64M /dev/urandom >"$img"
attach sinner "file:$img" xvda --queues 2 >"$W/attach.out" 2>&1 || { echo "Bail out! cannot attach"; diag <"$W/attach.out"; exit 1; }
uri="nbd+unix:///?socket=$W/sock"

serve_start() # ARGS...
{
	rm -f "$W/sock"
	hostxen run -d 1 -- synth-blkfront serve xvda --unix "$W/sock" "$@" >>"$W/serve.log" 2>&1 &
	serve=$!
	children+=($serve)
	disown $serve
	within 10 test -S "$W/sock" || { echo "Bail out! serve does not start"; diag <"$W/serve.log"; exit 1; }
}
serve_stop()
{
	kill -TERM $serve
	within 15 not kill -0 $serve
}

serve_start --queues 2
nbdinfo --json "$uri" >"$W/out"
is 'size and abilities' "$(got '.exports[0] | [."export-size", .can_multi_conn, .can_flush, .can_fua, .can_trim, .is_read_only, .block_size_minimum] | tostring')" \
	'[67108864,true,true,true,true,false,512]'
nbdcopy "$uri" "$W/copy" 2>"$W/err"
check 'nbdcopy reads every byte' cmp "$W/copy" "$img"
check 'qemu-img compare finds no difference' timeout 60 qemu-img compare -f raw -F raw "$uri" "$img"
head -c 64M /dev/urandom >"$W/new"
check 'nbdcopy writes' timeout 60 nbdcopy --flush --connections=4 "$W/new" "$uri"
check 'nbdcopy wrote every byte' cmp "$W/new" "$img"
check 'qemu-io at odd places' timeout 60 qemu-io -f raw -c 'write -P 7 512 512' -c 'write -P 9 1M 3M' -c flush \
	-c 'read -P 7 512 512' -c 'read -P 9 1M 3M' "$uri"
check 'trim' timeout 60 qemu-io -f raw -c 'discard 8M 4M' -c flush "$uri"
if command -v nbdsh >/dev/null; then
	nbdsh -u "$uri" -c 'h.set_strict_mode(0)' -c 'h.pread(100, 100)' >"$W/out" 2>"$W/err"
	like 'a request that is not in sectors is refused' "$(cat "$W/err")" 'Invalid argument'
else
	skip 'a request that is not in sectors is refused' 'nbdsh is not installed (Debian: python3-libnbd)'
fi
serve_stop && pass 'serve ends on SIGTERM' || fail 'serve ends on SIGTERM'
is 'and closes the disk' "$(show sinner/xvda .state)" InitWait
verified 'which can be opened again' --rw randrw --depth 8 --ios 500

# A client that has written, not flushed, and asks for nothing while the back end wants the disk back: each queue is asked for its flush.
serve_start --queues 2
mkfifo "$W/io.in"
stdbuf -oL qemu-io -t writeback -f raw "$uri" <"$W/io.in" >"$W/io.out" 2>&1 &
client=$!
children+=($client)
exec {io}>"$W/io.in"
# asks COMMAND ANSWER: it takes the next line when it waits for input again
asks() { echo "$1" >&$io; within 10 grep -q "$2" "$W/io.out"; }
check 'an NBD client writes, and is idle' asks 'write -P 5 0 64k' 'wrote 65536/65536 bytes at offset 0'
check 'on both queues' asks 'write -P 6 64k 32k' 'wrote 32768/32768 bytes at offset 65536'
check 'its disk is detached' ctl detach sinner/xvda
is 'with a flush, in time' "$(grep -c 'wants the disk back' "$W/serve.log") $(grep -c 'is given back with' "$W/serve.log")" '1 0'
check 'and attached again' attach sinner "file:$img" xvda --queues 2
check 'an idle client is connected again' within 20 equal '$(show sinner/xvda .state)' Connected
check 'detached once more, after nothing was asked of it' ctl detach sinner/xvda
is 'there is nothing to be waited for either' "$(grep -c 'wants the disk back' "$W/serve.log") $(grep -c 'is given back with' "$W/serve.log")" '2 0'
check 'and attached once more' attach sinner "file:$img" xvda --queues 2
check 'the client reads what it wrote' asks 'read -P 5 0 64k' 'read 65536/65536 bytes at offset 0'
check 'from either queue' asks 'read -P 6 64k 32k' 'read 32768/32768 bytes at offset 65536'
printf 'flush\nquit\n' >&$io
exec {io}>&-
wait $client
is 'the client noticed nothing' "$? $(grep -ciE 'fail|error' "$W/io.out")" '0 0'
serve_stop

serve_start --readonly
nbdinfo --json "$uri" >"$W/out"
is '--readonly' "$(got '.exports[0].is_read_only')" true
front io xvda --ios 1
is 'the disk is in use meanwhile' "$rc" 4
serve_stop
serve_start -- --filter=blocksize minblock=512 --threads=4
nbdinfo --json "$uri" >"$W/out"
is "nbdkit's filters can be used" "$(got '.exports[0].block_size_minimum')" 1
serve_stop
world_end
