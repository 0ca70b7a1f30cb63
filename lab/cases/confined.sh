# SPDX-License-Identifier: LGPL-2.1-or-later
# what: the workers of a disk and a nic serve it as a user of their own, without a capability, in an empty root, behind a filter of system calls
# set: short
# time: 60
img=$(image confined.img 4M)
attach "file:$img" xvdb
attach_nic eth0
net_up eth0 1
g 'wait_dev xvdb && echo hello | dd of=/dev/xvdb bs=512 count=1 conv=sync,fsync'
[ "$(head -c 5 "$img")" = hello ]
for worker in $(field xvdb worker) $(field eth0 worker); do
	is() { [ "$(awk -v k="$1:" '$1 == k { print $2 }' "/proc/$worker/status")" = "$2" ]; }
	refuses is Uid 0
	refuses is Gid 0
	is CapEff 0000000000000000
	is CapPrm 0000000000000000
	is CapBnd 0000000000000000
	is NoNewPrivs 1
	is Seccomp 2
	[ -z "$(ls -A "/proc/$worker/root/")" ]
	for ns in mnt net ipc uts pid; do [ "$(readlink "/proc/$worker/ns/$ns")" != "$(readlink /proc/self/ns/$ns)" ]; done
done
detach xvdb
detach eth0
