# SPDX-License-Identifier: LGPL-2.1-or-later
# guest.sh - read before every script a case sends to a guest.

# wait_dev DEV [SEC]: until /dev/DEV is there.
wait_dev() {
	_i=0
	until [ -b "/dev/$1" ]; do
		_i=$((_i + 1))
		[ $_i -lt $((${2:-20} * 10)) ] || { echo "no /dev/$1"; return 1; }
		usleep 100000
	done
}

# no_dev DEV [SEC]: until it is gone.
no_dev() {
	_i=0
	while [ -b "/dev/$1" ]; do
		_i=$((_i + 1))
		[ $_i -lt $((${2:-20} * 10)) ] || { echo "/dev/$1 is still there"; return 1; }
		usleep 100000
	done
}
