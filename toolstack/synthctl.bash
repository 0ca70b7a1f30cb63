# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for synthctl(1); `synthctl completion bash` prints this file.
_synthctl_domains()
{
	local d name
	for d in $(xenstore-list /local/domain 2>/dev/null); do
		name=$(xenstore-read "/local/domain/$d/name" 2>/dev/null) && echo "$name"
	done
}

_synthctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd='' i words='' nr=0
	local commands='attach detach list show stat set trace resize doctor daemon completion version help block-attach block-list block-detach'
	local common='--help --version --socket --timeout --json --quiet'

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket|--timeout|-o|--output|--queues|--cache|--poll-us|--wait|--tap|--bridge|--ovs|--pair|--stream|--dev|--mac|--mtu|--rate|--link|-w|--write|--snaplen|--max-size|-i|--interval|-c|--count) ((i++)) ;;
		-*) ;;
		*) if [ -z "$cmd" ]; then cmd=${COMP_WORDS[i]}; else ((nr++)); fi ;;
		esac
	done
	case $prev in
	--link) COMPREPLY=($(compgen -W 'up down' -- "$cur")); return ;;
	--cache) COMPREPLY=($(compgen -W 'direct buffered' -- "$cur")); return ;;
	--socket) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--timeout|--queues|--poll-us|--wait|-i|--interval|-c|--count) return ;;
	-o|--output)
		COMPREPLY=($(compgen -W 'all DEVICE STATE SIZE MODE QUEUES TARGET DOMID DOMAIN DEV VDEV PHASE ENGINE WORKER UUID BROKEN' -- "$cur"))
		return ;;
	esac
	case $cmd in
	'') words=$commands ;;
	attach)
		words='--tap --bridge --ovs --pair --stream --null --dev --mac --mtu --rate --queues --user-frontend --poll-us --wait'
		[ "${COMP_WORDS[2]}" = nic ] || words='--ro --queues --user-frontend --cdrom --removable --cache --no-discard --poll-us --wait --may-exist'
		case $nr in
		0) words='disk nic' ;;
		1) words="$words $(_synthctl_domains)" ;;
		2) case $cur in
		   -*) ;;
		   *) COMPREPLY=($(compgen -W 'file: nbd:// nbd+unix:/// null:' -- "$cur") $(compgen -f -- "$cur")); return ;;
		   esac ;;
		esac ;;
	detach) words="--force --wait --if-exists $(synthctl list -Ho device 2>/dev/null)" ;;
	show|resize) words="$(synthctl list -Ho device 2>/dev/null)" ;;
	stat) words="--interval --count --noheadings --bytes $(synthctl list -Ho device 2>/dev/null)" ;;
	set) words="--rate --link $(synthctl list nic -Ho device 2>/dev/null)" ;;
	trace) words="--write --snaplen --max-size --stop $(synthctl list nic -Ho device 2>/dev/null)" ;;
	list) words="disk nic --output --noheadings --bytes $(_synthctl_domains)" ;;
	daemon) words='status stop upgrade' ;;
	completion) words='bash' ;;
	help) words=$commands ;;
	block-*) [ "$nr" -gt 0 ] || words=$(_synthctl_domains) ;;
	esac
	case $cur in
	-*) words="$words $common" ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _synthctl synthctl
