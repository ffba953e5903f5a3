//! The OPT record of a reply: what every client with EDNS gets, and the options that few ask for. What must be there is
//! counted before records are written; the rest is left out where there is no room.

use super::code::{OptionCode, Rcode, RecordType};
use super::cookie::CookieData;
use super::edns::{ClientSubnet, Edns, OPT_FIXED_OCTETS};

/// What OPT carries in a reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyOptions<'o> {
    /// EDNS of the query; without it the reply has no OPT.
    pub edns: Option<&'o Edns<'o>>,
    /// The depth to which the answer depends on the client (RFC 7871 section 7.2.1).
    pub scope: u8,
    /// Data of an extended error: code and text (RFC 8914). Left out when there is no room for it.
    pub extended_error: Option<&'o [u8]>,
    /// What few replies have.
    pub extras: Option<&'o Extras<'o>>,
}

/// What a reply has only where it was asked for, or where the operator wants it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'o> {
    /// The client's cookie and ours. Always has room.
    pub cookie: Option<CookieData>,
    /// Who answers (RFC 5001).
    pub nsid: Option<&'o [u8]>,
    /// What the answer was read from (RFC 9660).
    pub zone_version: Option<ZoneVersion>,
    /// How long the connection may be idle, in tenths of a second (RFC 7828).
    pub tcp_keepalive: Option<u16>,
    /// The name of the agent that resolvers report to, as it travels (RFC 9567).
    pub report_channel: Option<&'o [u8]>,
    /// Whether the reply's length is to be hidden (RFC 7830).
    pub padded: bool,
}

/// The version of a zone (RFC 9660 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneVersion {
    /// How many labels the zone's name has, the root's not counted.
    pub labels: u8,
    /// The serial of its SOA record.
    pub serial: u32,
}

/// The rest of a reply's buffer.
pub(super) struct Room<'b> {
    /// The whole buffer.
    pub(super) octets: &'b mut [u8],
    /// Where to go on.
    pub(super) at: usize,
    /// Where to end.
    pub(super) limit: usize,
}

/// The largest datagram that we ask clients to send us (RFC 6891 section 6.2.5); their queries are far smaller.
const OUR_UDP_OCTETS: u16 = 1232;
/// Octets of an option before its data.
const OPTION_FIXED_OCTETS: usize = 4;
/// The only type of version there is: the serial of the SOA record.
const SOA_SERIAL: u8 = 0;
/// Padded replies are a multiple of so many octets long (RFC 8467 section 4.1).
pub const PADDED_TO: usize = 468;

impl ReplyOptions<'_> {
    /// What OPT takes at least.
    #[inline]
    pub(super) fn required_octets(&self) -> usize {
        let Some(edns) = self.edns else { return 0 };
        let subnet = edns.client_subnet.as_ref().map_or(0, ClientSubnet::reply_octets);
        let cookie = self
            .extras
            .map_or(0, |extras| extras.cookie.map_or(0, |cookie| OPTION_FIXED_OCTETS + cookie.len()));
        OPT_FIXED_OCTETS + subnet + cookie
    }

    /// Writes the record; gives where it ends.
    #[inline]
    pub(super) fn write(&self, edns: &Edns<'_>, rcode: Rcode, mut room: Room<'_>) -> usize {
        let start = room.at;
        let opt = &mut room.octets[start..start + OPT_FIXED_OCTETS];
        opt[0] = 0;
        opt[1..3].copy_from_slice(&RecordType::OPT.0.to_be_bytes());
        opt[3..5].copy_from_slice(&OUR_UDP_OCTETS.to_be_bytes());
        opt[5..9].copy_from_slice(&[(rcode.0 >> 4) as u8, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0]);
        room.at += OPT_FIXED_OCTETS;
        if let Some(subnet) = &edns.client_subnet {
            let octets = subnet.reply_octets();
            subnet.write_reply(self.scope, &mut room.octets[room.at..room.at + octets]);
            room.at += octets;
        }
        if let Some(extras) = self.extras {
            extras.write(&mut room);
        }
        if let Some(error) = self.extended_error {
            room.push(OptionCode::EXTENDED_ERROR, error);
        }
        if self.extras.is_some_and(|extras| extras.padded) {
            room.pad();
        }
        let data_octets = (room.at - start - OPT_FIXED_OCTETS) as u16;
        room.octets[start + 9..start + 11].copy_from_slice(&data_octets.to_be_bytes());
        room.at
    }
}

impl Extras<'_> {
    #[cold]
    fn write(&self, room: &mut Room<'_>) {
        if let Some(cookie) = &self.cookie {
            room.push(OptionCode::COOKIE, cookie);
        }
        if let Some(tenths) = self.tcp_keepalive {
            room.push(OptionCode::TCP_KEEPALIVE, &tenths.to_be_bytes());
        }
        if let Some(nsid) = self.nsid {
            room.push(OptionCode::NSID, nsid);
        }
        if let Some(ZoneVersion { labels, serial }) = self.zone_version {
            let [a, b, c, d] = serial.to_be_bytes();
            room.push(OptionCode::ZONEVERSION, &[labels, SOA_SERIAL, a, b, c, d]);
        }
        if let Some(agent) = self.report_channel {
            room.push(OptionCode::REPORT_CHANNEL, agent);
        }
    }
}

impl Room<'_> {
    /// Writes an option, if it fits.
    #[inline]
    fn push(&mut self, code: OptionCode, data: &[u8]) {
        if let Some(out) = self.option(code, data.len()) {
            out.copy_from_slice(data);
        }
    }

    /// Makes the reply a multiple of [`PADDED_TO`] octets long, or as long as it may be.
    fn pad(&mut self) {
        let least = self.at + OPTION_FIXED_OCTETS;
        let length = least.next_multiple_of(PADDED_TO).min(self.limit);
        if let Some(out) = length.checked_sub(least).and_then(|data| self.option(OptionCode::PADDING, data)) {
            out.fill(0);
        }
    }

    /// Begins an option, if it fits; gives the room of its data.
    #[inline]
    fn option(&mut self, code: OptionCode, length: usize) -> Option<&mut [u8]> {
        let start = self.at;
        let end = start + OPTION_FIXED_OCTETS + length;
        if end > self.limit {
            return None;
        }
        self.octets[start..start + 2].copy_from_slice(&code.0.to_be_bytes());
        self.octets[start + 2..start + 4].copy_from_slice(&(length as u16).to_be_bytes());
        self.at = end;
        Some(&mut self.octets[start + OPTION_FIXED_OCTETS..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(options: &ReplyOptions<'_>, at: usize, limit: usize) -> Vec<u8> {
        let mut octets = vec![0xff; 2000];
        let edns = Edns::default();
        let end = options.write(&edns, Rcode::NOERROR, Room { octets: &mut octets, at, limit });
        octets[at..end].to_vec()
    }

    #[test]
    fn a_reply_is_padded_to_the_next_block_or_as_far_as_it_may() {
        let extras = Extras { padded: true, ..Extras::default() };
        let options = ReplyOptions { extras: Some(&extras), ..ReplyOptions::default() };
        let length = |at: usize, limit| at + write(&options, at, limit).len();
        assert_eq!(length(40, 65_535), 468);
        assert_eq!(length(468 - 15, 65_535), 468, "an empty option fills the block");
        assert_eq!(length(468 - 14, 65_535), 936);
        assert_eq!(length(40, 300), 300);
        assert_eq!(length(40, 54), 51, "no room for an option at all");
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_the_rest_stays() {
        let extras = Extras { nsid: Some(b"ns1"), report_channel: Some(b"\x01a\0"), ..Extras::default() };
        let options =
            ReplyOptions { extras: Some(&extras), extended_error: Some(b"\0\x14"), ..Default::default() };
        let data = |limit| write(&options, 0, limit)[OPT_FIXED_OCTETS..].to_vec();
        let nsid = b"\0\x03\0\x03ns1".to_vec();
        let channel = b"\0\x12\0\x03\x01a\0".to_vec();
        let error = b"\0\x0f\0\x02\0\x14".to_vec();
        assert_eq!(data(100), [nsid.clone(), channel, error.clone()].concat());
        assert_eq!(data(OPT_FIXED_OCTETS + 13), [nsid.clone(), error].concat());
        assert_eq!(data(OPT_FIXED_OCTETS + 12), nsid);
        assert_eq!(data(OPT_FIXED_OCTETS), b"");
    }
}
