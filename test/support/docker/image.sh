#!/usr/bin/env bash
# Builds an image for the tests from a PostgreSQL that is installed here: its files, the libraries that ldd names, busybox.
#   image.sh TAG PREFIX      PREFIX holds bin/, lib/ and share/
# With SHARE and LIB the other two directories may be elsewhere (Debian's layout).
set -euo pipefail
tag="$1" prefix="$(realpath "$2")"
here="$(cd "$(dirname "$0")" && pwd)"
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT

mkdir -p "$root"/{bin,etc,tmp,root,usr/local/bin,var/run,var/lib/postgresql,docker-entrypoint-initdb.d}
chmod 1777 "$root/tmp"
cp "$(command -v busybox)" "$root/bin/busybox"
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"; done
cp "$(command -v setpriv)" "$root/usr/local/bin/setpriv"
printf 'root:x:0:0::/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\npostgres:x:999:\n' >"$root/etc/group"
install -m 755 "$here/entrypoint.sh" "$root/usr/local/bin/docker-entrypoint.sh"

mkdir -p "$root$prefix"
cp -a "$prefix/bin" "$prefix/lib" "$root$prefix/"
[ -d "$prefix/share" ] && cp -a "$prefix/share" "$root$prefix/"
for extra in ${EXTRA:-}; do mkdir -p "$root$(dirname "$extra")" && cp -aL "$extra" "$root$(dirname "$extra")/"; done
for name in ${WITHOUT:-}; do rm -f "$root$prefix/bin/$name"; done

# Libraries of everything that is a program or a library, at the paths where they are found here.
{ find "$prefix/bin" "$prefix/lib" -type f \( -perm -u+x -o -name '*.so*' \); command -v setpriv; } |
  { xargs -r ldd 2>/dev/null || true; } | grep -oE '/[^ ]+\.so[^ ]*' | grep -v "^$prefix" | sort -u | while read -r lib; do
  mkdir -p "$root$(dirname "$lib")"
  cp -L "$lib" "$root$lib"
done
# Look-ups of names: loaded at run time, so ldd does not show them.
for lib in /lib/x86_64-linux-gnu/libnss_{files,dns}.so.2 /lib/x86_64-linux-gnu/libresolv.so.2; do
  [ -e "$lib" ] && mkdir -p "$root$(dirname "$lib")" && cp -L "$lib" "$root$lib"
done
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

tar -C "$root" -c . | docker import \
  -c "ENV PATH=$prefix/bin:/usr/local/bin:/bin" -c 'ENV PGDATA=/var/lib/postgresql/data' \
  -c 'VOLUME /var/lib/postgresql/data' -c 'EXPOSE 5432' \
  -c 'ENTRYPOINT ["docker-entrypoint.sh"]' -c 'CMD ["postgres"]' - "$tag" >/dev/null
echo "$tag"
