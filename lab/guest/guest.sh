# SPDX-License-Identifier: LGPL-2.1-or-later
# guest.sh - read before every script a case sends to a guest.  SLOW is dom0's: what a machine is slower than an idle one.
: "${SLOW:=1}"

# eventually SEC CMD...: CMD succeeds within SEC.
eventually() {
	read -r _up _ </proc/uptime
	_end=$((${_up%.*} + $1 * SLOW))
	shift
	until "$@"; do
		read -r _up _ </proc/uptime
		[ "${_up%.*}" -lt $_end ] || return 1
		usleep 100000
	done
}
refuses() { ! "$@"; }

# wait_dev DEV [SEC]: until /dev/DEV is there.
wait_dev() { eventually "${2:-20}" [ -b "/dev/$1" ] || { echo "no /dev/$1"; return 1; }; }

# no_dev DEV [SEC]: until it is gone.
no_dev() { eventually "${2:-20}" [ ! -b "/dev/$1" ] || { echo "/dev/$1 is still there"; return 1; }; }

# nic ethX: the name the guest's kernel gave the nic that synthctl calls ethX; nothing when it is not there.
nic() {
	for _n in /sys/class/net/*/device/nodename; do
		[ ! -e "$_n" ] || [ "$(cat "$_n")" != "device/vif/${1#eth}" ] || { _n=${_n%/device/nodename}; echo "${_n##*/}"; }
	done
}

# wait_nic ethX [SEC]: until it is there and has a carrier; its name.
wait_nic() {
	eventually "${2:-20}" nic_is_up "$1" || { echo "no nic $1, or no carrier: $_nic"; ip link; return 1; }
	echo "$_nic"
}
nic_is_up() {
	_nic=$(nic "$1") && [ -n "$_nic" ] && ip link set "$_nic" up && [ "$(cat "/sys/class/net/$_nic/carrier" 2>/dev/null)" = 1 ]
}

# no_nic ethX [SEC]: until it is gone.
no_nic() { eventually "${2:-20}" has_no_nic "$1" || { echo "$1 is still there, as $(nic "$1")"; return 1; }; }
has_no_nic() { [ -z "$(nic "$1")" ]; }

# net_up ethX NET [HOST]: the guest is 10.9.NET.HOST and fd09:NET::HOST there (HOST is 2 by itself).
net_up() {
	_nic=$(wait_nic "$1") || { echo "$_nic"; return 1; }
	echo 0 >"/proc/sys/net/ipv6/conf/$_nic/accept_dad"
	ip addr add "10.9.$2.${3:-2}/24" dev "$_nic"
	ip addr add "fd09:$2::${3:-2}/64" dev "$_nic"
	echo "$1 is $_nic"
}

# reaches ADDRESS [SEC]: it answers a ping within SEC.
reaches() { eventually "${2:-20}" answers "$1" || { echo "no answer from $1"; ip neigh; return 1; }; }
answers() { ping -c 1 -W 1 "$1" >/dev/null 2>&1; }

# ends FILE [SEC]: FILE, which a load in the background writes at its end, has something in it.
ends() { eventually "${2:-20}" [ -s "$1" ] || { echo "no end of what writes $1"; return 1; }; }
# stuck: what waits in the kernel and cannot be interrupted, and where.
stuck() {
	for _p in /proc/[0-9]*; do
		case $(cat "$_p/stat" 2>/dev/null) in *') D '*) echo "$(cat "$_p/comm"):"; cat "$_p/stack" ;; esac
	done
}
# exits PID [SEC]: the process is gone.
exits() { eventually "${2:-20}" [ ! -d "/proc/$1" ] || { echo "process $1 does not end"; return 1; }; }
