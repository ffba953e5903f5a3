//! What this agent may be made to probe: the operator's own word on this machine, whatever a server orders. Pure.

use std::path::{Component, Path};

use crate::config::agent::Allow;
use crate::config::probe::{ProbeKind, TlsTrust};
use std::net::{IpAddr, SocketAddr};

/// Whether a probe of `kind` may be sent to `address`.
#[must_use]
pub fn permits(allow: &Allow, address: SocketAddr, kind: &ProbeKind) -> bool {
    let trust = match kind {
        ProbeKind::File { path, .. } => return is_inside(allow, path),
        ProbeKind::Http(http) => http.tls.as_ref(),
        ProbeKind::Journey(journey) => journey.tls.as_ref(),
        ProbeKind::Tls(tls) => Some(&tls.trust),
        // An echo has no port.
        ProbeKind::Icmp => return permits_network(allow, address.ip()),
        ProbeKind::Gauge(_) | ProbeKind::Composed(_) => return false,
        ProbeKind::Tcp { .. } | ProbeKind::Dns(_) => None,
    };
    let readable = match trust {
        Some(TlsTrust::File(path)) => is_inside(allow, path),
        _ => true,
    };
    readable && permits_address(allow, address)
}

/// Whether anything may be sent to `address`.
#[must_use]
pub fn permits_address(allow: &Allow, address: SocketAddr) -> bool {
    permits_network(allow, address.ip()) && allow.ports.iter().any(|ports| ports.contains(&address.port()))
}

fn permits_network(allow: &Allow, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    allow.networks.iter().any(|network| network.contains(ip))
}

/// Whether a file lies in one of the folders. A path that climbs does not.
fn is_inside(allow: &Allow, path: &Path) -> bool {
    !path.components().any(|part| part == Component::ParentDir)
        && allow.folders.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::journey::Journey;

    fn allow() -> Allow {
        Allow {
            networks: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            ports: vec![443..=443, 8000..=8100],
            folders: vec!["/etc/rhumb/states".into()],
        }
    }

    fn permits_tcp(address: &str) -> bool {
        permits(&allow(), address.parse().unwrap(), &ProbeKind::Tcp { port: 0 })
    }

    #[test]
    fn address_and_port_must_both_be_permitted() {
        for permitted in ["192.0.2.0:443", "192.0.2.255:8100", "[2001:db8::1]:8000", "[::ffff:192.0.2.1]:443"]
        {
            assert!(permits_tcp(permitted), "{permitted}");
        }
        for forbidden in
            ["192.0.3.0:443", "192.0.2.1:444", "127.0.0.1:443", "[::1]:443", "169.254.169.254:8000"]
        {
            assert!(!permits_tcp(forbidden), "{forbidden}");
        }
        let nothing = Allow::default();
        assert!(!permits(&nothing, "192.0.2.1:443".parse().unwrap(), &ProbeKind::Tcp { port: 443 }));
    }

    #[test]
    fn a_journey_goes_to_its_targets_address_alone_whatever_host_it_names() {
        let permitted = |address: &str, tls| {
            let host = Some("permitted.example".to_owned());
            let journey = Journey { tls, port: 443, host, steps: Vec::new() };
            permits(&allow(), address.parse().unwrap(), &ProbeKind::Journey(journey))
        };
        assert!(permitted("192.0.2.1:443", None));
        assert!(!permitted("203.0.113.1:443", None));
        assert!(!permitted("192.0.2.1:443", Some(TlsTrust::File("/etc/shadow".into()))));
    }

    #[test]
    fn files_must_lie_in_a_folder_and_not_climb_out_of_it() {
        let file = |path: &str| {
            permits(
                &allow(),
                "192.0.2.1:443".parse().unwrap(),
                &ProbeKind::File { path: path.into(), shares: true },
            )
        };
        assert!(file("/etc/rhumb/states/web.state"));
        for forbidden in
            ["/etc/shadow", "/etc/rhumb/states/../../shadow", "states/web.state", "/etc/rhumb/statesx"]
        {
            assert!(!file(forbidden), "{forbidden}");
        }
    }
}
