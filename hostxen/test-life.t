#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The hostxen command: worlds start, run programs, end, and leave nothing; domains come and go.
. "${SYNTH_SRCDIR:-.}/hostxen/test-lib.sh"
xs=$(command -v xenstore-read) || xs=

# --- without a world
like 'run without a world says what to do' "$("$hostxen" run -- true 2>&1)" 'no world runs.*hostxen start'
check 'stop without a world is fine' "$hostxen" stop
is 'an unknown command is a usage error' "$("$hostxen" frobnicate >/dev/null 2>&1; echo $?)" 2
is 'a domain number out of range is a usage error' "$("$hostxen" create 32752 >/dev/null 2>&1; echo $?)" 2
like 'start without xenstored says so' "$(HOSTXEN_XENSTORED=/nonexistent "$hostxen" start 2>&1)" 'xenstored.*not found'
HOSTXEN_XENSTORED=/bin/false "$hostxen" start 2>/dev/null
is 'start with a xenstored that ends fails' $? 1
within 2 not pgrep -f "^hostxend $HOSTXEN_DIR "
is 'and leaves nothing running' "$(pgrep -f "^hostxend $HOSTXEN_DIR ")" ''

# --- start
check 'start' "$hostxen" start
like 'a second start in the same place is refused' "$("$hostxen" start 2>&1)" 'runs there already'
like 'list shows dom0' "$("$hostxen" list)" '0 Domain-0 +running'

# --- run: the program is the same process
"$hostxen" run -d 3 -- sh -c 'exit 17'
is 'run passes the exit status through' $? 17
"$hostxen" run -- sh -c 'kill -TERM $$' 2>/dev/null
is 'run passes a signal through' $? 143
is 'run keeps the process id' "$(sh -c 'echo $$; exec "$0" run -- sh -c "echo \$\$"' "$hostxen" | uniq | wc -l)" 1
is 'run of a missing program is 127' "$("$hostxen" run -- /nonexistent 2>/dev/null; echo $?)" 127
like 'run makes the domain if need be' "$("$hostxen" list)" '3 guest-3 +running'
is 'run keeps a preload there was' "$(ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=libm.so.6 "$hostxen" run -- sh -c 'echo "${LD_PRELOAD##*:}"' 2>/dev/null)" libm.so.6
is 'env is for a shell to eval' "$(eval "$("$hostxen" env -d 3)"; echo "$HOSTXEN_DOMID ${XENSTORED_PATH##*/}")" '3 xenbus-3.sock'
all=(open bind notify event share map copy)
is 'all of a probe works in dom0' "$("$hostxen" run -- "$probe" "${all[@]}" 2>&1)" "$(printf '%s ok\n' "${all[@]}")"
is 'and in a guest' "$("$hostxen" run -d 3 -- "$probe" "${all[@]}" 2>&1)" "$(printf '%s ok\n' "${all[@]}")"

# --- create, destroy
check 'create' "$hostxen" create 5 --name five
like 'the name is listed' "$("$hostxen" list --json)" '"domid":5,"name":"five","state":"running"'
like 'creating it again is refused' "$("$hostxen" create 5 2>&1)" 'domain 5 exists already'
"$hostxen" run -d 6 -- true & "$hostxen" run -d 6 -- true & "$hostxen" run -d 6 -- true & wait
is 'three that make a domain at once agree' "$("$hostxen" list | grep -c ' guest-6 ')" 1
mkfifo "$tmp/go"
"$hostxen" run -d 5 -- "$probe" open bind share wait notify share map copy bind <"$tmp/go" >"$tmp/out" &
pids+=($!)
exec 9>"$tmp/go"
within 5 grep -q waiting "$tmp/out"
check 'destroy' "$hostxen" destroy 5
echo >&9
within 5 grep -q '^copy' "$tmp/out"
wait $!
is "a destroyed domain's process finds all its handles dead" \
	"$(sed -n '/^wait/,$p' "$tmp/out" | grep -cE '^(notify|share|map|copy|bind) ok')" 0
is 'and was not killed' "$(grep -c '^bind' "$tmp/out")" 2
is 'a destroyed domain is not listed' "$("$hostxen" list | grep -c five)" 0
like 'destroying what is not there is refused' "$("$hostxen" destroy 5 2>&1)" 'no such domain'
check 'its number can be used again' "$hostxen" create 5
like 'what is no UUID is said' "$("$hostxen" create 8 --uuid 1234 2>&1; echo "status $?")" '"1234" is no UUID.*status 2'
like 'as is an option that does not exist' "$("$hostxen" create 8 --uid 1 2>&1; echo "status $?")" '^hostxen: --uid: no such option.*next: hostxen --help.*status 2'
check 'a UUID may have capitals' "$hostxen" create 8 --uuid 0123ABCD-4567-89ab-CDEF-0123456789ab
if [ -n "$xs" ]; then
	is 'and is written in small letters' "$("$hostxen" run -- "$xs" /local/domain/8/vm)" /vm/0123abcd-4567-89ab-cdef-0123456789ab
else
	skip 'and is written in small letters' 'xenstore-read is not installed'
fi
"$hostxen" destroy 8
"$hostxen" run -d 5 -- "$probe" open wait <"$tmp/go" >"$tmp/out2" & victim=$!
within 5 grep -q waiting "$tmp/out2"
"$hostxen" destroy 5 --kill
wait $victim 2>/dev/null
is 'destroy --kill kills its processes' $? 137

# --- a second world beside it
mkdir "$tmp/two"
check 'a second world starts' env HOSTXEN_DIR="$tmp/two" "$hostxen" start
env HOSTXEN_DIR="$tmp/two" "$hostxen" create 77
is 'the worlds have domains of their own' "$("$hostxen" list | grep -c ' guest-77 ')" 0
if [ "$xs" ]; then
	env HOSTXEN_DIR="$tmp/two" "$hostxen" run -- xenstore-write /x 2
	is 'and xenstores of their own' "$("$hostxen" run -- xenstore-read /x 2>/dev/null)" ''
fi
check 'the second stops' env HOSTXEN_DIR="$tmp/two" "$hostxen" stop
like 'the first goes on' "$("$hostxen" list)" Domain-0

# --- deaths of the world's own processes
gone() { [ -z "$(pgrep -f "^hostxend $HOSTXEN_DIR ")" ] && ! "$hostxen" list 2>/dev/null; }
xenstored_of() { pgrep -P "$(pgrep -f "^hostxend $HOSTXEN_DIR " | tail -1)"; }
store=$(xenstored_of)
"$hostxen" run -d 3 -- "$probe" open bind share wait notify bind share map copy <"$tmp/go" >"$tmp/out3" &
pids+=($!)
within 5 grep -q waiting "$tmp/out3"
kill -KILL "$(pgrep -f "^hostxend $HOSTXEN_DIR " | tail -1)"
check 'the broker is killed: the world ends' within 5 gone
check 'xenstored with it' within 5 not kill -0 "$store"
echo >&9
within 5 grep -q '^copy' "$tmp/out3"
is 'and what processes do fails, and does not hang' "$(sed -n '/^wait/,$p' "$tmp/out3" | grep -cE '^(notify|bind|share|map|copy) ok')" 0
check 'stop clears up after it' "$hostxen" stop
is 'sockets too' "$(find "$HOSTXEN_DIR" -type s | wc -l)" 0
check 'a new world starts in the same place' "$hostxen" start
kill -KILL "$(xenstored_of)"
check 'xenstored is killed: the world ends' within 5 gone
check 'start again' "$hostxen" start
kill -KILL "$(pgrep -f "^hostxend $HOSTXEN_DIR " | head -1)"
check 'the guard is killed: the world ends' within 5 gone

check 'start in another directory' env HOSTXEN_DIR="$tmp/three" "$hostxen" start
rm -rf "$tmp/three"
check 'the directory is removed: the world ends' within 5 not pgrep -f "^hostxend $tmp/three "

# --- many, fast
check 'start once more' "$hostxen" start
t0=$(date +%s%N)
for i in $(seq 100 119); do "$hostxen" create "$i" || break; done
ms=$((($(date +%s%N) - t0) / 1000000))
is 'twenty domains are made' "$("$hostxen" list | grep -c ' guest-1[01]')" 20
echo "# twenty domains: $ms ms"
check 'stop' "$hostxen" stop
is 'nothing is left running' "$(pgrep -f "^hostxend $HOSTXEN_DIR ")" ''

# --- without privileges
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && ! as_nobody test -r "$hostxen"; then
	skip 'a user without privileges can do all that' 'the build tree is in a directory that others may not enter'
elif [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	mkdir -m 700 "$tmp/nobody" && chown 65534:65534 "$tmp/nobody" && chmod 711 "$tmp"
	out=$(cd / && env -u XDG_RUNTIME_DIR HOSTXEN_DIR="$tmp/nobody/w" setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \
		--bounding-set=-all sh -c '"$0" start && "$0" run -d 2 -- "$1" open bind notify event share map copy; "$0" stop' \
		"$hostxen" "$probe" 2>&1)
	is 'a user without privileges can do all that' "$(grep -c ' ok$' <<<"$out")" 7
else
	skip 'a user without privileges can do all that' 'not root, so this was shown already'
fi
exec 9>&-
done_testing
