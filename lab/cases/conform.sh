# SPDX-License-Identifier: LGPL-2.1-or-later
# what: the conformance suite which keeps hostxen honest passes on real Xen, dom0 and a guest as its two sides
# guest: own
# time: 400
G=conform-$TYPE
guest_boot "$G"
g '(conform agent >/tmp/agent.log 2>&1 &)'
conform dom0 "$(domid)" | tee /tmp/conform.tap | grep -v '^ok' || :
note "$(grep -c '^ok' /tmp/conform.tap) of $(sed -n 's/^1\.\.//p' /tmp/conform.tap), skipped $(grep -ci '# skip' /tmp/conform.tap)"
{ grep '^not ok' /tmp/conform.tap || :; } | while read -r l; do note "$l"; done
refuses grep -q '^not ok' /tmp/conform.tap
guest_destroy "$G"
