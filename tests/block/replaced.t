# SPDX-License-Identifier: LGPL-2.1-or-later
# replaced.t - another file takes the place of the image that a guest uses: the guest goes on with its own, or waits for it, and the
# other one stays as it is.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
export SYNTH_BACKOFF_MAX_MS=20
world_start
wait=$((20 * slow))
img=$(image a.img 8M)
head -c 8M /dev/urandom >"$W/other"
worker() { show sinner/xvda .worker; }
status() { ctl daemon status --json | jq -r "$1"; }
# The guest's own has another name from here on, and another file has this one.
replace() { mv "$img" "$W/own.img" && cp "$W/other" "$img"; }
put_back() { mv "$W/own.img" "$img"; }
waits() { [[ $(show sinner/xvda .broken) == 'it is not served again yet: another file has taken the place of'* ]]; }
untouched() { is "$1: the other file is as it was" "$(cmp "$W/other" "$img" 2>&1)" ''; }
image_findings() { ctl doctor --json | jq -r '.findings[] | select(.check == "image") | "\(.level) \(.subject): \(.what)"'; }

attach sinner "$img" xvda >/dev/null
hostxen run -d 1 -- synth-blkfront io xvda --no-reconnect --rw randread=1,randwrite=1 --bs 4k-16k --depth 8 --rate 300 --verify --runtime 600 --json >"$W/io.out" 2>"$W/io.log" &
io=$!
children+=($io)
check 'a guest does I/O' within $wait more_requests sinner/xvda 50
is 'nothing is said of an image that is in its place' "$(image_findings)" ''

replace
check 'replaced: the guest goes on' goes_on $wait sinner/xvda 20
is 'replaced: the doctor notices' "$(image_findings)" "warning sinner/xvda: another file has taken the place of its image $img"
sizes() { stat -c %s "$W/own.img" "$img" | tr '\n' ' '; }
before=$(sizes)
out=$(ctl resize sinner/xvda 16M 2>&1)
is 'replaced: a resize is refused' $? 1
like 'replaced: ... which says why' "$out" 'another file has taken the place of'
is 'replaced: ... and no file has another size' "$(sizes)" "$before"
pid=$(worker)
out=$(ctl daemon upgrade 2>&1)
is 'replaced: an upgrade does not replace the worker, which alone has the guest'\''s file' "$? $(worker)" "1 $pid"
like 'replaced: and says why' "$out" 'domain 1 keeps the worker it has: sinner/xvda: another file has taken the place of'
check 'replaced, upgraded: the guest goes on' goes_on $wait sinner/xvda 20
rm "$img"
out=$(ctl daemon upgrade 2>&1)
is 'removed: an upgrade does not replace the worker' "$? $(worker)" "1 $pid"
like 'removed: and says why' "$out" 'sinner/xvda: .* does not exist'
cp "$W/other" "$img"

kill -KILL "$pid"
check 'replaced, and the worker dies: the guest waits, which is told' within $wait waits
is 'replaced, and the worker dies: the guest was told nothing' "$(show sinner/xvda .state)" Connected
untouched 'replaced, and the worker dies'
put_back
check 'put back: the guest is served again' goes_on $wait sinner/xvda 20

pid=$(worker)
kill -KILL "$blkd_pid"
kill -KILL "$pid"
replace
blkd_start
check 'replaced, and the daemon dies with the worker: the guest waits' within $wait waits
untouched 'replaced, and the daemon dies with the worker'
put_back
check 'put back: the guest is served again' goes_on $wait sinner/xvda 20
pid=$(worker)
check 'put back: an upgrade' ctl daemon upgrade
check 'put back: has replaced the worker' [ "$(worker)" != "$pid" ]
check 'put back: the guest goes on' goes_on $wait sinner/xvda 20

kill -TERM $io
within $wait not kill -0 $io
is 'every byte was right' "$(jq -r .errors "$W/io.out")" 0

# A guest that waits for an image which does not come.
within $wait fresh sinner/xvda
background hostxen run -d 1 -- "$badfront" -t 600000 51712 hold >"$W/hold"
within $wait equal '$(show sinner/xvda .phase)' connected
replace
kill -KILL "$(worker)"
check 'a guest waits' within $wait waits
check 'a guest waits: its disk is taken away by force' ctl detach sinner/xvda --force
check 'a guest waits: the other file is nobody'\''s, and is attached' attach sinner "$img" xvda
untouched 'a guest waits'
world_end
