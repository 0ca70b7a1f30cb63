# SPDX-License-Identifier: LGPL-2.1-or-later
# what: each ring order, one and two queues, with and without persistent grants and indirect requests, as the stock front end asks for them
# time: 200
img=$(image rings.img 8M)
for setting in 'max_ring_page_order=0 max_queues=1' 'max_ring_page_order=1 max_queues=2 feature_persistent=0' \
	'max_ring_page_order=2 max_queues=2' 'max_ring_page_order=3 max_queues=1 max_indirect_segments=256 feature_persistent=0' \
	'max_ring_page_order=4 max_queues=2 max_indirect_segments=0'; do
	g "rmmod xen-blkfront && modprobe xen-blkfront $setting"
	attach "file:$img" xvdb --queues 4
	g wait_dev xvdb
	want="$(echo "$setting" | sed 's/.*order=\([0-9]\).*queues=\([0-9]\).*/\1 \2/') true"
	case $setting in *persistent=0*) want=${want% *}\ false ;; esac
	order=${want%% *}
	want="$((1 << order)) ${want#* }"
	got="$(field xvdb ring_pages) $(field xvdb queues) $(field xvdb persistent)"
	[ "$got" = "$want" ] || fail "$setting: ring pages, queues, persistent are $got, not $want"
	note "$setting:"
	noted g -t 60 'blkverify --ios 200 --depth 64 --max 256k --flush /dev/xvdb'
	detach xvdb
	g no_dev xvdb
done
g 'rmmod xen-blkfront && modprobe xen-blkfront'
blkverify --scan "$img"
