# SPDX-License-Identifier: LGPL-2.1-or-later
# what: Xen, dom0's toolstack and a guest work; both in-kernel back ends are loaded
# set: short
# time: 60
xl info | grep virt_caps
[ -d /sys/module/xen_blkback ] && [ -d /sys/module/xen_netback ]
xl list "$G"
[ "$(g 'echo alive')" = alive ]
note "$(g 'uname -r; cat /sys/hypervisor/type /sys/hypervisor/guest_type; ls /dev/xen' | tr '\n' ' ')"
refuses g false
