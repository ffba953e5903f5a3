//! Record data: every type read, shown, checked, and refused.

use super::*;
use proptest::prelude::*;

fn origin() -> Name {
    "example.com".parse().unwrap()
}

fn read_back(rtype: RecordType, text: &str) -> Result<String, String> {
    let rdata = read_text(rtype, text, &origin()).map_err(|fault| fault.to_string())?;
    assert_eq!(check(rtype, &rdata), Ok(()), "{rtype} {text}");
    Ok(shown(rtype, &rdata))
}

fn shown(rtype: RecordType, rdata: &[u8]) -> String {
    let mut text = String::new();
    show(rtype, rdata, &mut text).unwrap();
    text
}

fn rtype(text: &str) -> RecordType {
    text.parse().unwrap()
}

#[test]
fn data_are_shown_as_dig_shows_them() {
    for (mnemonic, written, expected) in [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("AAAA", "2001:DB8:0:0:1::1", "2001:db8::1:0:0:1"),
        ("SOA", "ns1 admin 1 2h 30m 2w 5M", "ns1.example.com. admin.example.com. 1 7200 1800 1209600 300"),
        ("MX", "10 Mail", "10 Mail.example.com."),
        ("TXT", r#"a "b c" "" \"x"#, r#""a" "b c" "" "\"x""#),
        ("CAA", r#"0 issue """#, r#"0 issue """#),
        ("NSEC", "a. AAAA A TYPE65280 A", "a. A AAAA TYPE65280"),
        ("NSEC3", "1 1 12 - CPNMUOJ1 ", "1 1 12 - CPNMUOJ1"),
        (
            "RRSIG",
            "A ed25519 2 1h 20260101000000 1767139200 5 @ Zg==",
            "A 15 2 3600 20260101000000 20251231000000 5 example.com. Zg==",
        ),
        ("CERT", "PKIX 0 8 Zg==", "PKIX 0 RSASHA256 Zg=="),
        ("LOC", "52 14 05 N 00 08 50 W 10m", "52 14 5.000 N 0 8 50.000 W 10.00m 1m 10000m 10m"),
        (
            "LOC",
            "90 S 180 E -100000 0 0.05 90000000",
            "90 0 0.000 S 180 0 0.000 E -100000.00m 0.00m 0.05m 90000000m",
        ),
        ("APL", "", ""),
        ("APL", "1:10.0.0.0/8 !2:::/0", "1:10.0.0.0/8 !2:::/0"),
        ("IPSECKEY", "10 0 0 .", "10 0 0 ."),
        ("EUI48", "00-00-5E-00-53-2a", "00-00-5e-00-53-2a"),
        ("NID", "10 14:4fff:FF20:EE64", "10 14:4fff:ff20:ee64"),
        ("WKS", "10.0.0.1 TCP 53 25", "10.0.0.1 6 25 53"),
        ("TYPE731", r"\# 3 ab CD0 1", r"\# 3 ABCD01"),
        ("TYPE731", r"\# 0", r"\# 0"),
        ("A", r"\# 4 c0000201", "192.0.2.1"),
        ("NULL", r"\# 1 00", r"\# 1 00"),
    ] {
        assert_eq!(read_back(rtype(mnemonic), written).as_deref(), Ok(expected), "{mnemonic} {written}");
    }
}

#[test]
fn faults_say_what_is_wrong() {
    for (mnemonic, written, expected) in [
        ("A", "", "an IPv4 address is missing here"),
        ("A", "192.0.2.300", "this is not an IPv4 address"),
        ("A", "192.0.2.1 x", "the record should end before this word"),
        ("MX", "70000 a", "this is not a number up to 65535"),
        ("MX", "10", "a domain name is missing here"),
        ("MX", "10 a..b", "a label is empty; between two dots stands at least one character"),
        ("DS", "1 8 2 abc", "this is not hexadecimal"),
        ("DS", "1 8 2", "hexadecimal is missing here"),
        ("DS", r#"1 8 2 """#, "hexadecimal is missing here"),
        ("DNSKEY", "1 3 8 abc", "this is not base64"),
        ("DNSKEY", r#"1 3 8 """#, "this is not base64"),
        ("TXT", r"a\400", "a backslash is followed by one character or by three digits up to 255"),
        ("TYPE731", "abc", "record data of this type has no form of its own"),
        ("A", r"\# 5 c000020101", "these octets are no record data of this type"),
        ("A", r"\# 3 c0000201", "another length is stated than the 4 octets that follow"),
        ("NS", r"\# 2 c00c", "these octets are no record data of this type"),
        ("LOC", "91 N 0 E 0", "this is not a latitude"),
        ("LOC", "90 0 0.001 N 0 E 0", "this is not a latitude"),
        ("LOC", "1 2 3 4 N 0 E 0", "this is not a latitude"),
        ("A", "192.0.2.1\n192.0.2.2", "the record should end before this word"),
        ("A", "\"192.0.2.1", "this quote is not closed"),
        ("AMTRELAY", "1 2 0 .", "this is not 0 or 1"),
        ("AMTRELAY", "1 1 4 .", "this is not a gateway type"),
        ("APL", "1:10.0.0.0/33", "this is not an address prefix"),
        ("RRSIG", "A 8 2 1 20261301000000 0 5 @ Zg==", "this is not a time"),
    ] {
        assert_eq!(read_back(rtype(mnemonic), written), Err(expected.to_owned()), "{mnemonic} {written}");
    }
    let long = format!("\"{}\"", "a".repeat(256));
    assert_eq!(
        read_back(RecordType::TXT, &long),
        Err("this is not a string of at most 255 octets".to_owned())
    );
    let long = format!("\"{}\" ", "a".repeat(255)).repeat(257);
    assert_eq!(read_back(RecordType::TXT, &long), Err("the record data is too long".to_owned()));
}

#[test]
fn a_fault_is_where_the_word_is() {
    let fault = read_text(RecordType::MX, "10 a..b", &origin()).unwrap_err();
    assert_eq!((fault.span.start, fault.span.end), (3, 7));
    let fault = read_text(RecordType::HTTPS, "1 . alpn=h2 port=x", &origin()).unwrap_err();
    assert_eq!((fault.span.start, fault.span.end), (12, 18));
}

#[test]
fn service_parameters_follow_rfc_9460() {
    for (written, expected) in [
        ("0 svc.", "0 svc."),
        ("1 .", "1 ."),
        ("1 . port=53 alpn=h2,h3", r#"1 . alpn="h2,h3" port=53"#),
        (r#"1 . alpn="h2,h3""#, r#"1 . alpn="h2,h3""#),
        (r#"16 foo. alpn="f\\\\oo\\,bar,h2""#, r#"16 foo. alpn="f\\\\oo\\,bar,h2""#),
        (r"16 foo. alpn=f\\\092oo\092,bar,h2", r#"16 foo. alpn="f\\\\oo\\,bar,h2""#),
        (r#"1 foo. key667="hello\210qoo""#, r#"1 foo. key667="hello\210qoo""#),
        ("1 foo. key667=hello", r#"1 foo. key667="hello""#),
        (r#"1 . key3="\032\251""#, "1 . port=8443"),
        ("1 . ipv6hint=2001:db8:122:344::192.0.2.33", "1 . ipv6hint=2001:db8:122:344::c000:221"),
        (
            "1 . mandatory=ipv4hint,alpn ipv4hint=192.0.2.1 alpn=h2",
            r#"1 . mandatory=alpn,ipv4hint alpn="h2" ipv4hint=192.0.2.1"#,
        ),
        ("1 . no-default-alpn alpn=h3 ech=AEP+DQA=", r#"1 . alpn="h3" no-default-alpn ech=AEP+DQA="#),
        ("1 . ohttp dohpath=/dns-query{?dns} alpn=h2", r#"1 . alpn="h2" dohpath="/dns-query{?dns}" ohttp"#),
        ("1 . key65534", "1 . key65534"),
        ("0 . alpn=h2", r#"0 . alpn="h2""#),
    ] {
        assert_eq!(read_back(RecordType::HTTPS, written).as_deref(), Ok(expected), "{written}");
    }
    for (written, expected) in [
        ("1 . alpn=h2 alpn=h3", "this key is given twice"),
        ("1 . key1=h2 alpn=h3", "this is no value of alpn"),
        ("1 . alpn", "this is no value of alpn"),
        ("1 . alpn=", "this is no value of alpn"),
        ("1 . alpn=h2,,h3", "this is no value of alpn"),
        ("1 . port=65536", "this is no value of port"),
        ("1 . port", "this is no value of port"),
        ("1 . ipv4hint=", "this is no value of ipv4hint"),
        ("1 . ipv6hint=192.0.2.1", "this is no value of ipv6hint"),
        ("1 . ohttp=1", "this is no value of ohttp"),
        ("1 . dohpath=/dns-query", "this is no value of dohpath"),
        ("1 . mandatory=alpn", "mandatory lists alpn, which is not given"),
        ("1 . mandatory=mandatory", "mandatory lists itself"),
        ("1 . mandatory=alpn,alpn alpn=h2", "this is no value of mandatory"),
        ("1 . no-default-alpn", "no-default-alpn is given without alpn"),
        ("1 . key65535=a", "this is no service parameter"),
        ("1 . key01=a", "this is no service parameter"),
        ("1 . bogus=a", "this is no service parameter"),
        (r#"1 . "alpn=h2""#, "this is no service parameter"),
    ] {
        assert_eq!(read_back(RecordType::HTTPS, written), Err(expected.to_owned()), "{written}");
    }
}

#[test]
fn octets_of_service_parameters_are_checked() {
    let params = |tail: &[u8]| check(RecordType::SVCB, &[b"\0\x01\0", tail].concat()).is_ok();
    assert!(params(b""));
    assert!(params(b"\0\x03\0\x02\x01\xbb"));
    assert!(!params(b"\0\x03\0\x03\x01\xbb"), "cut short");
    assert!(!params(b"\0\x03\0\x02\0\x01\0\x01\0\x03\x02h2"), "not ascending");
    assert!(!params(b"\0\x03\0\x02\0\x01\0\x03\0\x02\0\x01"), "twice");
}

#[test]
fn names_are_found_with_their_case() {
    let positions = |mnemonic: &str, text: &str| {
        let rdata = read_text(rtype(mnemonic), text, &origin()).unwrap();
        names(rtype(mnemonic), &rdata).collect::<Vec<_>>()
    };
    assert_eq!(positions("MX", "10 a."), [(2, Case::Compressed)]);
    assert_eq!(positions("SOA", "a. b. 1 2 3 4 5"), [(0, Case::Compressed), (3, Case::Compressed)]);
    assert_eq!(positions("SRV", "1 2 3 a."), [(6, Case::Lowered)]);
    assert_eq!(positions("SVCB", "1 a. port=1"), [(2, Case::AsWritten)]);
    assert_eq!(positions("NAPTR", "1 2 a bc \"\" x."), [(10, Case::Lowered)]);
    assert!(positions("A", "192.0.2.1").is_empty());
}

#[test]
fn canonical_order_takes_names_as_lowered() {
    let mx = |text: &str| read_text(RecordType::MX, text, &origin()).unwrap();
    assert_eq!(canonical_order(RecordType::MX, &mx("10 MAIL"), &mx("10 mail")), Ordering::Equal);
    assert_eq!(canonical_order(RecordType::MX, &mx("10 a"), &mx("9 b")), Ordering::Greater);
    let txt = |text: &str| read_text(RecordType::TXT, text, &origin()).unwrap();
    assert_eq!(canonical_order(RecordType::TXT, &txt("A"), &txt("a")), Ordering::Less);
}

#[test]
fn octets_that_fit_no_fields_are_shown_as_octets() {
    assert_eq!(shown(RecordType::A, b"\x01\x02"), r"\# 2 0102");
    assert_eq!(shown(RecordType::MX, b""), r"\# 0");
}

/// Every type that has fields.
fn known_types() -> Vec<RecordType> {
    (0..=u16::MAX).map(RecordType).filter(|&rtype| fields(rtype).is_some()).collect()
}

/// Octets that are likely to be what a field wants, and some that are not.
fn field_octets(field: Field) -> BoxedStrategy<Vec<u8>> {
    let some = |sizes: std::ops::Range<usize>| proptest::collection::vec(any::<u8>(), sizes);
    let name = || {
        proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..4).prop_map(|labels| {
            let wire = labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat());
            wire.chain([0]).collect::<Vec<u8>>()
        })
    };
    let text = || some(0..40).prop_map(|text| [&[text.len() as u8], &text[..]].concat());
    let window = |window: u8| {
        some(0..33).prop_map(move |mut bits| {
            while bits.last() == Some(&0) {
                bits.pop();
            }
            if bits.is_empty() { bits } else { [&[window, bits.len() as u8], &bits[..]].concat() }
        })
    };
    let parameter = |key: u16, value: BoxedStrategy<Vec<u8>>| {
        proptest::option::of(value).prop_map(move |value| {
            value.map_or(Vec::new(), |value| {
                [&key.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), &value].concat()
            })
        })
    };
    match field {
        Field::U8 | Field::Algorithm | Field::CertificateAlgorithm => some(1..2).boxed(),
        Field::U16 | Field::Type | Field::CertificateType => some(2..3).boxed(),
        Field::U32 | Field::Period | Field::Time | Field::Ipv4 => some(4..5).boxed(),
        Field::Eui48 => some(6..7).boxed(),
        Field::Locator | Field::Eui64 => some(8..9).boxed(),
        Field::Ipv6 => some(16..17).boxed(),
        Field::Name(_) => name().boxed(),
        Field::Text | Field::Salt | Field::NextHash => text().boxed(),
        Field::OptionalText => prop_oneof![Just(Vec::new()), text()].boxed(),
        Field::Texts => proptest::collection::vec(text(), 1..4).prop_map(|texts| texts.concat()).boxed(),
        Field::Tag => {
            "[a-zA-Z0-9]{1,12}".prop_map(|tag| [&[tag.len() as u8], tag.as_bytes()].concat()).boxed()
        }
        Field::Value | Field::Hex | Field::Base64 | Field::Nsap => some(0..90).boxed(),
        Field::Types => (window(0), window(1), window(255)).prop_map(|(a, b, c)| [a, b, c].concat()).boxed(),
        Field::Wks => some(5..40).boxed(),
        Field::Hip => (1u8..20, any::<u8>(), 1u8..50, some(70..71), proptest::collection::vec(name(), 0..3))
            .prop_map(|(tag, algorithm, key, octets, servers)| {
                let identity = &octets[..usize::from(tag) + usize::from(key)];
                [&[tag, algorithm, 0, key], identity, &servers.concat()].concat()
            })
            .boxed(),
        Field::Ipseckey => (0u8..4, any::<u8>(), name(), some(0..50))
            .prop_map(|(kind, algorithm, name, octets)| {
                let gateway = if kind == 3 { name } else { vec![7; [0, 4, 16][usize::from(kind)]] };
                [vec![1, kind, algorithm], gateway, octets].concat()
            })
            .boxed(),
        Field::Amtrelay => (0u8..4, any::<bool>(), name())
            .prop_map(|(kind, discovery, name)| {
                let relay = if kind == 3 { name } else { vec![7; [0, 4, 16][usize::from(kind)]] };
                [vec![1, kind | u8::from(discovery) << 7], relay].concat()
            })
            .boxed(),
        Field::Apl => proptest::collection::vec(
            (1u8..3, 0u8..129, any::<bool>(), some(0..9)).prop_map(|(family, prefix, negation, octets)| {
                [vec![0, family, prefix, octets.len() as u8 | u8::from(negation) << 7], octets].concat()
            }),
            0..3,
        )
        .prop_map(|items| items.concat())
        .boxed(),
        Field::Loc => (some(3..4), 0u32..=648_000_000, 0u32..=1_296_000_000, any::<u32>())
            .prop_map(|(sizes, latitude, longitude, altitude)| {
                let mut octets = vec![0];
                octets.extend(sizes.iter().map(|size| (((size >> 4) % 10) << 4) | ((size & 15) % 10)));
                octets.extend(((1u32 << 31) - 324_000_000 + latitude).to_be_bytes());
                octets.extend(((1u32 << 31) - 648_000_000 + longitude).to_be_bytes());
                octets.extend(altitude.to_be_bytes());
                octets
            })
            .boxed(),
        Field::ServiceParameters => (
            parameter(1, proptest::collection::vec(text(), 1..4).prop_map(|ids| ids.concat()).boxed()),
            parameter(2, Just(Vec::new()).boxed()),
            parameter(3, some(2..3).boxed()),
            parameter(
                4,
                proptest::collection::vec(some(4..5), 1..3).prop_map(|hints| hints.concat()).boxed(),
            ),
            parameter(5, some(1..70).boxed()),
            parameter(
                6,
                proptest::collection::vec(some(16..17), 1..3).prop_map(|hints| hints.concat()).boxed(),
            ),
            parameter(7, Just(b"/q{?dns}".to_vec()).boxed()),
            parameter(8, Just(Vec::new()).boxed()),
            parameter(667, some(0..20).boxed()),
        )
            .prop_map(|(a, b, c, d, e, f, g, h, i)| [a, b, c, d, e, f, g, h, i].concat())
            .boxed(),
    }
}

fn typed_octets() -> impl Strategy<Value = (RecordType, Vec<u8>)> {
    proptest::sample::select(known_types()).prop_flat_map(|rtype| {
        let fields: Vec<_> = fields(rtype).unwrap().iter().map(|&field| field_octets(field)).collect();
        fields.prop_map(move |fields| (rtype, fields.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_shown_reads_as_what_it_was((rtype, rdata) in typed_octets()) {
        prop_assume!(check(rtype, &rdata).is_ok());
        let text = shown(rtype, &rdata);
        prop_assert!(!text.starts_with(r"\#"), "{}", text);
        prop_assert_eq!(read_text(rtype, &text, &origin()), Ok(rdata), "{} {}", rtype, text);
    }

    #[test]
    fn unknown_types_read_as_shown(rdata in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = shown(RecordType(65280), &rdata);
        prop_assert_eq!(read_text(RecordType(65280), &text, &origin()), Ok(rdata));
    }

    #[test]
    fn any_octets_are_checked_and_shown(rtype in proptest::sample::select(known_types()), rdata in proptest::collection::vec(any::<u8>(), 0..60)) {
        let text = shown(rtype, &rdata);
        let reread = read_text(rtype, &text, &origin());
        if check(rtype, &rdata).is_ok() {
            prop_assert_eq!(reread, Ok(rdata));
        } else {
            prop_assert!(reread.is_err());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(rtype in proptest::sample::select(known_types()), text in "[ -~\\n]{0,40}|([0-9]{1,3} ){0,6}[a-z.=\"\\\\]{0,12}") {
        if let Ok(rdata) = read_text(rtype, &text, &origin()) {
            prop_assert_eq!(check(rtype, &rdata), Ok(()), "{}", text);
        }
    }
}
