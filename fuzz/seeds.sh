#!/usr/bin/env bash
# Lays out what fuzzing starts from, `fuzz/corpus/TARGET`: the files and packets that the tests are made of. Run it
# anywhere; what a fuzzer has found since stays. Reports have no seeds: their form is found in seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
corpus=fuzz/corpus
mkdir -p $corpus/{query,zone_file,configuration,mmdb,agent_report,doh_request}

# What dig, kdig, delv and unbound sent; the same by GET and by POST.
number=0
while read -r hex; do
    number=$((number + 1))
    xxd -r -p <<<"$hex" >$corpus/query/sent-$number
    encoded=$(base64 -w0 <$corpus/query/sent-$number | tr '+/' '-_' | tr -d =)
    printf 'GET\n/dns-query?dns=%s\n\n' "$encoded" >$corpus/doh_request/get-$number
    { printf 'POST\n/dns-query\napplication/dns-message\n'; cat $corpus/query/sent-$number; } \
        >$corpus/doh_request/post-$number
done < <(grep -v '^#' tests/corpora/queries.hex)
printf 'GET\n/dns-query?x=1&dns=AQI&y\n\n' >$corpus/doh_request/parameters
printf 'HEAD\nhttps://ns1.example.com/dns-query?dns=\n\n' >$corpus/doh_request/head
printf 'POST\n/dns-query\nApplication/DNS-Message; charset=x\n' >$corpus/doh_request/empty
printf 'PUT\n/\ntext/plain\nnothing' >$corpus/doh_request/other

cp zones/*.zone $corpus/zone_file
printf '$TTL 60\n$INCLUDE self\n$GENERATE 1-20/2 h${0,3,x} A 192.0.2.$\n@ SOA a b 1 2 3 4 5\n' >$corpus/zone_file/directives
# Every type that is read: the cases of the codec's own tests.
grep -oE '^ *\("[A-Z0-9]+", "[^"\\]*"' src/zone/rdata/tests.rs | sed -E 's/^ *\("([A-Z0-9]+)", "([^"]*)"/x 1 \1 \2/' \
    >$corpus/zone_file/types || true
cp tests/cases/config/*.toml rhumb.toml agent.toml $corpus/configuration
for file in docker/*.toml; do cp "$file" "$corpus/configuration/docker-${file##*/}"; done
cp tests/fixtures/geo/*.mmdb $corpus/mmdb
