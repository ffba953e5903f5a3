//! Zones as people write them, well and badly.

use std::fmt::Write;
use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::wire::code::RecordType;

const HEAD: &str = "$TTL 60\n@ SOA ns. admin. 7 1 1 1 30\n@ NS ns.\n";

fn origin() -> Name {
    "example.com".parse().unwrap()
}

/// Reads a zone as it stands; there are the files "inc" and "self".
fn read_whole(text: &str) -> Result<(Zone, Vec<Fault>), Vec<Fault>> {
    let mut include = |path: &Path| match path.to_str().unwrap() {
        "inc" => Ok(b"inside A 192.0.2.9\n A 192.0.2.10\n$ORIGIN sub\ndeep A 192.0.2.11\n".to_vec()),
        "self" => Ok(b"$INCLUDE self\n".to_vec()),
        "bad" => Ok(b"\nb A bogus\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    read(&origin(), Path::new("zones/zone"), text.as_bytes(), &mut include)
}

/// Reads a good head and then `text`.
fn read_zone(text: &str) -> Result<(Zone, Vec<Fault>), Vec<Fault>> {
    read_whole(&format!("{HEAD}{text}"))
}

/// All records of a zone as text, without those of the head.
fn records(text: &str) -> Vec<String> {
    let (zone, _) = read_zone(text).unwrap_or_else(|faults| panic!("{}", told(&faults).join("\n")));
    let head = ["example.com. 60 SOA ns. admin. 7 1 1 1 30", "example.com. 60 NS ns."];
    lines(&zone).into_iter().filter(|line| !head.contains(&&**line)).collect()
}

pub(super) fn lines(zone: &Zone) -> Vec<String> {
    let mut lines = Vec::new();
    for owner in zone.owners() {
        for rrset in owner.rrsets() {
            for data in rrset.rdata() {
                let mut line =
                    format!("{} {} {} ", Name::from_checked(owner.name()), rrset.ttl(), rrset.rtype());
                rdata::show(rrset.rtype(), data, &mut line).unwrap();
                lines.push(line);
            }
        }
    }
    lines
}

fn told(faults: &[Fault]) -> Vec<String> {
    let line = |fault: &Fault| {
        let spot = fault.spot.as_ref().map_or("-".to_owned(), |spot| {
            let meant: String = spot.excerpt.chars().skip(spot.indent).take(spot.length).collect();
            format!("{}:{} `{meant}`", spot.line, spot.column)
        });
        format!("{} {spot} {}", fault.severity, fault.message)
    };
    faults.iter().map(line).collect()
}

/// Errors of a zone after the head, whose lines are not counted; warnings left out.
fn errors(text: &str) -> Vec<String> {
    let faults =
        read_whole(&format!("{}{text}", HEAD.replace('\n', " \n").replacen("$TTL 60 \n", "$TTL 60\n", 1)));
    let faults = faults.expect_err("the zone is bad");
    told(&faults)
        .into_iter()
        .filter(|line| line.starts_with("error"))
        .map(|line| line[6..].to_owned())
        .collect()
}

fn warnings(text: &str) -> Vec<String> {
    let (_, faults) = read_zone(text).unwrap_or_else(|faults| panic!("{}", told(&faults).join("\n")));
    told(&faults).into_iter().map(|line| line.strip_prefix("warning ").unwrap().to_owned()).collect()
}

//--- What is read

#[test]
fn owners_ttls_and_classes_may_be_left_out() {
    assert_eq!(
        records(
            "a 10 IN A 192.0.2.1\nb in 20 a 192.0.2.2\n  TXT x\nc.example.com. CLASS1 A 192.0.2.3\n@ A 192.0.2.4"
        ),
        [
            "example.com. 60 A 192.0.2.4",
            "a.example.com. 10 A 192.0.2.1",
            "b.example.com. 20 A 192.0.2.2",
            "b.example.com. 60 TXT \"x\"",
            "c.example.com. 60 A 192.0.2.3",
        ]
    );
}

#[test]
fn a_ttl_that_is_not_given_is_that_of_the_record_before_or_the_minimum() {
    let (zone, faults) =
        read_whole("@ SOA ns. a. 1 1 1 1 33\n NS ns.\na 10 A 192.0.2.1\nb A 192.0.2.2").unwrap();
    let ttls: Vec<u32> = zone.owners().flat_map(|owner| owner.rrsets().map(Rrset::ttl)).collect();
    assert_eq!(ttls, [33, 33, 10, 33]);
    assert_eq!(told(&faults), ["warning 1:3 `SOA` no TTL is given; the SOA's minimum is taken"]);
    let (zone, _) =
        read_whole("@ 9 SOA ns. a. 1 1 1 1 33\n NS ns.\na 10 A 192.0.2.1\nb A 192.0.2.2").unwrap();
    let ttls: Vec<u32> = zone.owners().flat_map(|owner| owner.rrsets().map(Rrset::ttl)).collect();
    assert_eq!(ttls, [9, 9, 10, 10]);
}

#[test]
fn origin_and_ttl_directives_hold_until_the_next() {
    assert_eq!(
        records(
            "$ORIGIN sub\na A 192.0.2.1\n$origin x\n$ttl 1h\nb CNAME a\n$ORIGIN example.com.\nc A 192.0.2.2"
        ),
        [
            "c.example.com. 3600 A 192.0.2.2",
            "a.sub.example.com. 60 A 192.0.2.1",
            "b.x.sub.example.com. 3600 CNAME a.x.sub.example.com.",
        ]
    );
}

#[test]
fn includes_keep_origin_and_owner_of_the_file_that_includes() {
    assert_eq!(
        records("a A 192.0.2.1\n$INCLUDE inc x\n TXT a\nb A 192.0.2.2"),
        [
            "a.example.com. 60 A 192.0.2.1",
            "a.example.com. 60 TXT \"a\"",
            "b.example.com. 60 A 192.0.2.2",
            "inside.x.example.com. 60 A 192.0.2.9",
            "inside.x.example.com. 60 A 192.0.2.10",
            "deep.sub.x.example.com. 60 A 192.0.2.11",
        ]
    );
}

#[test]
fn generate_makes_records() {
    assert_eq!(
        records(
            "$GENERATE 1-3/2 h$ 5 IN A 10.0.0.$\n$GENERATE 1-1 t TXT \"a $\" b\\$\n$GENERATE 2-2 s HTTPS $ . alpn=\"h$\""
        ),
        [
            "h1.example.com. 5 A 10.0.0.1",
            "h3.example.com. 5 A 10.0.0.3",
            "s.example.com. 60 HTTPS 2 . alpn=\"h2\"",
            "t.example.com. 60 TXT \"a 1\" \"b$\"",
        ]
    );
}

#[test]
fn records_come_in_canonical_order_once() {
    assert_eq!(
        records(
            "b A 192.0.2.2\nz.a MX 10 X.\nz.a MX 10 x.\nA TXT b\na TXT a\nB A 192.0.2.1\na A 192.0.2.1\nb A 192.0.2.2\n\\001 A 192.0.2.1\na\\000 TXT c"
        ),
        [
            "\\001.example.com. 60 A 192.0.2.1",
            "a.example.com. 60 A 192.0.2.1",
            "a.example.com. 60 TXT \"a\"",
            "a.example.com. 60 TXT \"b\"",
            "z.a.example.com. 60 MX 10 X.",
            "a\\000.example.com. 60 TXT \"c\"",
            "b.example.com. 60 A 192.0.2.1",
            "b.example.com. 60 A 192.0.2.2",
        ]
    );
}

#[test]
fn empty_non_terminals_are_owners_without_rrsets() {
    let (zone, _) = read_zone(
        "x.y.z A 192.0.2.1\nw.y.z A 192.0.2.1\na.b A 192.0.2.1\nb A 192.0.2.1\nq.x.y.z A 192.0.2.1",
    )
    .unwrap();
    let names: Vec<String> = zone
        .owners()
        .map(|owner| {
            format!(
                "{}{}",
                Name::from_checked(owner.name()),
                if owner.is_empty_non_terminal() { " empty" } else { "" }
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            "example.com.",
            "b.example.com.",
            "a.b.example.com.",
            "z.example.com. empty",
            "y.z.example.com. empty",
            "w.y.z.example.com.",
            "x.y.z.example.com.",
            "q.x.y.z.example.com.",
        ]
    );
}

#[test]
fn situations_follow_the_cuts() {
    let (zone, _) =
        read_zone("a A 192.0.2.1\nd NS ns.d\nns.d A 192.0.2.2\nx.y.d A 192.0.2.3\nda A 192.0.2.1").unwrap();
    let situations: Vec<Situation> = zone.owners().map(Owner::situation).collect();
    use Situation::*;
    assert_eq!(situations, [Apex, Authoritative, Cut, BelowCut, BelowCut, BelowCut, Authoritative]);
    assert_eq!(zone.serial(), 7);
    assert_eq!(
        zone.find(b"\x01a\x07example\x03com\0").unwrap().rrset(RecordType::A).unwrap().rdata().len(),
        1
    );
    assert!(zone.find(b"\x01b\x07example\x03com\0").is_none());
}

#[test]
fn the_root_can_be_a_zone() {
    let text =
        "@ 60 SOA a. b. 1 1 1 1 1\n@ 60 NS a.\na 60 A 192.0.2.1\ncom 60 NS x.com.\nx.com. 60 A 192.0.2.1\n";
    let (zone, _) = read(&Name::root(), Path::new("root"), text.as_bytes(), &mut |_| unreachable!()).unwrap();
    assert_eq!(zone.owners().len(), 4);
}

//--- What is refused

#[test]
fn every_fault_is_told_with_its_place() {
    assert_eq!(
        errors(
            "a A 192.0.2.300\nb BOGUS x\n  A 192.0.2.1\nc 99999999999 A 192.0.2.1\nd CH A 192.0.2.1\nd..e A 192.0.2.1\n$BOGUS\nf TXT \"x\ng )\nh\ni A"
        ),
        [
            "4:5 `192.0.2.300` this is not an IPv4 address",
            "5:3 `BOGUS` this is no record type",
            "7:3 `99999999999` this is no TTL",
            "8:3 `CH` this class is not served",
            "9:1 `d..e` a label is empty; between two dots stands at least one character",
            "10:1 `$BOGUS` this is no directive",
            "11:7 `\"x` this quote is not closed",
            "12:3 `)` this parenthesis was not opened",
            "13:2 `` the type of the record is missing",
            "14:4 `` an IPv4 address is missing here",
        ]
    );
}

#[test]
fn a_record_that_cannot_be_read_hides_no_other_fault() {
    assert_eq!(
        errors(
            "a A bogus\n@ NS b\nq TXT \"x\n TXT \"y\n A 192.0.2.1\nc CNAME d\nc A 192.0.2.1\nout. A 192.0.2.1\n@ MX x"
        ),
        [
            "4:5 `bogus` this is not an IPv4 address",
            "5:6 `b` the name server b.example.com. has no A or AAAA record in this zone",
            "6:7 `\"x` this quote is not closed",
            "7:6 `\"y` this quote is not closed",
            "9:3 `CNAME` this CNAME stands beside A records of the same name",
            "11:1 `out.` the name is outside of the zone example.com.",
            "12:6 `x` this is not a number up to 65535",
        ]
    );
}

#[test]
fn a_fault_shows_its_line_and_what_would_be_right() {
    let faults = read_zone("www IN A 192.0.2.300 ; Dublin\n").unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "error: this is not an IPv4 address\n --> zones/zone:4:10\n  |\n4 | www IN A 192.0.2.300 ; Dublin\n  |          ^^^^^^^^^^^\n\
         help: write four numbers up to 255 with dots between, such as 192.0.2.1"
    );
}

#[test]
fn an_apex_has_one_soa_and_an_ns() {
    let faults = read_whole("$TTL 1\na A 192.0.2.1\n").unwrap_err();
    assert_eq!(
        told(&faults),
        ["error - the zone has no SOA at example.com.", "error - the zone has no NS at example.com."]
    );
    assert_eq!(told(&read_whole("").unwrap_err()).len(), 2);
    assert_eq!(errors("@ SOA ns. admin. 8 1 1 1 30"), ["4:3 `SOA` this is a second SOA of this name"]);
    assert_eq!(errors("a SOA ns. admin. 8 1 1 1 30"), ["4:3 `SOA` this SOA is not at the apex of the zone"]);
    let faults = read_whole("$TTL 1\n@ SOA ns. a. x 1 1 1 1\n@ NS\n").unwrap_err();
    assert_eq!(
        told(&faults),
        [
            "error 2:14 `x` this is not a number up to 4294967295",
            "error 3:5 `` a domain name is missing here"
        ],
        "what could not be read is not missing as well"
    );
}

#[test]
fn aliases_stand_alone() {
    assert_eq!(
        errors("a CNAME b\na A 192.0.2.1"),
        ["4:3 `CNAME` this CNAME stands beside A records of the same name"]
    );
    assert_eq!(errors("a CNAME b\na CNAME c"), ["5:3 `CNAME` this is a second CNAME of this name"]);
    assert_eq!(errors("@ CNAME b"), ["4:3 `CNAME` this CNAME stands beside NS records of the same name"]);
    assert_eq!(errors("a DNAME b\na CNAME c").len(), 1);
    assert_eq!(errors("a DNAME b\na DNAME c"), ["5:3 `DNAME` this is a second DNAME of this name"]);
    assert_eq!(records("a CNAME b\na CNAME B\na NSEC c CNAME").len(), 2);
}

#[test]
fn nothing_stands_below_a_dname() {
    assert_eq!(errors("a DNAME b\nc.a A 192.0.2.1\nd.c.a A 192.0.2.1").len(), 2);
    assert_eq!(errors("@ DNAME b.\na A 192.0.2.1"), ["5:3 `A` this is below the DNAME at example.com."]);
    assert_eq!(errors("a DNAME b\na NS ns.").len(), 1);
    assert_eq!(errors("*.a DNAME b"), ["4:5 `DNAME` a wildcard has a DNAME"]);
    assert_eq!(records("a DNAME b\naa A 192.0.2.1\na A 192.0.2.1").len(), 3);
}

#[test]
fn names_outside_of_the_zone_are_refused() {
    assert_eq!(
        errors("a. A 192.0.2.1\n TXT b\nbadexample.com. A 192.0.2.1\n$ORIGIN net.\nb A 192.0.2.1"),
        [
            "4:1 `a.` the name is outside of the zone example.com.",
            "6:1 `badexample.com.` the name is outside of the zone example.com.",
            "8:1 `b` the name is outside of the zone example.com.",
        ]
    );
}

#[test]
fn name_servers_in_the_zone_have_addresses() {
    assert_eq!(
        errors("@ NS ns1\nd NS ns.d\ne NS e ; self\nf NS ns1"),
        [
            "4:6 `ns1` the name server ns1.example.com. has no A or AAAA record in this zone",
            "5:6 `ns.d` glue is missing: the name server ns.d.example.com. has no A or AAAA record in this zone",
            "6:6 `e` glue is missing: the name server e.example.com. has no A or AAAA record in this zone",
            "7:6 `ns1` the name server ns1.example.com. has no A or AAAA record in this zone",
        ]
    );
    assert!(warnings("d NS ns.d\nns.d AAAA ::1\ne NS ns.net.\nf NS a.w\n*.w A 192.0.2.1").is_empty());
    assert_eq!(
        warnings("d NS ns.e\ne NS ns.net."),
        ["4:6 `ns.e` the addresses of the name server ns.e.example.com. are not here"]
    );
    assert_eq!(errors("a A bogus\n@ NS a").len(), 1, "the address that could not be read may be the one");
}

#[test]
fn usual_slips_are_guessed() {
    let help = |text: &str| read_zone(text).unwrap_err()[0].help.clone();
    assert!(help("@ NS ns.example.com").starts_with("end the name with a dot"));
    assert!(help("@ NS 192.0.2.1").starts_with("name a host here"));
    assert!(help("@ NS ns").starts_with("add `ns.example.com. A ADDRESS`"));
    let (_, faults) = read_whole("$TTL 1\n@ SOA ns. me@example.net. 1 1 1 1 1\n@ NS ns.\n").unwrap();
    assert_eq!(told(&faults), ["warning 2:3 `SOA` the mailbox of the SOA holds an @"]);
}

#[test]
fn what_should_be_looked_at_is_a_warning() {
    assert_eq!(
        warnings(
            "c CNAME a.\n@ MX 1 c\n@ NS c\n_s SRV 1 1 1 c\nd NS ns.\nd MX 1 a.\nx.d TXT a\n*.w NS ns.\nt 5 A 192.0.2.1\nt 6 A 192.0.2.2\nh HTTPS 0 c alpn=h2\n@ DS 1 13 2 00\ne DS 1 13 2 00\n@ CDS 0 0 0 00\ne CDS 1 13 2 00\ne CDNSKEY 0 3 0 AA==\n_dsboot.e._signal CDS 1 13 2 00"
        ),
        [
            "5:8 `c` the MX points to an alias",
            "6:6 `c` the NS points to an alias",
            "7:14 `c` the SRV points to an alias",
            "9:3 `MX` this MX is never answered: the name is delegated",
            "10:5 `TXT` this TXT is never answered: a name above is delegated",
            "11:5 `NS` a wildcard has an NS",
            "13:5 `A` the records of one name and type have different TTLs; all get the lowest, 5",
            "14:3 `HTTPS` priority 0 makes an alias, whose parameters clients pass over",
            "15:3 `DS` nothing is delegated here that this DS could speak of",
            "16:3 `DS` nothing is delegated here that this DS could speak of",
            "18:3 `CDS` no parent reads this CDS: it is not at the apex",
            "19:3 `CDNSKEY` no parent reads this CDNSKEY: it is not at the apex",
        ]
    );
}

#[test]
fn messages_only_types_are_refused() {
    assert_eq!(errors("a OPT \\# 0"), ["4:3 `OPT` OPT stands in messages, never in zones"]);
    assert_eq!(errors("a TYPE255 \\# 0").len(), 1);
    assert_eq!(errors("a ANY \\# 0").len(), 1);
    assert_eq!(errors("a TYPE0 \\# 0").len(), 1);
}

#[test]
fn includes_are_bounded() {
    assert_eq!(errors("$INCLUDE self"), ["1:10 `self` too many files are included"]);
    assert_eq!(errors("$INCLUDE nothing"), ["4:10 `nothing` the file cannot be read: entity not found"]);
    assert_eq!(errors("$INCLUDE").len(), 1);
    assert_eq!(errors("$INCLUDE bad a b").len(), 2);
    let faults = read_zone("$INCLUDE bad").unwrap_err();
    assert_eq!(&*faults[0].file, "zones/bad");
}

#[test]
fn generate_is_bounded_and_told_once() {
    assert_eq!(errors("$GENERATE 1-9999999 h$ A 10.0.0.1"), ["4:11 `1-9999999` this makes too many records"]);
    assert_eq!(errors("$GENERATE 1-300 h$ A 10.0.0.$"), ["4:1 `$GENERATE` this is not an IPv4 address"]);
    assert_eq!(errors("$GENERATE 1-3 h${9 A 10.0.0.$").len(), 1);
    assert_eq!(errors("$GENERATE x h A 10.0.0.$").len(), 1);
    assert_eq!(errors("$GENERATE 1-3").len(), 1);
    assert_eq!(errors(&format!("$GENERATE 1-1000000 h TXT {}", "a".repeat(2000))).len(), 1);
}

#[test]
fn faults_beyond_the_limit_are_counted() {
    let faults = read_zone(&"a A bogus\n".repeat(FAULTS_MAX + 17)).unwrap_err();
    assert_eq!(faults.len(), FAULTS_MAX + 1);
    assert_eq!(faults[FAULTS_MAX].message, "and 17 more");
}

#[test]
fn rrsets_that_fit_no_message_are_refused() {
    let text = |count: usize| {
        (0..count).fold(String::new(), |mut text, index| {
            writeln!(text, "a AAAA 2001:db8::{index:x}").unwrap();
            text
        })
    };
    assert!(read_zone(&text(2000)).is_ok());
    assert_eq!(errors(&text(2400)), ["4:3 `AAAA` the 2400 records of this name and type fit no message"]);
}

#[test]
fn long_names_are_refused() {
    let label = "a".repeat(63);
    assert_eq!(errors(&format!("{label}a A 192.0.2.1")).len(), 1);
    assert_eq!(errors(&format!("{label}.{label}.{label}.{label} A 192.0.2.1")).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn mutated_zones_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..30)) {
        let mut text = include_bytes!("testdata/every-type.zone").to_vec();
        for (index, change, octet) in changes {
            if text.is_empty() {
                break;
            }
            let at = index.index(text.len());
            match change {
                0 => text[at] = octet,
                1 => text.insert(at, b"\n\t ;\"()\\$@"[usize::from(octet) % 10]),
                2 => { text.remove(at); }
                _ => text.truncate(at.max(1)),
            }
        }
        if let Err(faults) = read(&origin(), Path::new("z"), &text, &mut |_| Err(io::ErrorKind::NotFound.into())) {
            for fault in faults {
                prop_assert!(!fault.to_string().is_empty());
            }
        }
    }

    #[test]
    fn order_of_the_file_does_not_matter(names in proptest::collection::vec("[ab*\\x00-\\x02]{1,2}(\\.[ab]){0,2}", 1..12).prop_shuffle()) {
        let line = |name: &String| {
            let escaped = name.bytes().fold(String::new(), |mut text, octet| {
                match octet {
                    b'.' => text.push('.'),
                    _ => write!(text, "\\{octet:03}").unwrap(),
                }
                text
            });
            format!("{escaped} A 192.0.2.1\n")
        };
        let (shuffled, _) = read_zone(&names.iter().map(line).collect::<String>()).unwrap();
        let mut sorted = names.clone();
        sorted.sort_by_cached_key(|name| Name::parse(name, Some(&origin())).unwrap());
        let (presorted, _) = read_zone(&sorted.iter().map(line).collect::<String>()).unwrap();
        prop_assert_eq!(lines(&shuffled), lines(&presorted));
        let owners: Vec<Name> = shuffled.owners().map(|owner| Name::from_checked(owner.name())).collect();
        prop_assert!(owners.is_sorted_by(|a, b| a < b));
        for owner in &owners[1..] {
            prop_assert!(owners.contains(&owner.parent().unwrap()), "{:?} has its ancestors", owner);
        }
    }
}
