#!/bin/sh
# What the official image's docker-entrypoint.sh does, as far as its documentation promises it; for images of the tests.
set -e

postgres_user="${POSTGRES_USER:-postgres}"
export PGDATA="${PGDATA:-/var/lib/postgresql/data}"

case "$1" in -*) set -- postgres "$@" ;; esac

asks_for_help() {
  for arg; do
    case "$arg" in -'?' | --help | --describe-config | -V | --version) return 0 ;; esac
  done
  return 1
}

if [ "$1" = postgres ] && ! asks_for_help "$@"; then
  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA" || :
    find "$PGDATA" ! -user postgres -exec chown postgres {} +
    chown postgres /var/run/postgresql
    exec /usr/local/bin/setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
  fi
  if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "$POSTGRES_PASSWORD" ]; then
      echo 'Error: Database is uninitialized and superuser password is not specified.' >&2
      exit 1
    fi
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    eval 'initdb --username="$postgres_user" --pwfile=/tmp/password '"$POSTGRES_INITDB_ARGS"
    rm /tmp/password
    printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "$(printf '%s ' "$@" | cut -d' ' -f2-) -c listen_addresses= -p 5432" -w start
    for file in /docker-entrypoint-initdb.d/*; do
      case "$file" in *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;; esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
  fi
fi
exec "$@"
