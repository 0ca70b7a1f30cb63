# SPDX-License-Identifier: LGPL-2.1-or-later
# What suites that measure on real Xen share.

# lab_measure NAME GUEST ENV: lab/bench/NAME.sh in the lab; its lines "KIND {...}" are in $W/lab.json, as {what: KIND, ...}.
lab_measure()
{
	progress "$1: Xen boots"
	LAB_NICE=${LAB_NICE:-0} LAB_ENV="ROUNDS=$rounds SECONDS_EACH=$seconds $3" "$src/lab/run" --bench --guest "$2" --build "$build" --slow "${LAB_SLOW:-2}" \
		--log "$out/$1-console.log" "$1" | tee "$out/$1.log" | lab_lines "$W/lab.json"
	case "${PIPESTATUS[*]}" in
	'0 '*) ;;
	'77 '*) leave 'the lab cannot run here' ;;
	*) tail -n 30 "$out/$1.log" >&2; die "$1 failed; all of it: ${out#"$src"/}/$1.log" ;;
	esac
}
lab_lines() # FILE
{
	local kind rest n=0
	: >"$1"
	while read -r kind rest; do
		[[ $rest == '{'* ]] || continue
		jq -c --arg what "$kind" '. + {what: $what}' <<<"$rest" >>"$1"
		progress "$((n += 1)): $rest"
	done
}
