# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a guest whose disk was detached goes through xl save and xl restore, and gets the disk again, whole
# guest: own
# time: 300
G=saved-$TYPE
img=$(image saved.img 8M)
guest_boot "$G"
attach "file:$img" xvda
g 'wait_dev xvda && echo kept | dd of=/dev/xvda bs=512 count=1 conv=sync,fsync'
detach xvda
g 'echo in memory >/tmp/kept'
xl save "$G" /srv/saved.state
eventually 10 refuses running
xl restore /srv/saved.state
[ "$(g -t 60 'cat /tmp/kept')" = 'in memory' ]
attach "file:$img" xvda
[ "$(g 'wait_dev xvda && head -c 4 /dev/xvda')" = kept ]
guest_destroy "$G"
eventually 20 nothing_left
