#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# images.sh - what the lab boots, made from Debian packages that are downloaded and unpacked, never installed.
#
# Sourced by lab/run.  There are two layers:
#   base     Xen, a kernel, and one big initramfs for dom0 with the guests' initramfs inside.  Made once for a set
#            of package versions and kept in the cache.
#   overlay  the project as `make install` leaves it, the libraries it needs, the lab's own scripts and the
#            settings of this run.  A few MB, made for every run; the kernel unpacks it on top of the base.

# Everything a dom0 and a guest run.  A library that is missing here is taken from the machine itself, where the
# project was built and therefore has its libraries.
lab_packages='xen-hypervisor-4.17-amd64 xen-utils-4.17 xen-utils-common xenstore-utils libxenmisc4.17
	libxencall1 libxendevicemodel1 libxenevtchn1 libxenforeignmemory1 libxengnttab1 libxenhypfs1 libxenstore4
	libxentoolcore1 libxentoollog1 libyajl2 busybox-static e2fsprogs libext2fs2 libss2 libcom-err2
	jq libjq1 libonig5 strace nbd-client nbdkit libnl-3-200 libnl-genl-3-200 fio libaio1 libnuma1 zlib1g
	iperf3 libiperf0 libssl3 libsctp1 ethtool libmnl0 libncurses6 libtinfo6'

# Programs of dom0 and of a guest (beside busybox), as paths in the unpacked packages.
lab_dom0_programs='usr/lib/xen-4.17/bin/xl usr/lib/xen-4.17/bin/xenstored usr/lib/xen-4.17/bin/xenconsoled
	usr/lib/xen-4.17/bin/xen-init-dom0 usr/lib/xen-4.17/bin/libxl-save-helper usr/lib/xen-4.17/bin/xenstore-control
	usr/lib/xen-4.17/bin/lsevtchn usr/lib/xen-4.17/bin/xentop
	usr/bin/xenstore-read usr/bin/xenstore-write usr/bin/xenstore-ls usr/bin/xenstore-list usr/bin/xenstore-rm
	usr/bin/xenstore-exists usr/bin/xenstore-chmod usr/bin/xenstore-watch
	sbin/mke2fs sbin/e2fsck sbin/debugfs usr/bin/jq usr/bin/strace usr/bin/nbdkit
	usr/lib/x86_64-linux-gnu/nbdkit/plugins/nbdkit-eval-plugin.so sbin/nbd-client
	usr/bin/iperf3 sbin/ethtool'
lab_guest_programs='usr/bin/xenstore-read usr/bin/xenstore-write usr/bin/xenstore-ls usr/bin/xenstore-list
	sbin/mke2fs sbin/e2fsck usr/bin/nbdkit sbin/nbd-client usr/bin/fio
	usr/bin/iperf3 sbin/ethtool'

lab_dom0_modules='xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback xen-netback brd loop nbd tun ext4 crc32c_generic
	virtio_pci virtio_blk bridge'
lab_guest_modules='xen-blkfront xen-netfront tun xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs nbd ext4 crc32c_generic'

lab_die() {
	echo "lab: $*" >&2
	exit 1
}

# What the lab needs and this machine or its network has not.
lab_cannot() {
	echo "lab: $*" >&2
	exit 77
}

# Package lists may be missing in an image of Debian, or be so old that what they name is gone.
lab_refresh() {
	[ "$(id -u)" = 0 ] && apt-get -qq update >/dev/null 2>&1
}

# The newest kernel Debian's meta package asks for.
lab_kernel_package() {
	apt-cache depends linux-image-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'
}

# "name version" of each package, which is also the key of the base.
lab_versions() {
	# shellcheck disable=SC2086
	apt-cache show --no-all-versions "$(lab_kernel_package)" $lab_packages 2>/dev/null |
		awk '$1 == "Package:" { p = $2 } $1 == "Version:" { print p, $2 }' | sort
}

# lab_libs ROOT FILE...: the shared libraries FILEs need, one path a line; ROOT's own first.
lab_libs() {
	local root=$1 f
	shift
	for f; do
		LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu ldd "$f" 2>/dev/null || : # a script needs none
	done | awk '/not found/ { print "missing:" $1; next } $2 == "=>" { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' | sort -u
}

# lab_fio_stubs ROOT: stand-ins for the libraries of fio's engines that no guest uses (Ceph, Gluster, RDMA, pmem, NBD).  The
# real ones are 80 MB, too much for a guest; fio is bound at its start, so something has to be there.
lab_fio_stubs() {
	local root=$1 dir=$1/usr/lib/x86_64-linux-gnu tmp lib prefix
	tmp=$(mktemp -d)
	mkdir -p "$dir"
	for lib in glfs_:libgfapi.so.0 ibv_:libibverbs.so.1 rdma_:librdmacm.so.1 rados_:librados.so.2 rbd_:librbd.so.1 \
		pmem_:libpmem.so.1 pmemblk_:libpmemblk.so.1 nbd_:libnbd.so.0; do
		prefix=${lib%:*} lib=${lib#*:}
		nm -D --undefined-only "$root/usr/bin/fio" | awk -v p="$prefix" -v map="$tmp/map" '
			index($2, p) == 1 { split($2, a, "@"); print "void " a[1] "(void) { __builtin_trap(); }"; if (a[2] != "") v[a[2]] = v[a[2]] " " a[1] ";" }
			END { n = 0; for (k in v) n++; if (!n) print "{ global: *; };" >map; for (k in v) print k " {" v[k] " };" >map }' >"$tmp/stub.c"
		gcc -shared -fPIC -w -Wl,-soname,"$lib" -Wl,--version-script,"$tmp/map" -o "$dir/$lib" "$tmp/stub.c" || lab_die "cannot build stand-ins for fio's libraries"
	done
	rm -rf "$tmp"
}

# lab_skeleton DIR: the folders every initramfs has.
lab_skeleton() {
	mkdir -p "$1"/{usr/bin,usr/sbin,usr/lib/x86_64-linux-gnu,usr/lib64,etc,dev,proc,sys,run,tmp,var/lib/xen,var/log/xen,mnt,srv,lab,root}
	ln -s usr/bin "$1/bin"
	ln -s usr/sbin "$1/sbin"
	ln -s usr/lib "$1/lib"
	ln -s usr/lib64 "$1/lib64"
	ln -s /run "$1/var/run"
	ln -s /run/lock "$1/var/lock"
}

# lab_add_libs DIR ROOT FILE...: copy what FILEs need into DIR, unless it is there.
lab_add_libs() {
	local dir=$1 root=$2 lib to
	shift 2
	cp -L /lib/x86_64-linux-gnu/libgcc_s.so.1 "$dir/usr/lib/x86_64-linux-gnu/" # glibc loads it when a thread is cancelled
	while read -r lib; do
		case $lib in
		missing:*) lab_die "a library of the images is not to be found: ${lib#missing:}" ;;
		*/ld-linux*) to=$dir/usr/lib64/${lib##*/} ;;
		*) to=$dir/usr/lib/x86_64-linux-gnu/${lib##*/} ;;
		esac
		[ -e "$to" ] || cp -L "$lib" "$to"
	done < <(lab_libs "$root" "$@")
}

# lab_add_programs DIR ROOT PATH...
lab_add_programs() {
	local dir=$1 root=$2 p to files=()
	shift 2
	for p; do
		[ -e "$root/$p" ] || lab_die "package contents changed: no $p"
		to=$dir/usr/${p#usr/}
		mkdir -p "${to%/*}"
		cp -L "$root/$p" "$to"
		files+=("$root/$p")
	done
	lab_add_libs "$dir" "$root" "${files[@]}"
}

lab_add_busybox() {
	local a
	cp "$2/bin/busybox" "$1/usr/bin/busybox"
	for a in $("$2/bin/busybox" --list); do
		[ -e "$1/usr/bin/$a" ] || [ -e "$1/usr/sbin/$a" ] || ln -s busybox "$1/usr/bin/$a"
	done
}

# busybox's shell prefers its own mke2fs; under these names it is always the real one.
lab_e2fs_names() {
	ln -s mke2fs "$1/usr/sbin/mkfs.ext4"
	ln -s e2fsck "$1/usr/sbin/fsck.ext4"
}

# lab_add_modules DIR ROOT MODULE...: with what they depend on.
lab_add_modules() {
	local dir=$1 root=$2 ver=$3 m f
	shift 3
	for m; do
		modprobe -q -n -S "$ver" -d "$root" --show-depends "$m" >/dev/null || lab_die "kernel $ver has no module $m"
		modprobe -q -n -S "$ver" -d "$root" --show-depends "$m"
	done | awk '$1 == "insmod" { print $2 }' | sort -u | while read -r f; do
		f=${f#"$root"}
		mkdir -p "$dir/usr${f%/*}"
		cp "$root$f" "$dir/usr$f"
	done
	cp "$root/lib/modules/$ver"/modules.{builtin,order} "$dir/usr/lib/modules/$ver/"
	depmod -b "$dir/usr" "$ver" 2>/dev/null || depmod -b "$dir" "$ver"
}

# lab_unpack_kernel BZIMAGE: the ELF inside, so that no emulated CPU has to decompress it at every boot.
lab_unpack_kernel() {
	local setup offset length
	setup=$(od -An -tu1 -j $((0x1f1)) -N 1 "$1")
	offset=$(od -An -tu4 -j $((0x248)) -N 4 "$1")
	length=$(od -An -tu4 -j $((0x24c)) -N 4 "$1")
	tail -c +$(((setup + 1) * 512 + offset + 1)) "$1" | head -c "$length" | xz -dc --single-stream 2>/dev/null
}

# lab_cpio DIR FILE: an archive the kernel takes, owned by root, whoever makes it.
lab_cpio() {
	(cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$2"
}

# lab_base CACHE [refreshed]: makes the base when it is not there; its folder is left in $lab_base.
lab_base() {
	local cache=$1 versions key tmp root ver d
	versions=$(lab_versions) || versions=
	if [ -z "$versions" ] && lab_refresh; then versions=$(lab_versions) || versions=; fi
	if [ -z "$versions" ] || [ -z "$(lab_kernel_package)" ]; then
		# No package lists, and none to be had: what was built once still serves.
		lab_base=$(find "$cache" -maxdepth 1 -name 'base-*' -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1 | cut -d' ' -f2)
		[ -n "$lab_base" ] || lab_cannot "apt knows no Xen packages: run 'apt-get update' (Debian 12)"
		return
	fi
	# What decides the base: the versions, the lists above and the functions that put it together.
	key=$({
		echo "$versions" "$lab_dom0_programs" "$lab_guest_programs" "$lab_dom0_modules" "$lab_guest_modules"
		declare -f lab_base lab_skeleton lab_libs lab_fio_stubs lab_add_libs lab_add_programs lab_add_busybox lab_e2fs_names lab_add_modules lab_unpack_kernel
	} | sha256sum | cut -c1-16)
	lab_base=$cache/base-$key
	[ -e "$lab_base/dom0.cpio" ] && return
	echo "# building the images in $cache (once)" >&2
	mkdir -p "$cache/packages"
	rm -rf "$cache"/making.* # of a build that was interrupted
	tmp=$(mktemp -d "$cache/making.XXXXXX")
	# shellcheck disable=SC2086
	if ! (cd "$cache/packages" && apt-get download "$(lab_kernel_package)" $lab_packages) >"$tmp/log" 2>&1; then
		if [ "${2:-}" != refreshed ] && lab_refresh; then
			rm -rf "$tmp"
			lab_base "$cache" refreshed
			return
		fi
		tail -n 5 "$tmp/log" >&2
		lab_cannot "cannot download the packages of the images"
	fi
	root=$tmp/root
	mkdir -p "$root"
	echo "$versions" | while read -r p v; do
		d=$(find "$cache/packages" -name "${p}_${v//:/%3a}_*.deb" | head -n 1)
		[ -n "$d" ] || lab_die "package $p $v was not downloaded"
		dpkg -x "$d" "$root"
	done
	ver=$(basename "$root"/boot/vmlinuz-*)
	ver=${ver#vmlinuz-}
	depmod -b "$root" "$ver"

	lab_fio_stubs "$root"

	mkdir -p "$tmp/out"
	gzip -dc "$root/boot/xen-4.17-amd64.gz" >"$tmp/out/xen"
	lab_unpack_kernel "$root/boot/vmlinuz-$ver" >"$tmp/out/vmlinux" || :
	[ "$(head -c 4 "$tmp/out/vmlinux")" = $'\177ELF' ] || lab_die "cannot unpack the kernel of $(lab_kernel_package)"
	echo "$versions" >"$tmp/out/versions"

	lab_skeleton "$tmp/guest"
	# shellcheck disable=SC2086
	lab_add_programs "$tmp/guest" "$root" $lab_guest_programs
	lab_add_busybox "$tmp/guest" "$root"
	# shellcheck disable=SC2086
	lab_add_modules "$tmp/guest" "$root" "$ver" $lab_guest_modules
	lab_e2fs_names "$tmp/guest"
	lab_cpio "$tmp/guest" "$tmp/guest.cpio"

	lab_skeleton "$tmp/dom0"
	# shellcheck disable=SC2086
	lab_add_programs "$tmp/dom0" "$root" $lab_dom0_programs
	mv "$tmp/dom0"/usr/lib/xen-4.17/bin/{xl,xenstore-control,xentop} "$tmp/dom0/usr/sbin/"
	lab_add_busybox "$tmp/dom0" "$root"
	# shellcheck disable=SC2086
	lab_add_modules "$tmp/dom0" "$root" "$ver" $lab_dom0_modules
	lab_e2fs_names "$tmp/dom0"
	mkdir -p "$tmp/dom0/etc/xen"
	cp -r "$root/etc/xen/scripts" "$tmp/dom0/etc/xen/"
	: >"$tmp/dom0/etc/xen/xl.conf"
	cp "$tmp/guest.cpio" "$tmp/out/vmlinux" "$tmp/dom0/lab/"
	lab_cpio "$tmp/dom0" "$tmp/out/dom0.cpio"
	(cd "$tmp/guest/usr/lib/x86_64-linux-gnu" && ls) >"$tmp/out/guest-libs"
	(cd "$tmp/dom0/usr/lib/x86_64-linux-gnu" && ls) >"$tmp/out/dom0-libs"
	rm -rf "$lab_base"
	mv "$tmp/out" "$lab_base"
	rm -rf "$tmp"
}

# What of the installed project a guest gets: the front end.  (The back end's libraries would make its memory small.)
lab_guest_parts='*/bin/synth-blkfront */bin/synth-netfront */nbdkit-synth-plugin.so */lab/bin/*'

# lab_icu_stub LIBRARY FILE: stands in for ICU's tables (30 MB), which come with libxml2 for encodings no URI has.
lab_icu_stub() {
	nm -D --defined-only "$1" | awk '$2 ~ /[DR]/ { print "const char " $3 "[64];" }' | gcc -shared -fPIC -w -x c -Wl,-soname,"${1##*/}" -o "$2" - ||
		lab_die "cannot build a stand-in for ${1##*/}"
}

# lab_layer DIR TREE LIBS PATTERN...: put the files of the installed project TREE which match a PATTERN into DIR, with
# the libraries the base (list in LIBS) lacks.
lab_layer() {
	local dir=$1 tree=$2 have=$3 p f lib files=()
	shift 3
	lab_skeleton "$dir"
	while read -r f; do
		for p; do
			# shellcheck disable=SC2254
			case $f in
			*/share/man/* | */share/doc/* | */include/* | *.la) continue ;;
			$p) files+=("$f"); break ;;
			esac
		done
	done < <(cd "$tree" && find . -type f -o -type l)
	[ ${#files[@]} -gt 0 ] || return 0
	(cd "$tree" && tar -c "${files[@]}") | tar -C "$dir" -x --keep-directory-symlink --no-same-owner
	while read -r lib; do
		case $lib in
		missing:*) [ -n "$(find "$tree" -name "${lib#missing:}")" ] || lab_die "the project needs ${lib#missing:}, which is not here" ;;
		*/ld-linux* | "$tree"/*) ;;
		*/libicudata.so.*) lab_icu_stub "$lib" "$dir/usr/lib/x86_64-linux-gnu/${lib##*/}" ;;
		*) grep -qxF "${lib##*/}" "$have" || cp -L "$lib" "$dir/usr/lib/x86_64-linux-gnu/" ;;
		esac
	done < <(cd "$tree" && lab_libs /nonexistent "${files[@]}")
	# Each byte is unpacked by an emulated CPU, at every boot.
	find "$dir" -type f \( -perm -100 -o -name '*.so*' \) -exec strip -g {} + 2>/dev/null || : # scripts are no ELF
}

# lab_peers CACHE: an archive with QEMU and its firmware for dom0, of this machine's packages; its path is left in $lab_peers.
# Apart from the base, since only measurements need it.
lab_peers() {
	local cache=$1 qemu=/usr/libexec/xen-qemu-system-i386 loader=/usr/lib/xen-4.17/boot/hvmloader key tmp f root kernel ver
	for f in $qemu $loader /usr/share/seabios/bios-256k.bin; do
		[ -e $f ] || lab_die "no $f here (Debian: apt-get install --no-install-recommends qemu-system-xen seabios xen-utils-4.17)"
	done
	key=$({ cat "$lab_base/versions"; sha256sum $qemu $loader; declare -f lab_peers lab_skeleton lab_add_busybox lab_add_modules; } | sha256sum | cut -c1-16)
	lab_peers=$cache/peers-$key.cpio
	[ ! -e "$lab_peers" ] || return 0
	rm -f "$cache"/peers-*
	tmp=$(mktemp -d)
	lab_skeleton "$tmp"
	mkdir -p "$tmp"/usr/{libexec,share/qemu,lib/xen-4.17/boot}
	cp $qemu "$tmp/usr/libexec/"
	cp $loader "$tmp/usr/lib/xen-4.17/boot/"
	cp -rL /usr/share/seabios /usr/share/qemu/keymaps "$tmp/usr/share/"
	mv "$tmp/usr/share/keymaps" "$tmp/usr/share/qemu/"
	cp -L /usr/share/qemu/{kvmvapic,linuxboot,linuxboot_dma,multiboot,multiboot_dma,pvh}.bin "$tmp/usr/share/qemu/"
	lab_add_libs "$tmp" /nonexistent $qemu
	# An HVM guest's kernel and initramfs are read by its emulated machine, slowly: an initramfs of its own, with next to nothing.
	root=$(mktemp -d)
	kernel=$(lab_kernel_package)
	if [ -n "$kernel" ]; then f=$(grep "^$kernel " "$lab_base/versions" | sed 's/ /_/; s/:/%3a/g'); else f=linux-image; fi
	f=$(find "$cache/packages" -name "$f*.deb" | sort | tail -n 1)
	[ -n "$f" ] || lab_die "the kernel's package is gone from $cache/packages"
	dpkg -x "$f" "$root"
	dpkg -x "$(find "$cache/packages" -name 'busybox-static_*.deb' | sort | tail -n 1)" "$root"
	ver=$(basename "$root"/boot/vmlinuz-*)
	ver=${ver#vmlinuz-}
	depmod -b "$root" "$ver"
	lab_skeleton "$root/tiny"
	lab_add_busybox "$root/tiny" "$root"
	lab_add_modules "$root/tiny" "$root" "$ver" ata_piix sd_mod xen-blkfront
	find "$root/tiny" -name '*.ko' -exec strip -g {} +
	lab_cpio "$root/tiny" "$root/tiny.cpio"
	mkdir -p "$tmp/lab"
	xz --check=crc32 -c "$root/tiny.cpio" >"$tmp/lab/hvm.img"
	cp "$root/boot/vmlinuz-$ver" "$tmp/lab/vmlinuz"
	rm -rf "$root"
	while read -r f; do rm -f "$tmp/usr/lib/x86_64-linux-gnu/$f"; done <"$lab_base/dom0-libs"
	lab_cpio "$tmp" "$lab_peers.new"
	mv "$lab_peers.new" "$lab_peers"
	rm -rf "$tmp"
}

# lab_overlay LAB TREE SETTINGS FILE CASES: the archive of this run, with the scripts in the folder CASES.
lab_overlay() {
	local lab=$1 tree=$2 settings=$3 file=$4 cases=$5 tmp
	tmp=$(mktemp -d)
	# shellcheck disable=SC2086
	(set -f; lab_layer "$tmp/guest" "$tree" "$lab_base/guest-libs" $lab_guest_parts)
	cp "$lab/guest/init" "$tmp/guest/init"
	cp -r "$lab/guest/." "$tmp/guest/lab/"
	chmod 755 "$tmp/guest/init"
	lab_cpio "$tmp/guest" "$tmp/guest.cpio"

	lab_layer "$tmp/dom0" "$tree" "$lab_base/dom0-libs" '*'
	cp "$lab/dom0/init" "$tmp/dom0/init"
	chmod 755 "$tmp/dom0/init"
	cp "$lab/dom0/lab.sh" "$tmp/guest.cpio" "$tmp/dom0/lab/"
	mv "$tmp/dom0/lab/guest.cpio" "$tmp/dom0/lab/guest-overlay.cpio"
	cp -r "$cases" "$tmp/dom0/lab/cases"
	cp "$settings" "$tmp/dom0/lab/settings"
	printf '%s\n' "${LAB_ENV:-}" >"$tmp/dom0/lab/env"
	lab_cpio "$tmp/dom0" "$file"
	rm -rf "$tmp"
}
