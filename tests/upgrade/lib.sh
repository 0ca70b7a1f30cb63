# SPDX-License-Identifier: LGPL-2.1-or-later
# lib.sh - sourced by the tests of workers that are replaced since an NBD disk comes, after tests/lib/world.sh: two NBD servers, and what
# becomes of workers.
command -v nbdkit >/dev/null || skip_all 'nbdkit is not installed'
[ -e "$SYNTH_BUILDDIR/backend/.libs/synth-store-nbd.so" ] || skip_all 'built without libnbd'
for n in 1 2; do
	background nbdkit -f -U "$W/nbd$n" memory 8M 2>"$W/nbdkit$n.err"
	within 10 [ -S "$W/nbd$n" ] || bail 'nbdkit does not start' "$W/nbdkit$n.err"
done
nbd() { echo "nbd+unix:///?socket=$W/nbd$1"; }
workers_of() { ctl daemon status --json | jq "[.worker_list[] | select(.domid == $1 and .pid != null)] | length"; } # DOMID
moved() { ctl daemon status --json | jq .upgrade.moved; }
# One of the domain's workers was told to hand over to another.
leaving() { [ "$(ctl daemon status --json | jq "[.worker_list[] | select(.domid == $1 and .state == \"quitting\")] | length")" -gt 0 ]; } # DOMID
