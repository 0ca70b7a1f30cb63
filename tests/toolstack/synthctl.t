# SPDX-License-Identifier: LGPL-2.1-or-later
# synthctl against the real daemon: what people and scripts type, and what they get.
. "${SYNTH_SRCDIR:-.}/tests/lib/world.sh"
world_start
cd "$W" || exit 99
image a.img 8M >/dev/null
image b.img 8M >/dev/null
names() { ctl list -Ho device "$@" | tr -s ' \n' ' ' | sed 's/ $//'; }
has() { jq -e "$@" >/dev/null; } # FILTER, of stdin

is 'no device: list prints nothing' "$(ctl list)" ''
is 'no device: JSON is an empty list' "$(ctl list --json | jq -c .)" '{"v":1,"devices":[]}'
is 'attach prints the name' "$(ctl attach disk sinner a.img=xvda --user-frontend)" sinner/xvda
is 'a relative path was made absolute' "$(show sinner/xvda .target)" "file:$W/a.img"
is 'without a name the first free one is taken' "$(ctl attach disk sinner null:1G --user-frontend)" sinner/xvdb
is 'and then the next' "$(ctl attach disk 1 null:1G --user-frontend)" sinner/xvdc
is '-q prints nothing' "$(ctl attach disk honest "$W/b.img" --user-frontend -q)" ''
is 'list tells all' "$(names)" 'sinner/xvda sinner/xvdb sinner/xvdc honest/xvda'
is 'list of one domain, by name' "$(names honest)" 'honest/xvda'
is 'list of two domains, by number and name' "$(names 2 sinner)" 'honest/xvda sinner/xvda sinner/xvdb sinner/xvdc'
is 'list disk' "$(names disk honest)" 'honest/xvda'
is 'list of a domain that is not there' "$(ctl list nobody >/dev/null 2>&1; echo $?)" 3
like 'a table has headings' "$(ctl list)" '^DEVICE +STATE +SIZE +MODE +QUEUES +TARGET'
is 'sizes for people' "$(ctl list -Ho size sinner | tr -d ' ' | head -n 1)" 8M
is 'sizes for programs' "$(ctl list -Hbo size sinner | tr -d ' ' | head -n 1)" $((8 << 20))
check 'show --json has every member of the protocol' eval 'ctl show sinner/xvda --json | has --args "[\$ARGS.positional[] as \$k | has(\$k)] | all" \
	v device class domid domain dev vdev state phase frontend_state broken target ro size cache cache_why engine queues max_queues ring_pages protocol \
	persistent user_frontend physical_sector discard worker uuid backend frontend attached_s'
is 'a device has the same name by number' "$(ctl show 1/51712 --json | jq -r .device)" sinner/xvda
is '--may-exist: the same disk again is no error' "$(ctl attach disk sinner a.img=xvda --user-frontend --may-exist; echo $?)" $'sinner/xvda\n0'
is '... and another disk under the name is one' "$(ctl attach disk sinner null:2G=xvda --may-exist >/dev/null 2>&1; echo $?)" 8
is '--ro' "$(ctl attach disk sinner null:1G=xvdd --ro --user-frontend >/dev/null; show sinner/xvdd .ro)" true
is '--queues' "$(ctl attach disk sinner null:1G=xvde --queues 3 --user-frontend >/dev/null; show sinner/xvde .max_queues)" 3
is '--cache buffered' "$(ctl detach honest/xvda && ctl attach disk honest b.img --cache buffered >/dev/null; show honest/xvda .cache)" buffered
is 'a disk for the kernel is in device/vbd' "$(show honest/xvda .frontend)" /local/domain/2/device/vbd/51712

# use it
check 'the guest writes and verifies' guest 1 synth-blkfront io xvda --rw randrw --bs 4k --ios 200 --verify
is 'stat counts its requests' "$(ctl stat sinner/xvda --json | jq '.devices[0].metrics | .read_requests + .write_requests >= 200')" true
is 'stat of all is one object a sample' "$(ctl stat --json | jq -c '[.v, (.devices | length)]')" '[1,6]'
like 'stat for people' "$(ctl stat sinner/xvda)" 'read_requests +[0-9]+'
like 'stat -i: rates, as often as asked for' "$(ctl stat sinner/xvda -i 0.2 -c 2 | grep -c '^sinner/xvda')" '^2$'
like 'resize says the size' "$(ctl resize sinner/xvda 16M)" '^sinner/xvda is 16M now \(16777216 bytes\)'
is 'resize --json' "$(ctl resize sinner/xvda 12M --json | jq -c '[.v, .size]')" "[1,$((12 << 20))]"

# as xl says it
image c.img 4M >/dev/null
is 'block-attach with keys' "$(ctl block-attach sinner "vdev=xvdm,access=ro,target=$W/c.img"; show sinner/xvdm .ro)" $'sinner/xvdm\ntrue'
like 'block-list' "$(ctl block-list sinner)" 'sinner/xvdm'
check 'block-detach' ctl block-detach sinner xvdm
is 'block-attach, positional, words apart' "$(ctl block-attach 1 "phy:$W/c.img" xvdm w)" sinner/xvdm
check 'block-detach by number' ctl block-detach 1 $((51712 + 16 * 12))
is 'what would be ignored is an error' "$(ctl block-attach 1 "$W/c.img,raw,xvdm,rw,backendtype=qdisk" >/dev/null 2>&1; echo $?)" 2

# many: a reply that is longer than the socket holds at once
for i in $(seq 100 219); do ctl attach disk honest "null:${i}M" --user-frontend -q || break; done
is 'a list of more than a hundred' "$(ctl list honest --json | jq '.devices | length')" 121
like 'its JSON is longer than 64 KiB' "$(ctl list honest --json | wc -c)" '^([0-9]{6,}|[7-9][0-9]{4})$'

# out
check 'detach' ctl detach sinner/xvdb
is 'detach again: not found' "$(ctl detach sinner/xvdb >/dev/null 2>&1; echo $?)" 3
check 'detach --if-exists' ctl detach sinner/xvdb --if-exists
is 'daemon status, JSON' "$(ctl daemon status --json | jq -c '[.v, .xenstore]')" '[1,"connected"]'
world_end
