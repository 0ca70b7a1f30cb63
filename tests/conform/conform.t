#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The conformance suite on hostxen. With HOSTXEN_STRICT=1 given through, mappings are real ones.
set -u
hostxen=$SYNTH_BUILDDIR/hostxen/hostxen
conform=$SYNTH_BUILDDIR/tests/conform/conform
HOSTXEN_DIR=$(mktemp -d)
export HOSTXEN_DIR
agent=
cleanup() {
	[ -z "$agent" ] || kill "$agent" 2>/dev/null
	"$hostxen" stop
	rm -rf "$HOSTXEN_DIR"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# What the suite needs done to domains: on hostxen, with the hostxen command.
cat >"$HOSTXEN_DIR/toolstack" <<END
#!/bin/sh
# run from a program in dom0, whose preload the command does not need
unset LD_PRELOAD
last=$HOSTXEN_DIR/last-domid
case \$1 in
create)
	id=\$2
	if [ -z "\$id" ]; then
		id=\$((\$(cat "\$last" 2>/dev/null || echo 40) + 1))
		echo \$id >"\$last"
	fi
	"$hostxen" create "\$id" >/dev/null && echo "\$id"
	;;
destroy) exec "$hostxen" destroy --kill "\$2" ;;
agent) "$hostxen" run -d "\$2" -- "$conform" agent >/dev/null 2>&1 & ;;
esac
END
chmod +x "$HOSTXEN_DIR/toolstack"

# as many as the real driver allows
export HOSTXEN_GNTALLOC_LIMIT=1024

"$hostxen" start || exit 1
"$hostxen" run -d 7 -- "$conform" agent &
agent=$!
timeout 300 "$hostxen" run -- "$conform" dom0 7 --toolstack "$HOSTXEN_DIR/toolstack" "$@"
rc=$?
[ $rc = 0 ] || cat "$HOSTXEN_DIR/hostxend.log"
exit $rc
