# SPDX-License-Identifier: LGPL-2.1-or-later
# what: each ring order and number of queues the stock front end asks for, with and without persistent grants and indirect requests
# time: 200
img=$(image rings.img 8M)
for setting in 'max_ring_page_order=0 max_queues=1' 'max_ring_page_order=1 max_queues=2' 'max_ring_page_order=4 max_queues=1 max_indirect_segments=0' \
	'max_ring_page_order=3 max_queues=2 max_indirect_segments=256 feature_persistent=0'; do
	g "rmmod xen-blkfront && modprobe xen-blkfront $setting"
	attach "file:$img" xvdb
	g wait_dev xvdb
	want=${setting#max_ring_page_order=}
	want=$((1 << ${want%% *}))
	[ "$(field xvdb ring_pages)" = $want ] || fail "$setting: $(field xvdb ring_pages) ring pages"
	note "$setting: queues $(field xvdb queues), ring pages $want, persistent $(field xvdb persistent): $(g -t 60 'blkverify --ios 200 --depth 64 --max 256k --flush /dev/xvdb')"
	detach xvdb
done
g 'rmmod xen-blkfront && modprobe xen-blkfront'
blkverify --scan "$img"
