# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a disk attached to a running guest appears, its bytes are the image's, and it goes again; the kernel's own back ends keep away
# set: short pv
# time: 60
img=$(image hot.img 8M)
random "$img" 8
attach "file:$img" xvdb
g wait_dev xvdb
[ "$(g 'md5sum </dev/xvdb' | cut -d' ' -f1)" = "$(sum "$img")" ]
g 'cd /sys/block/xvdb; grep -H . size ro queue/*_size queue/max_segments queue/discard_max_bytes; ls mq'
claimed=$(ls /sys/bus/xen-backend/devices | grep -v '^console' || :)
[ -z "$claimed" ] || fail "the kernel's back ends claimed $claimed"
xenstore-ls -fp /local/domain/0/backend/vbd
synthctl show "$G/xvdb"
detach xvdb
g no_dev xvdb
nothing_left
