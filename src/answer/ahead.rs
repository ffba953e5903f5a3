//! A look ahead at the names and clients of a batch, before it is answered one by one.
//!
//! Tables lie in memory, not in the caches: other programs share those, and the kernel's work comes between two
//! batches. Each look-up of a name or of a client waits for memory twice or more. Those of a batch have nothing to do with
//! each other, so all of them can wait at once.

use std::hint::black_box;
use std::net::IpAddr;

use super::names::{AHEAD_MAX, Position};
use super::table::AnswerTable;
use crate::ids::MapId;
use crate::wire::query::{client_ahead, name_ahead};

/// Brings near what these messages, each from an address, are going to be answered from, of the first 64. It changes no
/// answer.
pub fn look_ahead<'p>(
    table: &AnswerTable,
    packets: impl ExactSizeIterator<Item = (IpAddr, &'p [u8])> + Clone,
) {
    // One that comes alone has nobody to wait together with. To read its name twice, so that it waits while it is
    // parsed, costs more than it gains (docs/performance.md).
    if packets.len() < 2 {
        return;
    }
    let names = table.names();
    let mut positions = [Position::default(); AHEAD_MAX];
    let mut lengths = [0; AHEAD_MAX];
    let mut room = [0; 256];
    let count = packets.len().min(AHEAD_MAX);
    for (at, (_, packet)) in packets.clone().take(AHEAD_MAX).enumerate() {
        if let Some(name) = name_ahead(packet, &mut room) {
            (positions[at], lengths[at]) = (names.position(name), name.len());
        }
    }
    let mut maps = [None; AHEAD_MAX];
    black_box(
        names.bring_near(&positions[..count], |at, service| maps[at] = Some(table.service(service).map)),
    );
    // Of several maps, those clients that the first of them is asked for: the others wait as they would have.
    let Some(map) = maps[..count].iter().find_map(|map| *map) else { return };
    let asked = packets.take(AHEAD_MAX).enumerate().filter(|(at, _)| maps[*at] == Some(map));
    let client = |(at, (source, packet)): (usize, (IpAddr, &[u8]))| {
        client_ahead(packet, lengths[at]).unwrap_or(source)
    };
    bring_clients_near(table, map, asked.map(client));
}

fn bring_clients_near(table: &AnswerTable, map: MapId, clients: impl Iterator<Item = IpAddr>) {
    let mut addresses = [IpAddr::from([0; 4]); AHEAD_MAX];
    let mut count = 0;
    for (address, client) in addresses.iter_mut().zip(clients) {
        *address = client;
        count += 1;
    }
    black_box(table.tree(map).bring_near(&addresses[..count]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_ahead_minds_no_rubbish() {
        let rubbish: [&[u8]; 4] = [b"", b"short", &[0xff; 600], &[63; 100]];
        let source = IpAddr::from([192, 0, 2, 1]);
        look_ahead(&AnswerTable::default(), rubbish.into_iter().map(|packet| (source, packet)));
    }
}
