# SPDX-License-Identifier: LGPL-2.1-or-later
# bash completion for synth-netfront(1)
_synth_netfront()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd='' i words=''
	local both='--queues --rx-bufs --tx-bufs --no-split --no-sg --no-gso --no-csum --timeout'

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*) ;;
		*) [ -n "$cmd" ] || cmd=${COMP_WORDS[i]} ;;
		esac
	done
	case $prev in
	--mode) COMPREPLY=($(compgen -W 'send sink echo reflect' -- "$cur")); return ;;
	--kind) COMPREPLY=($(compgen -W 'eth udp4 udp6 tcp4 tcp6' -- "$cur")); return ;;
	--rx-bufs) COMPREPLY=($(compgen -W '32 64 128 256' -- "$cur")); return ;;
	--dst) COMPREPLY=($(compgen -W 'ff:ff:ff:ff:ff:ff' -- "$cur")); return ;;
	--queues | --tx-bufs | --timeout | --tap | --mtu | --size | --gso | --frames | --runtime | --rate | --window | --nap | --seed | --reconnect) return ;;
	esac
	case $cmd in
	'') COMPREPLY=($(compgen -W 'list info up io --help --version' -- "$cur")); return ;;
	list) words='--json' ;;
	info) words='--json' ;;
	up) words="--tap --mtu --reconnect --no-reconnect --json $both" ;;
	io) words="--mode --kind --size --gso --csum --dst --frames --runtime --rate --window --nap --verify --seed --json $both" ;;
	esac
	[ "$cmd" = list ] || words="$words $(synth-netfront list 2>/dev/null | sed 1d | cut -d' ' -f1)"
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _synth_netfront synth-netfront
