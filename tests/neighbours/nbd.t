#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# NBD servers that let connect and then say nothing, at once or after their greeting: the guest's other disks are served, and
# its worker is not killed for what such a server does.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
command -v perl nbdkit >/dev/null || skip_all 'perl or nbdkit is missing'
[ -e "$SYNTH_BUILDDIR/backend/.libs/synth-store-nbd.so" ] || skip_all 'built without libnbd'

cat >"$W/silent.pl" <<'EOF'
use IO::Socket::UNIX; # SOCKET GREETING: to each who connects
$SIG{PIPE} = 'IGNORE';
my $l = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $ARGV[0], Listen => 64) or die $!;
my @kept;
while (my $c = $l->accept) { syswrite($c, pack('H*', $ARGV[1])) if $ARGV[1]; push @kept, $c; }
EOF
greeting=4e42444d4147494349484156454f50540003 # NBDMAGIC IHAVEOPT, fixed newstyle
background perl "$W/silent.pl" "$W/mute" ''
background perl "$W/silent.pl" "$W/greets" $greeting
server=()
for n in 1 2; do
	background nbdkit -f -U "$W/nbd$n" memory 8M 2>>"$W/nbdkit.err"
	server[$n]=${children[-1]}
done
within 10 eval '[ -S "$W/mute" ] && [ -S "$W/greets" ] && [ -S "$W/nbd1" ] && [ -S "$W/nbd2" ]' || bail 'no servers' "$W/nbdkit.err"
nbd() { echo "nbd+unix:///?socket=$W/$1"; }
ms() { echo $(($(date +%s%N) / 1000000)); }
worker() { show sinner/xvda .worker; }
world_start
honest_start

attach sinner "$(image a.img 8M)" xvda >/dev/null
attach sinner "$(nbd nbd1)" xvdb --ro >/dev/null
attach sinner "$(nbd nbd2)" xvdc --ro >/dev/null
io() { background hostxen run -d 1 -- synth-blkfront io "$1" --no-reconnect --rw randread --rate 200 --runtime 600 >"$W/$1.out" 2>"$W/$1.log"; within 20 more_requests "sinner/$1" 10; }
check 'a guest has a file and two NBD disks' eval 'io xvda && io xvdb && io xvdc'
pid=$(worker)

# -------------------------------------------------------------- one is attached
for how in 'says nothing' 'only greets'; do
	if [ "$how" = 'only greets' ]; then name=greets; else name=mute; fi
	attach sinner "$(image b.img 8M)" xvde >/dev/null
	rm -f "$W/hold"
	background hostxen run -d 1 -- "$badfront" -t 600000 51776 hold >"$W/hold"
	within 15 test -s "$W/hold"
	attach sinner "$(nbd $name)" xvdd >"$W/attach.out" 2>&1 &
	attaching=$!
	within 10 eval '[ "$(show sinner/xvdd .phase)" = attaching ]'
	began=$(ms)
	check "a server that $how: another disk is taken away by force" ctl detach sinner/xvde --force
	took=$(($(ms) - began))
	check "... within ten seconds: $took ms" test "$took" -lt $((10000 + 1000 * slow))
	wait $attaching
	check "a server that $how: not attached" [ $? -ne 0 ]
	is "a server that $how: no worker was killed" "$(worker)" "$pid"
	check "a server that $how: the other disks are served" goes_on 10 sinner/xvda 20
done
like 'one that says nothing: it is told' "$(attach sinner "$(nbd mute)" xvdd 2>&1)" 'lets connect and says nothing'

# ------------------------------------------ they fall silent when a worker has died
falls_silent() # N GREETING
{
	kill -KILL "${server[$1]}"
	rm "$W/nbd$1"
	background perl "$W/silent.pl" "$W/nbd$1" "$2"
	server[$1]=${children[-1]}
	within 10 [ -S "$W/nbd$1" ]
}
deaths() { stat_of sinner/xvda control_worker_deaths; }
for greet in '' $greeting; do
	if [ -z "$greet" ]; then how='say nothing'; else how='say no more than their greeting'; fi
	falls_silent 1 "$greet"
	falls_silent 2 ''
	kill -KILL "$(worker)"
	check "servers $how when a worker has died: the file is served again" goes_on 20 sinner/xvda 20
	n=$(deaths)
	# for longer than a worker has for CONNECT
	check "... and goes on" goes_on 60 sinner/xvda 3600
	is "... by the same worker" "$(deaths)" "$n"
done
undisturbed 'silent servers'
world_end
