#!/bin/sh
# Builds libdiskimg and installs it: header, shared and static library, pkg-config file, manual pages. Needs cargo and cc
# with its binutils.
#
#     PREFIX=/usr/local crates/capi/install.sh
#
# PREFIX       the installation prefix         /usr/local
# LIBDIR       the directory of libraries      $PREFIX/lib
# INCLUDEDIR   the directory of headers        $PREFIX/include
# DATADIR      the directory of other files    $PREFIX/share
# DESTDIR      prepended to all of these,      empty
#              for packages
# PROFILE      the cargo profile               release
# LIBLZMA      "bundled" (built in), or        bundled
#              "system": 5.8.1 or newer,
#              found by pkg-config
# STRIP        "no" keeps symbols and debug    yes
#              information; the profile sets
#              how much the latter contains
# CARGO        the cargo command               cargo
# OBJCOPY      an objcopy for the target       objcopy, that of cross tools, llvm-objcopy or that of
#                                              the Rust toolchain: the first that reads the library
#
# The settings of cargo apply, from its files and the environment: CARGO_BUILD_TARGET, CARGO_TARGET_DIR, RUSTFLAGS, CC.
# Nothing is installed before all of the build has succeeded.
set -eu
cd "$(dirname "$0")/../.."
root=$(pwd -P)

PREFIX=${PREFIX:-/usr/local}
LIBDIR=${LIBDIR:-$PREFIX/lib}
INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include}
DATADIR=${DATADIR:-$PREFIX/share}
DESTDIR=${DESTDIR:-}
PROFILE=${PROFILE:-release}
LIBLZMA=${LIBLZMA:-bundled}
STRIP=${STRIP:-yes}
CARGO=${CARGO:-cargo}

fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

[ $# = 0 ] || fail "expected no arguments, found \"$*\": the settings are variables"
case $STRIP in
yes | no) ;;
*) fail "STRIP is \"$STRIP\", expected \"yes\" or \"no\"" ;;
esac
case $LIBLZMA in
bundled) features='' requires='' ;;
system)
    # Without this check, cargo would silently bundle its own. Older versions can use freed memory on several threads.
    pkg-config --print-errors --exists 'liblzma >= 5.8.1'
    features=--no-default-features requires='Requires.private: liblzma >= 5.8.1' ;;
*) fail "LIBLZMA is \"$LIBLZMA\", expected \"bundled\" or \"system\"" ;;
esac
# A directory that cannot be written is an error now, not after the build.
for directory in "$LIBDIR" "$INCLUDEDIR" "$DATADIR"; do
    above=$DESTDIR$directory
    case $above in
    /*) ;;
    *) fail "$above is not an absolute path" ;;
    esac
    while [ ! -e "$above" ]; do above=$(dirname "$above"); done
    if [ ! -d "$above" ] || [ ! -w "$above" ]; then fail "$above is not a directory that you can write"; fi
done

# No path of this machine gets into the libraries: `remap FROM TO` replaces FROM with TO. The last FROM that matches a path
# counts. Bytes of value 31 separate the flags, because a path may contain spaces.
separator=$(printf '\037')
rustflags='' cflags=''
remap() {
    rustflags=$rustflags${rustflags:+$separator}--remap-path-prefix=$1=$2
    # Objects in C have paths in their debug information only. The build scripts split CFLAGS at spaces.
    case $STRIP$1 in
    yes* | *' '*) ;;
    *) cflags="$cflags -ffile-prefix-map=$1=$2" ;;
    esac
}
cargo_home=${CARGO_HOME:-$HOME/.cargo}
case ${HOME:-/} in
/) ;;
*) remap "$HOME" /home ;;
esac
remap "$("${RUSTC:-rustc}" --print sysroot)" /rust
remap "$cargo_home" /cargo
if [ -d "$cargo_home" ]; then remap "$(cd "$cargo_home" && pwd -P)" /cargo; fi
remap "$root" /diskimg
if [ -n "$cflags" ]; then export CFLAGS="${CFLAGS:-}$cflags"; fi

# Returns success if a file of cargo or a variable sets flags for a target. cargo then ignores `build.rustflags`.
target_has_flags() {
    if env | grep -q '^CARGO_TARGET_.*_RUSTFLAGS='; then return 0; fi
    directory=$root
    while :; do
        for file in "$directory/.cargo/config.toml" "$directory/.cargo/config"; do flags_in "$file" && return 0; done
        [ "$directory" != / ] || break
        directory=$(dirname "$directory")
    done
    flags_in "$cargo_home/config.toml" || flags_in "$cargo_home/config"
}
flags_in() {
    [ -f "$1" ] && awk '/^[ \t]*\[/ { target = /^[ \t]*\[ *target/ }
        /rustflags/ && (target || /^[ \t]*target/) { found = 1 } END { exit !found }' "$1"
}

# The flags are added where cargo looks for flags first, since it uses one place only.
set -- build --locked --package diskimg-capi --profile "$PROFILE" --message-format json-render-diagnostics
if [ -n "$features" ]; then set -- "$@" "$features"; fi
if [ "${CARGO_ENCODED_RUSTFLAGS+set}" ]; then
    export CARGO_ENCODED_RUSTFLAGS="$CARGO_ENCODED_RUSTFLAGS${CARGO_ENCODED_RUSTFLAGS:+$separator}$rustflags"
elif [ "${RUSTFLAGS+set}" ]; then
    given=$(printf '%s' "$RUSTFLAGS" | tr -s ' \t\n' "$separator")
    CARGO_ENCODED_RUSTFLAGS=${given#"$separator"}
    CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%"$separator"}
    export CARGO_ENCODED_RUSTFLAGS="$CARGO_ENCODED_RUSTFLAGS${CARGO_ENCODED_RUSTFLAGS:+$separator}$rustflags"
else
    list=$(printf '%s' "$rustflags" | sed "s/[\\\\\"]/\\\\&/g; s/$separator/\", \"/g")
    if target_has_flags; then key="target.'cfg(all())'"; else key=build; fi
    set -- "$@" --config "$key.rustflags=[\"$list\"]"
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
minor=${version%.*}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' HUP INT TERM

echo "building libdiskimg $version, profile $PROFILE: some minutes"
"$CARGO" "$@" >"$scratch/messages" || fail 'the build failed; nothing is installed'

# `built NAME` prints the path of a library as cargo reported it. A path that is guessed may be that of an earlier build,
# or of one for another machine.
built() {
    grep '"reason":"compiler-artifact"' "$scratch/messages" | grep -o "\"[^\"]*/$1\"" | tr -d '"' | sort -u >"$scratch/paths"
    if [ "$(wc -l <"$scratch/paths")" -gt 1 ]; then
        fail "cargo built $1 for several targets: set CARGO_BUILD_TARGET to one of them"
    fi
    cat "$scratch/paths"
}
archive=$(built libdiskimg.a)
[ -f "$archive" ] || fail "cargo reported no libdiskimg.a that exists (\"$archive\")"
shared=$(built libdiskimg.so)
if [ -z "$shared" ] && [ -e "$DESTDIR$LIBDIR/libdiskimg.so" ]; then
    fail "this target has no shared library, and $DESTDIR$LIBDIR has one of an earlier build: remove it first"
fi

# The codecs in the static library get names of their own. A program may link its own liblzma, libzstd or libdeflate;
# with the usual names the linker would silently use one copy for both. Names of Rust have a hash already.
"${NM:-nm}" -g "$archive" 2>/dev/null | awk '
    NF == 3 { type = $2; name = $3 }
    NF == 2 { type = $1; name = $2 }
    NF < 2 || name ~ /^(diskimg_|_R|_ZN|__|anon\.|DW\.ref\.)/ || name ~ /rust/ { next }
    type ~ /^[TDBRC]$/ || type == "w" && name ~ /^ZSTD_/ { print name, "diskimg__" name }
' | sort -u >"$scratch/names"
[ -s "$scratch/names" ] || fail "nm lists no names in $archive"

# `convert_objects OPTION... FROM TO`, by the first objcopy that reads FROM.
convert_objects() {
    if [ -n "${OBJCOPY:-}" ]; then "$OBJCOPY" "$@"; return; fi
    triple=$(basename "$(dirname "$(dirname "$archive")")")
    sysroot=$("${RUSTC:-rustc}" --print sysroot)
    for tool in objcopy "$(echo "$triple" | sed 's/-[a-z]*-linux-/-linux-/')-objcopy" llvm-objcopy \
        "$sysroot"/lib/rustlib/*/bin/rust-objcopy; do
        command -v "$tool" >/dev/null || continue
        if LD_LIBRARY_PATH="$sysroot/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" command "$tool" "$@" 2>"$scratch/said"; then
            return
        fi
        sed "s|^|$tool: |" "$scratch/said" >>"$scratch/all-said"
    done
    [ ! -f "$scratch/all-said" ] || head -n 5 "$scratch/all-said" >&2
    fail 'no objcopy reads the library: install binutils for the target, or set OBJCOPY'
}
set -- --redefine-syms="$scratch/names"
if [ "$STRIP" = yes ]; then
    # The bitcode of the standard library is for link-time optimisation between Rust objects.
    set -- "$@" --strip-debug --remove-section .llvmbc --remove-section .llvmcmd
fi
convert_objects "$@" "$archive" "$scratch/libdiskimg.a"
if [ -n "$shared" ]; then
    if [ "$STRIP" = yes ]; then convert_objects --strip-unneeded "$shared" "$scratch/libdiskimg.so"
    else cp "$shared" "$scratch/libdiskimg.so"; fi
fi
for library in "$scratch"/libdiskimg.*; do
    if grep -qF -e "$root/" -e "$cargo_home/" "$library"; then
        echo "note: $(basename "$library") has paths of this machine in it"
    fi
done

mkdir "$scratch/man3"
awk -v directory="$scratch/man3" -v version="$version" -f crates/capi/man.awk include/diskimg.h

install -d "$DESTDIR$LIBDIR/pkgconfig" "$DESTDIR$INCLUDEDIR" "$DESTDIR$DATADIR/man/man3"
echo 'installed:'
put() { # MODE FROM TO
    install -m "$1" "$2" "$DESTDIR$3"
    echo "    $DESTDIR$3"
}
put 644 include/diskimg.h "$INCLUDEDIR/diskimg.h"
put 644 "$scratch/libdiskimg.a" "$LIBDIR/libdiskimg.a"
if [ -n "$shared" ]; then
    # The library under its full version, and the links for running and linking programs.
    put 755 "$scratch/libdiskimg.so" "$LIBDIR/libdiskimg.so.$version"
    ln -sf "libdiskimg.so.$version" "$DESTDIR$LIBDIR/libdiskimg.so.$minor"
    ln -sf "libdiskimg.so.$minor" "$DESTDIR$LIBDIR/libdiskimg.so"
fi
# The compiler adds libgcc, or libgcc_eh for a fully static program.
cat >"$scratch/diskimg.pc" <<EOF
prefix=$PREFIX
libdir=$LIBDIR
includedir=$INCLUDEDIR

Name: diskimg
Description: Virtual-disk images: detect, inspect, read, convert and compare, safely
Version: $version
${requires:+$requires
}Libs: -L\${libdir} -ldiskimg
Libs.private: -lpthread -lm -ldl -lc
Cflags: -I\${includedir}
EOF
put 644 "$scratch/diskimg.pc" "$LIBDIR/pkgconfig/diskimg.pc"
for page in "$scratch"/man3/*.3; do install -m 644 "$page" "$DESTDIR$DATADIR/man/man3"; done
echo "    $DESTDIR$DATADIR/man/man3/libdiskimg.3, and a page for each function and type"

# How to compile with it, for the directories where pkg-config and the loader do not look.
[ -z "$DESTDIR" ] || exit 0
echo 'compile with:'
case :$(pkg-config --variable pc_path pkg-config 2>/dev/null):${PKG_CONFIG_PATH:-}: in
*":$LIBDIR/pkgconfig:"*) ;;
*) echo "    export PKG_CONFIG_PATH=$LIBDIR/pkgconfig" ;;
esac
if [ -z "$shared" ]; then rpath='' static='-static '
elif PATH=$PATH:/usr/sbin:/sbin ldconfig -v -N -X 2>/dev/null | grep -q "^$LIBDIR:"; then
    rpath='' static=''
    echo '    ldconfig    # as root, once: the loader finds the library'
else rpath=" -Wl,-rpath,$LIBDIR" static=''; fi
echo "    cc ${static}PROGRAM.c \$(pkg-config ${static:+--static }--cflags --libs diskimg)$rpath"
