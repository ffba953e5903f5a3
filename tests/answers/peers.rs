//! The same zones and questions for NSD and for us. Only with `RHUMB_TEST_PEERS=1`, and then NSD must be there.
//!
//! | where we differ | why |
//! |---|---|
//! | ANY | RFC 8482: we answer HINFO, or the first alias; NSD everything, along the whole chain |
//! | chain into another zone | NSD goes on there (RFC 1034 section 4.3.2 step 3a); we stop, as resolvers ask anew |
//!
//! The additional section is not compared: what is there beside glue is optional.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use rhumb::answer::dig::{self, Shown};
use rhumb::answer::respond::Transport;
use rhumb::wire::code::RecordType;

use crate::ask::{Asked, Question};
use crate::oracle;
use crate::world::World;

const PARENT: &str = r#"
@ 3600 SOA ns1 host 1 7200 900 1209600 300
@ 3600 NS ns1
@ 3600 NS ns.example.net.
@ 3600 MX 10 mail
@ 3600 TXT "top"
ns1 3600 A 192.0.2.53
ns1 3600 AAAA 2001:db8::53
mail 60 A 192.0.2.25
www 60 A 192.0.2.1
www 60 A 192.0.2.2
www 60 AAAA 2001:db8::1
www 60 TXT "a" "b"
a.b.c.d 60 A 192.0.2.3
b.c.d 60 TXT "between"
deep.ent.x 60 SRV 1 2 3 www
; wildcards
*.w 60 A 192.0.2.4
*.w 60 MX 10 mail
x.w 60 TXT "blocks"
y.x.w 60 A 192.0.2.5
ent.below.w 60 A 192.0.2.6
*.wc 60 CNAME www
*.wcn 60 CNAME nothing
*.wcw 60 CNAME any.w
*.*.ww 60 TXT "two asterisks"
sub.*.ws 60 TXT "below an asterisk"
; aliases
c1 60 CNAME c2
c2 60 CNAME c3
c3 60 CNAME www
cnx 60 CNAME nothing
cent 60 CNAME c.d
cout 60 CNAME www.example.net.
cloop1 60 CNAME cloop2
cloop2 60 CNAME cloop1
cself 60 CNAME cself
cwild 60 CNAME any.w
ccut 60 CNAME in.cut
catcut 60 CNAME cut
capex 60 CNAME @
cchild 60 CNAME www.child
cdname 60 CNAME x.dn
; rewriting
dn 60 DNAME target
dn 60 TXT "beside a DNAME"
x.target 60 A 192.0.2.7
alias.target 60 CNAME x.target
dnout 60 DNAME example.net.
dnchain 60 DNAME dn
dnw 60 DNAME w
dncut 60 DNAME cut
dnloop1 60 DNAME dnloop2
dnloop2 60 DNAME dnloop1
; delegations
cut 60 NS ns.cut
cut 60 NS ns.example.net.
cut 60 DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000001
ns.cut 60 A 192.0.2.8
sib 60 NS ns.cut
sib 60 NS ns1
out 60 NS ns.example.net.
deep.er.cut2 60 NS ns.example.net.
child 60 NS ns1.child
child 60 DS 2 13 2 0000000000000000000000000000000000000000000000000000000000000002
ns1.child 60 A 192.0.2.9
child2 60 NS ns1
; odd names
a\.b 60 A 192.0.2.10
sp\032ace 60 A 192.0.2.11
UPPER 60 A 192.0.2.12
_443._tcp.www 60 TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000003
"#;
const CHILD: &str = r#"
@ 600 SOA ns1 host 1 7200 900 1209600 900
@ 600 NS ns1
ns1 600 A 192.0.2.9
www 60 A 192.0.2.13
up 60 CNAME www.example.com.
*.w 60 TXT "of the child"
cut 60 NS ns.cut
ns.cut 60 A 192.0.2.14
"#;
const CHILD2: &str = "@ 600 SOA ns1.example.com. host 1 7200 900 1209600 900\n@ 600 NS ns1.example.com.\n";

const ZONES: &[(&str, &str)] =
    &[("example.com", PARENT), ("child.example.com", CHILD), ("child2.example.com", CHILD2)];

/// NSD with the zones, ended when dropped.
struct Nsd {
    process: Child,
    stream: TcpStream,
    _folder: tempfile::TempDir,
}

impl Drop for Nsd {
    fn drop(&mut self) {
        // SIGTERM rather than SIGKILL, so that it ends the processes that it started itself.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

impl Nsd {
    fn start(zones: &[(&str, &str)]) -> Self {
        let program = ["/usr/sbin/nsd", "/usr/local/sbin/nsd", "/usr/bin/nsd"];
        let program = program.into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("RHUMB_TEST_PEERS is set, so NSD must be there: apt-get install nsd");
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = folder.path().to_str().unwrap();
        let mut configuration = format!(
            "server:\n ip-address: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n do-ip6: no\n \
             zonesdir: \"{place}\"\n database: \"\"\n pidfile: \"{place}/pid\"\n xfrdfile: \"{place}/xfrd\"\n \
             xfrdir: \"{place}\"\n zonelistfile: \"{place}/list\"\n logfile: \"{place}/log\"\n server-count: 1\n \
             minimal-responses: yes\nremote-control:\n control-enable: no\n"
        );
        for (origin, text) in zones {
            fs::write(folder.path().join(origin), text).unwrap();
            configuration += &format!("zone:\n name: {origin}\n zonefile: {origin}\n");
        }
        let file = folder.path().join("nsd.conf");
        fs::write(&file, configuration).unwrap();
        let mut command = Command::new(program);
        command.args(["-d", "-c"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let mut patience = 400;
        let stream = loop {
            match TcpStream::connect(("127.0.0.1", port)) {
                Ok(stream) => break stream,
                Err(_) if patience > 0 => thread::sleep(Duration::from_millis(50)),
                Err(fault) => panic!("{fault}: {}", fs::read_to_string(folder.path().join("log")).unwrap()),
            }
            patience -= 1;
        };
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { process, stream, _folder: folder }
    }

    fn ask(&mut self, packet: &[u8]) -> Vec<u8> {
        let framed = [&(packet.len() as u16).to_be_bytes(), packet].concat();
        self.stream.write_all(&framed).unwrap();
        let mut length = [0; 2];
        self.stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut reply).unwrap();
        reply
    }
}

/// Every owner of the zones, every name above and some below and beside each.
fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::from(["com.".to_owned(), ".".to_owned(), "www.example.net.".to_owned()]);
    for (origin, text) in ZONES {
        let owners =
            text.lines().filter_map(|line| line.split_whitespace().next()).filter(|word| *word != ";");
        for owner in owners.chain(["nothing", "Mixed.Case", "x.y.z"]) {
            let whole = if owner == "@" { format!("{origin}.") } else { format!("{owner}.{origin}.") };
            let mut above = whole.as_str();
            while above.ends_with("example.com.") {
                for prefix in
                    ["", "x.", "*.", "nothing.", "www.", "a.b.", "X.Y.z.w.v.", "*.x.", "alias.", "in."]
                {
                    names.insert(format!("{prefix}{above}"));
                }
                above = above.split_once('.').map_or("", |(_, above)| above);
            }
        }
    }
    names
}

/// A zone of a few labels in many combinations, the same for the same seed.
fn random_zone(seed: u64) -> (String, String) {
    let mut chance = Chance(seed);
    let mut text = "@ 60 SOA ns.example.net. host 1 1 1 1 30\n@ 60 NS ns.example.net.\n".to_owned();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut rewritten: Vec<String> = Vec::new();
    for at in 0..60 {
        let owner = chance.name();
        let below_owner = format!(".{owner}");
        let is_below = rewritten.iter().any(|dname| owner.ends_with(&format!(".{dname}")));
        if is_below || !taken.insert(owner.clone()) {
            continue;
        }
        let target = chance.name();
        let is_wildcard = owner.starts_with('*');
        text += &match chance.below(12) {
            0 | 1 => format!("{owner} 60 CNAME {target}\n"),
            2 if !is_wildcard && !taken.iter().any(|other| other.ends_with(&below_owner)) => {
                rewritten.push(owner.clone());
                format!("{owner} 60 DNAME {target}\n")
            }
            3 if !is_wildcard => format!("{owner} 60 NS ns.example.net.\n"),
            4 if !is_wildcard => {
                taken.insert(format!("ns.{owner}"));
                format!("{owner} 60 NS ns.{owner}\nns.{owner} 60 A 192.0.2.{at}\n")
            }
            5 => format!("{owner} 60 MX 1 {target}\n{owner} 60 A 192.0.2.{at}\n"),
            6 => format!("{owner} 60 TXT \"{at}\"\n"),
            _ => format!("{owner} 60 A 192.0.2.{at}\n"),
        };
    }
    (format!("z{seed}.test"), text)
}

fn random_names() -> Vec<String> {
    let mut chance = Chance(99);
    (0..2_000).map(|at| format!("{}.z{}.test.", chance.name(), at % 8)).collect()
}

/// Numbers that are the same each time (Knuth's MMIX generator).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// One to four labels of four.
    fn name(&mut self) -> String {
        let labels = 1 + self.below(4);
        let labels: Vec<&str> = (0..labels).map(|_| ["a", "b", "c", "*"][self.below(4) as usize]).collect();
        labels.join(".")
    }
}

const TYPES: &[RecordType] = &[
    RecordType::A,
    RecordType::AAAA,
    RecordType::NS,
    RecordType::SOA,
    RecordType::CNAME,
    RecordType::DNAME,
    RecordType::MX,
    RecordType::TXT,
    RecordType::DS,
    RecordType::ANY,
    RecordType::HTTPS,
    RecordType(65280),
];

/// How the two differ: what no row of the table above explains, or the row that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    Any,
    OtherZone,
    Unexplained,
}

fn difference(name: &str, rtype: RecordType, ours: &Shown, theirs: &Shown) -> Option<Difference> {
    let set = |lines: &[String]| lines.iter().map(|line| line.to_ascii_lowercase()).collect::<BTreeSet<_>>();
    let (our_answer, their_answer) = (set(&ours.answer), set(&theirs.answer));
    if ours.flags != theirs.flags {
        return Some(Difference::Unexplained);
    }
    let same_code = ours.status == theirs.status;
    if same_code && our_answer == their_answer && set(&ours.authority) == set(&theirs.authority) {
        return None;
    }
    let target = ours.answer.last().and_then(|line| line.split_once(" IN CNAME ")).map(|(_, target)| target);
    let leaves = target.is_some_and(|target| zone_of(target) != zone_of(name));
    let is_alias = |line: &String| line.contains(" IN CNAME ") || line.contains(" IN DNAME ");
    if rtype == RecordType::ANY && (same_code || ours.answer.iter().all(is_alias)) {
        return Some(Difference::Any);
    }
    let stops = leaves && our_answer.is_subset(&their_answer);
    Some(if stops { Difference::OtherZone } else { Difference::Unexplained })
}

/// The zone of ours that holds a name: the one with the longest origin.
fn zone_of(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let holds = |origin: &&str| name == format!("{origin}.") || name.ends_with(&format!(".{origin}."));
    ZONES.iter().map(|(origin, _)| *origin).filter(holds).max_by_key(|origin| origin.len())
}

#[test]
fn nsd_answers_as_we_do() {
    if std::env::var_os("RHUMB_TEST_PEERS").is_none() {
        return;
    }
    let random: Vec<(String, String)> = (0..8).map(random_zone).collect();
    let zones = ZONES.iter().copied().chain(random.iter().map(|(origin, text)| (&**origin, &**text)));
    let zones: Vec<(&str, &str)> = zones.collect();
    let world = World::new(&zones, "").unwrap();
    let mut nsd = Nsd::start(&zones);
    let mut explained = BTreeMap::new();
    let mut unexplained = Vec::new();
    let mut asked_in_all = 0;
    for name in names().into_iter().chain(random_names()) {
        for rtype in TYPES {
            let packet = Question::new(&name, *rtype).packet();
            let asked = Asked { packet, source: [127, 0, 0, 1].into(), transport: Transport::Tcp };
            let ours = oracle::judge(&asked, &world.ask(&asked).unwrap());
            let theirs = dig::show(&nsd.ask(&asked.packet)).unwrap();
            match difference(&name, *rtype, &ours, &theirs) {
                Some(Difference::Unexplained) => {
                    unexplained.push(format!("== {name} {rtype}\n-- ours\n{ours}-- theirs\n{theirs}"));
                }
                Some(row) => *explained.entry(row).or_insert(0) += 1,
                None => {}
            }
            asked_in_all += 1;
        }
    }
    assert!(asked_in_all > 10_000, "{asked_in_all} questions");
    let shown: String = unexplained.iter().take(100).cloned().collect();
    assert!(unexplained.is_empty(), "{} of {asked_in_all} differ\n{shown}", unexplained.len());
    assert_eq!(explained.len(), 2, "a row of the table that explains nothing goes: {explained:?}");
}
