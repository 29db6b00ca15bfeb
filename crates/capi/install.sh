#!/bin/sh
# Builds libdiskimg and installs it: header, shared and static library, pkg-config file. Needs cargo and cc.
#
#     PREFIX=/usr/local crates/capi/install.sh
#
# PREFIX       the installation prefix         /usr/local
# LIBDIR       the directory of libraries      $PREFIX/lib
# INCLUDEDIR   the directory of headers        $PREFIX/include
# DESTDIR      prepended to all of these,      empty
#              for packages
# PROFILE      the cargo profile               release
# LIBLZMA      "bundled" (built in), or        bundled
#              "system": 5.8.1 or newer,
#              found by pkg-config
# CARGO        the cargo command               cargo
set -eu
cd "$(dirname "$0")/../.."

PREFIX=${PREFIX:-/usr/local}
LIBDIR=${LIBDIR:-$PREFIX/lib}
INCLUDEDIR=${INCLUDEDIR:-$PREFIX/include}
DESTDIR=${DESTDIR:-}
PROFILE=${PROFILE:-release}
CARGO=${CARGO:-cargo}
LIBLZMA=${LIBLZMA:-bundled}

case $LIBLZMA in
bundled) features= requires= ;;
system)
    # Without this check, cargo would silently bundle its own. Older versions can use freed memory on several threads.
    pkg-config --print-errors --exists 'liblzma >= 5.8.1'
    features=--no-default-features requires='Requires.private: liblzma >= 5.8.1' ;;
*) echo "LIBLZMA is \"$LIBLZMA\", expected \"bundled\" or \"system\"" >&2; exit 2 ;;
esac

# shellcheck disable=SC2086 # one word, or none
"$CARGO" build --quiet --locked --package diskimg-capi --profile "$PROFILE" $features
target=$("$CARGO" metadata --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
case $PROFILE in
dev) built=$target/debug ;;
*) built=$target/$PROFILE ;;
esac

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
minor=${version%.*}

install -d "$DESTDIR$LIBDIR/pkgconfig" "$DESTDIR$INCLUDEDIR"
install -m 644 include/diskimg.h "$DESTDIR$INCLUDEDIR/diskimg.h"
install -m 644 "$built/libdiskimg.a" "$DESTDIR$LIBDIR/libdiskimg.a"
# The library under its full version, and the links for running and linking programs.
install -m 755 "$built/libdiskimg.so" "$DESTDIR$LIBDIR/libdiskimg.so.$version"
ln -sf "libdiskimg.so.$version" "$DESTDIR$LIBDIR/libdiskimg.so.$minor"
ln -sf "libdiskimg.so.$minor" "$DESTDIR$LIBDIR/libdiskimg.so"
cat >"$DESTDIR$LIBDIR/pkgconfig/diskimg.pc" <<EOF
prefix=$PREFIX
libdir=$LIBDIR
includedir=$INCLUDEDIR

Name: diskimg
Description: Virtual-disk images: detect, inspect, read, convert and compare, safely
Version: $version
${requires:+$requires
}Libs: -L\${libdir} -ldiskimg
Libs.private: -lgcc_s -lpthread -lm -ldl -lc
Cflags: -I\${includedir}
EOF
