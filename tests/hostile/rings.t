# SPDX-License-Identifier: LGPL-2.1-or-later
# rings.t - lies about indices, slots that change under the reader, rings never drained, event storms.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
honest_start

img=$(image a.img 8M)
broken() { [ "$(show sinner/xvda .broken)" != null ]; }
state() { show sinner/xvda .state; }

# lie NAME ANSWERED...: the ring is halted for good, said so, and the next connection serves again
for lie in jump-size+1 jump-2^31 jump-minus-1 backwards; do
	attach sinner "$img" xvda >/dev/null
	out=$(bad 1 51712 "$lie")
	like "$lie: nothing more is served (XSA-39, XSA-86)" "$out" 'answered 0$'
	check "$lie: synthctl show tells why the device is broken" within 5 broken
	undisturbed "$lie"
	check "$lie: the next front end is served" bad 1 -n 5 51712 verify
	is "$lie: the device is no longer broken" "$(show sinner/xvda .broken)" null
	ctl detach sinner/xvda --force >/dev/null
done
for shape in '-o 4' '-a x86_32' '-p' '-q 2'; do
	attach sinner "$img" xvda >/dev/null
	# shellcheck disable=SC2086
	is "jump by more than the ring, $shape: nothing is served" "$(bad 1 $shape 51712 jump-size+1)" 'answered 0'
	check "jump by more than the ring, $shape: told" within 5 broken
	ctl detach sinner/xvda --force >/dev/null
done

attach sinner "$img" xvda >/dev/null
is 'a ring filled exactly full at once is served (XSA-38)' "$(bad 1 51712 jump-size)" 'answered 32'
is 'a ring kept exactly full is served (XSA-38)' "$(bad 1 -t 1500 51712 full | tr '\n' ' ')" 'bad 0 left 0 served many '
is 'a ring kept exactly full, 16 pages, persistent' "$(bad 1 -p -o 4 -t 1000 51712 full | tr '\n' ' ')" 'bad 0 left 0 served many '
is 'a ring kept exactly full, x86_32' "$(bad 1 -a x86_32 -t 700 51712 full | tr '\n' ' ')" 'bad 0 left 0 served many '
undisturbed 'a ring kept exactly full'

# cpu_ms PID: processor time used so far, all threads
cpu_ms() { awk -v hz="$(getconf CLK_TCK)" '{ print int(($14 + $15) * 1000 / hz) }' "/proc/$1/stat" 2>/dev/null || echo 0; }
worker=$(show sinner/xvda .worker)
before=$(cpu_ms "$worker")
is 'a ring whose responses nobody takes: each request is answered once' "$(bad 1 -t 2000 51712 never-consume)" 'answered 32 of 32'
used=$(($(cpu_ms "$worker") - before))
check "a ring whose responses nobody takes costs little processor time: $used ms in 2 s" test "$used" -lt $((1000 * slow))

before=$(cpu_ms "$worker") taken=$(stat_of sinner/xvda events_in)
out=$(bad 1 -t 3000 51712 storm | tr '\n' ' ')
is 'an event storm: the device still serves (XSA-332)' "$out" 'notified many alive yes '
taken=$(($(stat_of sinner/xvda events_in) - taken))
check "an event storm: the worker woke up $taken times in 3 s (XSA-332)" test "$taken" -lt 300
used=$(($(cpu_ms "$worker") - before))
check "an event storm is throttled: $used ms of processor time in 3 s (XSA-332)" test "$used" -lt $((1200 * slow))
undisturbed 'an event storm'
like 'an event storm: spurious events are counted' "$(stat_of sinner/xvda events_spurious)" '^[1-9]'

# Everything in the slots and in the indirect page changes while it is read (XSA-155): what each request comes to is open; that
# each is answered once, and nothing else happens, is not.
seed=${SEED:-$RANDOM}
echo "# seed $seed (SEED=$seed repeats it)"
for shape in '' '-p -o 1' '-a x86_32'; do
	# shellcheck disable=SC2086
	out=$(bad 1 $shape -s "$seed" -t 2000 51712 flip | tr '\n' ' ')
	is "slots that change while they are read, ${shape:-plain} (XSA-155)" "$out" 'unanswered 0 sent many surplus 0 alive yes '
	undisturbed "slots that change, ${shape:-plain}"
done
# And all that is shared, the indices and what lies between the slots too: the worker serves, or halts the ring; then it lets go.
rewritten=0
for shape in '' '-p -o 2' '-a x86_32'; do
	# shellcheck disable=SC2086
	out=$(bad 1 $shape -s "$seed" -t 2500 51712 rewrite | tr '\n' ' ')
	like "pages that another thread rewrites while they are served, ${shape:-plain} (XSA-39, 86, 155)" "$out" '^stuck 0 lives many mutations [1-9][0-9]{4}'
	rewritten=$((rewritten + $(sed -n 's/.*mutations \([0-9]*\).*/\1/p' <<<"$out")))
	undisturbed "pages rewritten, ${shape:-plain}"
	check "pages rewritten, ${shape:-plain}: the next front end is served" bad 1 -n 5 51712 verify
done
echo "# $rewritten words were rewritten while they were served"
is 'the worker is still the same one' "$(show sinner/xvda .worker)" "$worker"
world_end
