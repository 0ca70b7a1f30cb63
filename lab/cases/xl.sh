# SPDX-License-Identifier: LGPL-2.1-or-later
# what: `xl block-list` shows our disk and `xl block-detach` takes it away
# set: short pv
# time: 60
img=$(image xl.img 4M)
attach "file:$img" xvdb
g wait_dev xvdb
xl block-list "$G"
xl block-list "$G" | awk '$1 == 51728 && $4 == 4 { found = 1 } END { exit !found }'
xl block-detach "$G" xvdb
g no_dev xvdb
eventually 10 nothing_left
refuses synthctl show "$G/xvdb"
[ -z "$(xl block-list "$G" | awk 'NR > 1')" ]
