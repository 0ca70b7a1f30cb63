# SPDX-License-Identifier: LGPL-2.1-or-later
# what: a few MB (in the short set one) arrive whole both ways, IPv4 and IPv6, with the offloads of both ends on and off
# set: short pv
# time: 200
mib=$(amount 3 1)
random /srv/down "$mib"
attach_nic eth0
net_up eth0 1
g "head -c $((mib << 20)) /dev/urandom >/tmp/up"
down=$(sum /srv/down)
up=$(g 'md5sum </tmp/up' | cut -d' ' -f1)
for how in on off; do
	g "ethtool -K \$(nic eth0) tx $how sg $how tso $how gso $how gro $how"
	ethtool -K "$(vif eth0)" tx $how sg $how tso $how gso $how gro $how
	was="$(counter eth0 tx_gso_packets) $(counter eth0 rx_gso_packets)"
	for net in 10.9.1. fd09:1::; do
		host=${net}1 guest=${net}2
		[ $net = 10.9.1. ] || host="[$host]" guest="[$guest]"
		[ "$(to_guest "$host" down)" = "$down" ]
		[ "$(from_guest "$guest" up)" = "$up" ]
	done
	is="$(counter eth0 tx_gso_packets) $(counter eth0 rx_gso_packets)"
	note "offloads $how: packets sent and received to be cut: before $was, after $is"
	set -- $was $is
	case $how in
	# The offloads were used, or else were not.
	on) [ "$3" -gt "$1" ] && [ "$4" -gt "$2" ] ;;
	off) [ "$was" = "$is" ] ;;
	esac
done
[ "$(counter eth0 tx_errors) $(counter eth0 rx_errors)" = '0 0' ]
g 'rm /tmp/up; [ "$(ethtool -S $(nic eth0) | awk "/rx_gso_checksum_fixup/ { print \$2 }")" = 0 ]'
detach eth0
