# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a disk attached before the guest starts is there at boot, and its bytes are the image's
# set: short pvh
# guest: own
# time: 90
G=early-$TYPE
img=$(image early.img 8M)
random "$img" 8
guest_create "$G"
synthctl attach disk "$G" "file:$img=xvda"
xl unpause "$G"
guest_wait "$G"
g wait_dev xvda
[ "$(g 'md5sum </dev/xvda' | cut -d' ' -f1)" = "$(sum "$img")" ]
guest_destroy "$G"
eventually 20 nothing_left
