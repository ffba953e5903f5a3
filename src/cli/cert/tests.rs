//! Fleets in a folder: made, renewed, revoked, and believed or not by both sides.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::config::CertificateFiles;
use crate::credentials::{AgentSide, Contents, ServerSide};

fn fleet(folder: &Path) -> Fleet {
    let fleet = Fleet::found(&folder.join("fleet"), clock::wall()).unwrap();
    let hosts = ["ns1.example.com".to_owned(), "192.0.2.53".to_owned()];
    fleet.issue(&"ns1".parse().unwrap(), &hosts, clock::wall()).unwrap();
    fleet.issue(&"dublin/1".parse().unwrap(), &[], clock::wall()).unwrap();
    fleet
}

fn contents(folder: &Path, own: &str) -> Contents {
    let fleet = folder.join("fleet");
    let files = CertificateFiles {
        certificate: fleet.join(own).with_extension("pem"),
        key: fleet.join(own).with_extension("key"),
        authorities: vec![fleet.join("authority.pem")],
        revocations: vec![fleet.join("revoked.pem")],
    };
    Contents::read(&files).unwrap()
}

fn chain(folder: &Path, own: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    let path = folder.join("fleet").join(own).with_extension("pem");
    vec![rustls::pki_types::CertificateDer::from_pem_file(path).unwrap()]
}

#[test]
fn a_fleet_is_made_and_both_sides_take_it() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(folder.path());
    let server = ServerSide::new(&contents(folder.path(), "servers/ns1")).unwrap();
    let agent = AgentSide::new(&contents(folder.path(), "agents/dublin-1")).unwrap();
    assert_eq!(agent.identity, "dublin/1".parse().unwrap());
    assert!(server.accepts(&chain(folder.path(), "agents/dublin-1")));
    assert!(!server.accepts(&chain(folder.path(), "servers/ns1")), "a server is no agent");
    let fault = AgentSide::new(&contents(folder.path(), "servers/ns1")).unwrap_err();
    assert!(fault.contains("none of an agent"), "{fault}");
    let titles: Vec<_> = fleet.all().unwrap().iter().map(Held::title).collect();
    assert_eq!(titles, ["the authority", "ns1", "dublin/1"]);
}

#[test]
fn what_is_revoked_is_not_believed_any_more_nor_is_what_it_was_renewed_from() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(folder.path());
    let dublin: Holder = "dublin/1".parse().unwrap();
    let before = chain(folder.path(), "agents/dublin-1");
    fleet.issue(&dublin, &[], clock::wall()).unwrap();
    let renewed = chain(folder.path(), "agents/dublin-1");
    assert_eq!(fleet.revoke(std::slice::from_ref(&dublin), clock::wall()).unwrap(), 2);
    fleet.issue(&dublin, &[], clock::wall()).unwrap();
    fleet.issue(&"ashburn/1".parse().unwrap(), &[], clock::wall()).unwrap();
    let server = ServerSide::new(&contents(folder.path(), "servers/ns1")).unwrap();
    assert!(!server.accepts(&before) && !server.accepts(&renewed));
    assert!(server.accepts(&chain(folder.path(), "agents/dublin-1")), "the newest is another");
    assert_eq!(fleet.revoke(&["ashburn/1".parse().unwrap()], clock::wall()).unwrap(), 1);
    let server = ServerSide::new(&contents(folder.path(), "servers/ns1")).unwrap();
    assert!(!server.accepts(&before), "the list grows");
    assert!(!server.accepts(&chain(folder.path(), "agents/ashburn-1")));
}

#[test]
fn another_authority_is_not_believed_until_it_is_named() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fleet(ours.path());
    fleet(theirs.path());
    let server = ServerSide::new(&contents(ours.path(), "servers/ns1")).unwrap();
    assert!(!server.accepts(&chain(theirs.path(), "agents/dublin-1")));
    let files = |folder: &Path| folder.join("fleet/authority.pem");
    let both = CertificateFiles {
        certificate: ours.path().join("fleet/servers/ns1.pem"),
        key: ours.path().join("fleet/servers/ns1.key"),
        authorities: vec![files(ours.path()), files(theirs.path())],
        // The list of one of them says nothing of the other.
        revocations: vec![ours.path().join("fleet/revoked.pem")],
    };
    let server = ServerSide::new(&Contents::read(&both).unwrap()).unwrap();
    assert!(server.accepts(&chain(theirs.path(), "agents/dublin-1")));
    assert!(server.accepts(&chain(ours.path(), "agents/dublin-1")));
}

#[test]
fn certificates_are_renewed_as_they_were_when_they_age() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(folder.path());
    let named = Named { folder: folder.path().join("fleet"), names: Vec::new() };
    let said = renew(&named, clock::wall()).unwrap();
    assert_eq!(said.text, "nothing ends soon");
    let later = WallTime(clock::wall().0 + 300 * 24 * 3600 * 1000);
    let said = renew(&named, later).unwrap();
    assert_eq!(said.text, "renewed: ns1, dublin/1");
    let hosts = fleet.all().unwrap()[1].hosts.clone();
    assert_eq!(hosts, ["ns1.example.com", "192.0.2.53"]);
}

#[test]
fn every_file_is_for_its_owner_alone_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    fleet(folder.path());
    let fleet = folder.path().join("fleet");
    for file in ["authority.key", "authority.pem", "revoked.pem", "servers/ns1.key", "agents/dublin-1.key"] {
        let mode = std::fs::metadata(fleet.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(Fleet::found(&fleet, clock::wall()).is_err(), "an authority is not replaced");
    let wanted = Wanted { folder: fleet, servers: Vec::new(), agents: vec!["dublin/1".parse().unwrap()] };
    assert!(issue(&Fleet::open(&wanted.folder).unwrap(), &wanted, clock::wall()).is_err());
}

#[test]
fn names_cannot_leave_the_folder() {
    for odd in ["../ns1", "/etc/ns1", "", "a b", ".hidden", "ns1/../../x"] {
        assert!(odd.parse::<Holder>().is_err(), "{odd}");
        assert!(odd.parse::<Server>().is_err(), "{odd}");
    }
    assert_eq!("ns1=ns1.example.com,::1".parse::<Server>().unwrap().hosts, ["ns1.example.com", "::1"]);
    assert!("ns1=not a host".parse::<Server>().is_err());
}
