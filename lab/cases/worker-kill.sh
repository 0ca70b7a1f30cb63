# SPDX-License-Identifier: LGPL-2.1-or-later
# what: kill -9 of the worker, time and again, also while it recovers, under fio --verify with trims and flushes: the guest sees pauses, no error; no state moves, nothing leaks
# set: short
# time: 200
# A dozen and more: LAB_ENV=KILLS=12 lab/run worker-kill
kills=${KILLS:-$(amount 4 3)}
load_disks
before=$(holds blkd xvdb)
watch_states
load_start "$kills"
goes_on
i=0
while [ $i -lt "$kills" ]; do
	worker=$(field xvdb worker)
	# Every third dies while it takes up the rings of the one before.
	[ $((i % 3)) = 2 ] || usleep $((RANDOM % 1000 * 1000))
	kill -9 "$worker"
	# Who asks takes the one CPU of dom0 from whom he asks about; but not where the next is to die while it takes up the rings.
	[ $((i % 3)) = 1 ] || usleep 1000000
	eventually 20 another_worker xvdb "$worker"
	[ $((i % 3)) = 1 ] || goes_on
	i=$((i + 1))
done
goes_on
noted load_stop
note "pauses of $kills kills: $(load_pauses)"
states_stood
[ "$(field xvdb worker)" = "$(field xvdc worker)" ]
gone() { no_more_than "$before" "$(holds blkd xvdb)"; }
eventually 10 gone || fail "before: $before, after: $(holds blkd xvdb)"
detach xvdb
detach xvdc
[ "$(mapped "$id")" = "$mappings" ]
blkverify --scan "$other"
