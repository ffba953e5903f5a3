//! The zone and the configuration that mutated queries and fuzzed octets are put to: names of every kind, with every
//! extension on. Shared with the benchmark `reliability` and with `tests/fuzz`.

/// The zone example.com.
pub(crate) const ZONE: &str = "@ 3600 SOA ns1 host 1 7200 900 1209600 300
@ 3600 NS ns1
@ 3600 MX 10 mail
ns1 3600 A 192.0.2.53
mail 300 A 192.0.2.25
www 60 TXT \"beside the service\"
alias 60 CNAME www
loop 60 CNAME loop2
loop2 60 CNAME loop
cut 60 NS ns.cut
cut 60 DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000001
ns.cut 60 A 192.0.2.54
*.w 60 TXT \"wild\"
d 60 DNAME w
deep.ent.x 60 A 192.0.2.3
many 60 TXT \"01234567890123456789012345678901234567890123456789012345678901234567890123456789\"
";

/// What is configured but for zones, regions and addresses.
pub(crate) const CONFIGURATION: &str = "server.nsid = \"ns1-test\"
server.error-reports = \"reports.example.net\"
server.chaos = { id = \"ns1\", version = \"test\" }
[maps.m]
order = [\"eu\", \"us\"]
clients = { \"net:10.1.0.0/16\" = { regions = [\"us\"] }, \"net:2001:db8:5::/48\" = { regions = [\"us\"], fence = \"hard\" } }
[services.www]
names = [\"www.example.com\", \"*.app.example.com\"]
map = \"m\"
https = [\"1 . alpn=h2\"]
regions.eu = [\"192.0.2.1\", \"2001:db8::1\"]
regions.us = [\"192.0.2.2\", \"2001:db8::2\"]
";
