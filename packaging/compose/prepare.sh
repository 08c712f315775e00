#!/bin/sh
# Make the secrets of compose.yaml in the folder secrets/ beside this file, or in $1. Existing ones are kept.
set -eu
folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
keep() { [ -s "$folder/$1" ] || cat >"$folder/$1"; }

random | keep postgres_password
random | keep hub_secret
printf 'postgresql+psycopg://hub:%s@database/hub\n' "$(cat "$folder/postgres_password")" | keep hub_database

# The hub's containers run as this user and read the files as they are.
if [ "$(id -u)" -eq 0 ]; then
    chown 8674:8674 "$folder/hub_secret" "$folder/hub_database"
fi
