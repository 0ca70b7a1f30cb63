# SPDX-License-Identifier: LGPL-2.1-or-later
# hostcrash.t - the host loses its power: what a guest flushed is there.  README.md tells how that can be known.
#	CRASH_FLUSHES=N    flushes a run (60); CRASH_SUBSETS=N    images a flush (8)
WORLD_LIMIT=${WORLD_LIMIT:-900}
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"

io=$SYNTH_BUILDDIR/tests/hostcrash/crash-io check=$SYNTH_BUILDDIR/tests/hostcrash/crash-check
plugin=$SYNTH_BUILDDIR/tests/hostcrash/.libs/nbdkit-crashlog-plugin.so
preload=$SYNTH_BUILDDIR/tests/hostcrash/.libs/crash-preload.so
flushes=${CRASH_FLUSHES:-60} subsets=${CRASH_SUBSETS:-8} seed=${SEED:-$RANDOM}
# An instrumented library wants its runtime to be there first.
runtime=
if grep -qa __asan_init "$plugin" 2>/dev/null; then runtime=$(${CC:-gcc} -print-file-name=libasan.so); fi
sectors=4096 # 2 MiB: small, so that what is written again is what was flushed
echo "# SEED=$seed"
chmod 711 "$W"

# The images a crash could have left: they are right, or, where flushes were meddled with, they are not.
judge() # NAME LOG right|wrong
{
	local out status=0
	out=$("$check" "$2" $sectors "$subsets" "$seed" 2>&1) || status=1
	diag <<<"$out"
	case $3$status in
	right0) pass "$1" ;;
	wrong1) if [[ $out == *'an answered write is lost'* ]]; then pass "$1"; else fail "$1" "it failed otherwise"; fi ;;
	*) fail "$1" "$out" ;;
	esac
	rm -f "$2"
}

write_some() # NAME LOG FLUSHES QUEUES
{
	check "$1" timeout 300 hostxen run -d 1 -- "$io" "$2" "$3" "$seed" "$4"
}

# What is wrong is wrong soon; and the more is never synced, the longer each image takes.
flushes_for() { if [ "$1" = right ] || [ "$flushes" -lt 60 ]; then echo "$flushes"; else echo 60; fi; }

on_nbd() # NAME flush=HOW QUEUES right|wrong
{
	local log=$W/log.$tap_n sock=$W/nbd.$tap_n
	"$check" create "$log"
	background env LD_PRELOAD="$runtime" ASAN_OPTIONS=detect_leaks=0 nbdkit -f -U "$sock" "$plugin" log="$log" size=2M flush="$2"
	within 10 test -S "$sock"
	attach sinner "nbd+unix:///?socket=$sock" xvda --queues "$3" >/dev/null
	write_some "$1: served" "$log" "$(flushes_for "$4")" "$3"
	ctl detach sinner/xvda >/dev/null
	children_kill
	judge "$1" "$log" "$4"
}

world_start
if [ -e "$plugin" ] && command -v nbdkit >/dev/null; then
	on_nbd 'an NBD disk: what was flushed is there' yes 1 right
	on_nbd 'an NBD disk, two queues: what was flushed is there' yes 2 right
	on_nbd 'a server that ignores flushes is found out' lost 1 wrong
	on_nbd 'a server that answers flushes too early is found out' early 1 wrong
else
	skip 'an NBD disk' 'nbdkit is not installed, or was not where it was built'
fi
ctl daemon stop >/dev/null 2>&1
blkd_wait_gone 15

# By system calls, so that they can be looked at; on a real disk, where flushes mean something.
dir=$(mktemp -d "${SYNTH_TEST_DISK:-/var/tmp}/synth-crash-XXXXXX") && world_dirs+=("$dir")
on_file() # NAME HOW QUEUES right|wrong
{
	local log=$W/log.$tap_n img=$dir/$tap_n.img
	"$check" create "$log"
	truncate -s $((sectors * 512)) "$img"
	export CRASH_LOG=$log CRASH_IMAGE=$img CRASH_SYNC=$2 SYNTH_NO_URING=1
	LD_PRELOAD=$preload blkd_start
	attach sinner "$img" xvda --queues "$3" >/dev/null
	write_some "$1: served" "$log" "$(flushes_for "$4")" "$3"
	ctl detach sinner/xvda >/dev/null
	ctl daemon stop >/dev/null 2>&1
	blkd_wait_gone 15
	judge "$1" "$log" "$4"
}
if grep -qa __asan_init "$SYNTH_BUILDDIR"/backend/{.libs/,}synth-blkd-worker 2>/dev/null; then
	skip 'an image file' 'a sanitizer wants to be preloaded first'
else
	on_file 'an image file: what was flushed is there' yes 1 right
	on_file 'an image file, two queues: what was flushed is there' yes 2 right
	on_file 'a worker that does not flush is found out' lost 1 wrong
fi
unset CRASH_LOG CRASH_IMAGE CRASH_SYNC SYNTH_NO_URING
blkd_start
world_end
