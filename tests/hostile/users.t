# SPDX-License-Identifier: LGPL-2.1-or-later
# users.t - people's mistakes: each has its exit status and a message that says what, why and what next; the daemon does not care.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
chmod 711 "$W"
world_start
honest_start
img=$(image a.img 8M)

# told NAME STATUS PATTERN ARGS...: synthctl ends so and its stderr says so; and the same as JSON
told()
{
	local name=$1 want=$2 pattern=$3 err status code
	shift 3
	err=$(ctl "$@" 2>&1 >/dev/null)
	status=$?
	if [[ $status =~ ^($want)$ ]] && [[ $err =~ $pattern ]]; then
		pass "$name"
	else
		fail "$name" "synthctl $*: status $status, wanted $want; message wanted /$pattern/:" "$err"
	fi
	err=$(ctl --json "$@" 2>&1 >/dev/null)
	status=$?
	code=$(jq -r '.error.code // .code' <<<"$err" 2>/dev/null)
	case $want:$code in
	1:failed | 2:usage | 3:notfound | 4:busy | 5:timeout | 6:permission | 7:nodaemon | 8:exists) [ $status -eq "$want" ] && pass "$name, JSON" && return ;;
	esac
	fail "$name, JSON" "synthctl --json $*: status $status, code ${code:-none}:" "$err"
}
told 'an unknown domain' 3 'no.*domain|unknown domain|domain.*not' attach disk nobody "$img"
told 'a domain number nobody has' 3 'domain' attach disk 4711 "$img"
told 'a domain number out of range' 3 'domain' attach disk 99999999999 "$img"
told 'no image at all' 3 'does not exist' attach disk sinner "$W/absent.img"
told 'a target that is none' 2 'target|disk|scheme|URI|://' attach disk sinner 'gopher://x'
told 'a size that is none' 2 'size|null' attach disk sinner 'null:12Q'
told 'what looks like a name and is none belongs to the path' 3 '=floppy does not exist' attach disk sinner "$img=floppy"
told 'too many queues' 2 'queues|32' attach disk sinner "$img" --queues 33
told 'an unknown option' 2 'option' attach disk sinner "$img" --colour
told 'an unknown command' 2 'command' atach disk sinner "$img"
told 'an unknown class' 2 'disk' attach printer sinner "$img"
told 'a missing argument' 2 'usage|missing|TARGET|image' attach disk sinner
told 'show: no such device' 3 'no.*xvdz|xvdz' show sinner/xvdz
told 'detach: no such device' 3 'xvdz' detach sinner/xvdz
told 'resize: no such device' 3 'xvdz' resize sinner/xvdz 1G
attach sinner "$img" xvda >/dev/null
told 'a name that is taken' 8 'xvda' attach disk sinner "$(image b.img 1M)=xvda" --user-frontend
told 'an image in use' 4 'attached|locked' attach disk sinner "$img=xvdb"
err=$(ctl attach disk sinner "$W/b.img=xvdc" --user-frontend --wait 0.3 2>&1)
is 'nobody connects in time: status 5' $? 5
like 'nobody connects in time: a message' "$err" 'time'
is '... and the disk stays attached' "$(show sinner/xvdc .state)" InitWait
ctl detach sinner/xvdc --force >/dev/null
told 'resize to what is no multiple of 512' 2 '512' resize sinner/xvda 1000
like 'every error says what to do next or needs no more: the taken name' \
	"$(ctl attach disk sinner "$W/b.img=xvda" 2>&1)" '(^|'$'\n'')next: |next'

# ---------------------------------------------------------------- a guest that does not let go
background hostxen run -d 1 -- "$badfront" -t 600000 51712 hold >"$W/hold"
within 10 grep -q holding "$W/hold"
told 'a guest that refuses to let go' 4 'guest|let go|force' detach sinner/xvda --wait 0.5
like '... is served on' "$(show sinner/xvda .phase)" 'detaching|connected'

# ------------------------------------------------------------------------------ Ctrl-C
start=$SECONDS
timeout --foreground --preserve-status -s INT 1 synthctl detach sinner/xvda --wait 60 >"$W/out" 2>&1
is 'Ctrl-C while waiting for a detach: status 130' $? 130
like '... at once' $((SECONDS - start)) '^[0-5]$'
like '... and says how things stand' "$(cat "$W/out")" 'sinner/xvda'
timeout --foreground --preserve-status -s INT 1 synthctl attach disk sinner "$W/b.img=xvdb" --user-frontend --wait 60 >"$W/out" 2>&1
is 'Ctrl-C while waiting for the guest to connect: status 130' $? 130
like '... and says how things stand' "$(cat "$W/out")" 'attached|xvdb'
is '... which is: attached' "$(show sinner/xvdb .state)" InitWait
check '... and detached as ever' ctl detach sinner/xvdb --force
children_kill
check '... the other too' ctl detach sinner/xvda --force
undisturbed 'Ctrl-C'

# --------------------------------------------------------------- who may talk to the daemon
is 'the control socket is for its owner only' "$(stat -c %a "$SYNTH_RUNDIR/blkd.sock")" 600
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null; then
	chmod 711 "$SYNTH_RUNDIR"
	cp "$SYNTH_BUILDDIR/toolstack/.libs/synthctl" "$W/synthctl" 2>/dev/null || cp "$SYNTH_BUILDDIR/toolstack/synthctl" "$W/synthctl"
	chmod 755 "$W/synthctl"
	err=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$W/synthctl" list 2>&1)
	is 'somebody else: status 6' $? 6
	like '... and a message' "$err" '[Pp]ermission'
else
	skip 'somebody else: status 6' 'needs root to become somebody else'
fi

# ---------------------------------------------------- a client that is no synthctl
# talk BYTES-PROGRAM: send what a perl expression makes, print what comes back within a second
talk()
{
	timeout 10 perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!";
		$SIG{PIPE} = "IGNORE";
		syswrite $s, eval $ARGV[1];
		$s->shutdown(1);
		$SIG{ALRM} = sub { exit 0 };
		alarm 3;
		print while <$s>;' "$SYNTH_RUNDIR/blkd.sock" "$1"
}
usage_reply() { jq -r .error.code <<<"$1" 2>/dev/null; }
is 'what is no JSON is answered as usage' "$(usage_reply "$(talk '"hello\n"')")" usage
is 'what is no object is answered as usage' "$(usage_reply "$(talk '"[1,2]\n"')")" usage
is 'an unknown command is answered as usage' "$(usage_reply "$(talk '"{\"v\":1,\"id\":1,\"cmd\":\"fly\"}\n"')")" usage
is 'arguments of the wrong type are answered as usage' \
	"$(usage_reply "$(talk '"{\"v\":1,\"id\":1,\"cmd\":\"attach\",\"class\":\"disk\",\"dom\":7,\"target\":{\"a\":1}}\n"')")" usage
is 'another version is answered as usage' "$(usage_reply "$(talk '"{\"v\":99,\"id\":1,\"cmd\":\"list\"}\n"')")" usage
is 'a line longer than 64 KiB is answered as usage' "$(usage_reply "$(talk '"{\"v\":1,\"cmd\":\"" . "x" x 200000 . "\"}\n"')")" usage
is 'nested 5000 deep is answered as usage' "$(usage_reply "$(talk '"[" x 5000 . "]" x 5000 . "\n"')")" usage
is 'a NUL in the middle is answered as usage' "$(usage_reply "$(talk '"{\"v\":1,\0\"cmd\":\"list\"}\n"')")" usage
check 'half a line and away' talk '"{\"v\":1,\"cmd\":"'
idle_clients() # N SECONDS
{
	background timeout "$2" perl -MIO::Socket::UNIX -e 'my @s; $| = 1;
		for (1..$ARGV[1]) { my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or last; push @s, $s; }
		print "open\n"; sleep 100' "$SYNTH_RUNDIR/blkd.sock" "$1" >"$W/many" 2>&1
	within 10 grep -q open "$W/many"
}
idle_clients 100 2
check 'with 100 idle clients, another one is served' ctl list
idle_clients 400 2
check 'after 500 idle clients, another one is served' within 10 ctl list
children_kill
undisturbed 'clients of all kinds'

honest_stop_if_any
ctl detach honest/xvda --force >/dev/null
ctl daemon stop >/dev/null
blkd_wait_gone 10
told 'the daemon is not running' 7 'not running' list
told 'the daemon is not running: attach' 7 'not running' attach disk sinner "$img"
blkd_start
check 'and when it runs again' ctl list
hostxen run -d 0 -- timeout 10 synth-blkd >"$W/second.log" 2>&1
like 'a second daemon says that there is one' "$?: $(cat "$W/second.log")" '^1: .*another synth-blkd runs already'
check '... and the first does not mind' ctl list

world_end
