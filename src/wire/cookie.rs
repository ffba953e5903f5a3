//! DNS cookies: what RFC 7873 puts into the COOKIE option and how RFC 9018 makes the server's part of it, so that
//! servers with a common secret know each other's. When a cookie is asked for is not decided here.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::siphash::siphash_2_4;
use crate::time::WallTime;

/// What a client made up; it comes back in the reply, which proves that the reply is for its query.
pub type ClientCookie = [u8; CLIENT_OCTETS];

/// The option's data in a reply: the client's part and ours.
pub type CookieData = [u8; CLIENT_OCTETS + SERVER_OCTETS];

/// What servers that share cookies must share: nobody else may know it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 16]);

/// The secrets in force. The first makes cookies, all of them are believed, so that a roll-over passes unnoticed:
/// the next secret is added behind, then moved to the front, then the old one removed (RFC 9018 section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets(Vec<Secret>);

/// What a query's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The client has no cookie of ours yet.
    ClientOnly,
    /// It is ours and of this client, and recent: the source address is no lie.
    Valid,
    /// It is too old, of another client or another server.
    Invalid,
}

/// Octets of the client's part (RFC 7873 section 4).
const CLIENT_OCTETS: usize = 8;
/// Octets of the server's part as RFC 9018 section 4 makes it.
const SERVER_OCTETS: usize = 16;
/// Octets that the server's part may have, whoever made it (RFC 7873 section 4).
const SERVER_OCTETS_ANY: std::ops::RangeInclusive<usize> = 8..=32;
/// RFC 9018 section 4.2.
const VERSION: u8 = 1;
/// How old a cookie is believed at most (RFC 9018 section 4.3).
const AGE_MAX: Duration = Duration::from_secs(3600);
/// From which age on it is made anew (RFC 9018 section 4.3).
const AGE_OF_RENEWAL: Duration = Duration::from_secs(1800);
/// How far another server's clock may be ahead of ours (RFC 9018 section 4.3).
const AHEAD_MAX: Duration = Duration::from_secs(300);
/// How many secrets there may be at most: previous, current and next, and one to spare.
const SECRETS_MAX: usize = 4;

/// Whether the option's data has a length that RFC 7873 section 5.2.2 allows.
#[must_use]
pub fn is_well_formed(data: &[u8]) -> bool {
    data.len() == CLIENT_OCTETS
        || data.len().checked_sub(CLIENT_OCTETS).is_some_and(|server| SERVER_OCTETS_ANY.contains(&server))
}

impl Secrets {
    /// These secrets, the one that makes cookies first.
    #[must_use]
    pub fn new(first: Secret) -> Self {
        Self(vec![first])
    }

    /// Reads a file of secrets: one on each line as 32 hexadecimal digits, the one that makes cookies first. What
    /// follows a `#` is a comment.
    ///
    /// # Errors
    /// The line and what is wrong with it; never the secret.
    pub fn parse(text: &str) -> Result<Self, SecretsFault> {
        let mut secrets = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let secret = Secret::parse(line).ok_or(SecretsFault::NoSecret(at + 1))?;
            if secrets.contains(&secret) {
                return Err(SecretsFault::Twice(at + 1));
            }
            secrets.push(secret);
        }
        match secrets.len() {
            0 => Err(SecretsFault::Empty),
            1..=SECRETS_MAX => Ok(Self(secrets)),
            _ => Err(SecretsFault::TooMany),
        }
    }

    /// Judges well-formed data of a query's option, and gives that of the reply.
    ///
    /// # Panics
    /// When the data is shorter than a client's cookie; [`is_well_formed`] says so before.
    #[must_use]
    pub fn judge(&self, data: &[u8], client: IpAddr, now: WallTime) -> (Standing, CookieData) {
        let (cookie, server) = data.split_first_chunk().expect("a well-formed cookie has the client's part");
        // The seconds of a cookie are those of an unsigned number of 32 bits (RFC 9018 section 4.3).
        let now = (now.0 / 1000) as u32;
        let made = || self.make(cookie, client, now);
        if server.is_empty() {
            return (Standing::ClientOnly, made());
        }
        let ours = <&[u8; SERVER_OCTETS]>::try_from(server).ok().filter(|server| server[0] == VERSION);
        let Some(server) = ours else { return (Standing::Invalid, made()) };
        let time = u32::from_be_bytes(*server[4..].first_chunk().expect("16 octets hold a time"));
        let Some(age) = age(time, now) else { return (Standing::Invalid, made()) };
        let hash = u64::from_le_bytes(*server.last_chunk().expect("16 octets hold a hash"));
        let by = self.0.iter().position(|secret| secret.hash(cookie, server, client) == hash);
        match by {
            None => (Standing::Invalid, made()),
            Some(0) if age < AGE_OF_RENEWAL && server[1..4] == [0; 3] => {
                (Standing::Valid, joined(cookie, server))
            }
            Some(_) => (Standing::Valid, made()),
        }
    }

    fn make(&self, cookie: &ClientCookie, client: IpAddr, now: u32) -> CookieData {
        let mut server = [0; SERVER_OCTETS];
        server[0] = VERSION;
        server[4..8].copy_from_slice(&now.to_be_bytes());
        let hash = self.0[0].hash(cookie, &server, client);
        server[8..].copy_from_slice(&hash.to_le_bytes());
        joined(cookie, &server)
    }
}

/// How old a cookie is, if it is neither too old nor from too far ahead. Times wrap (RFC 1982).
fn age(time: u32, now: u32) -> Option<Duration> {
    let age = now.wrapping_sub(time);
    let ahead = Duration::from_secs(time.wrapping_sub(now).into());
    let age = Duration::from_secs(age.into());
    if age <= AGE_MAX { Some(age) } else { (ahead <= AHEAD_MAX).then_some(Duration::ZERO) }
}

fn joined(cookie: &ClientCookie, server: &[u8; SERVER_OCTETS]) -> CookieData {
    let mut data = [0; CLIENT_OCTETS + SERVER_OCTETS];
    data[..CLIENT_OCTETS].copy_from_slice(cookie);
    data[CLIENT_OCTETS..].copy_from_slice(server);
    data
}

impl Secret {
    /// These octets, which must come from a source that nobody can guess.
    #[must_use]
    pub fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }

    /// The first eight octets of `server` are hashed as they came (RFC 9018 section 4.4).
    fn hash(&self, cookie: &ClientCookie, server: &[u8; SERVER_OCTETS], client: IpAddr) -> u64 {
        let mut message = [0; 32];
        message[..8].copy_from_slice(cookie);
        message[8..16].copy_from_slice(&server[..8]);
        let length = match client {
            IpAddr::V4(address) => {
                message[16..20].copy_from_slice(&address.octets());
                20
            }
            IpAddr::V6(address) => {
                message[16..].copy_from_slice(&address.octets());
                32
            }
        };
        siphash_2_4(&self.0, &message[..length])
    }

    fn parse(digits: &str) -> Option<Self> {
        let mut octets = [0; 16];
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        for (octet, at) in octets.iter_mut().zip((0..).step_by(2)) {
            *octet = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
        }
        Some(Self(octets))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why a text is no file of secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretsFault {
    /// There is none.
    Empty,
    /// The line has something else.
    NoSecret(usize),
    /// The line has a secret that stands above already.
    Twice(usize),
    /// There are more than a roll-over needs.
    TooMany,
}

impl fmt::Display for SecretsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "there is no secret in it; write one as 32 hexadecimal digits"),
            Self::NoSecret(line) => write!(f, "line {line} is no secret; write 32 hexadecimal digits"),
            Self::Twice(line) => write!(f, "the secret on line {line} stands above already; leave it out"),
            Self::TooMany => write!(f, "there are too many secrets; keep at most {SECRETS_MAX}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(digits: &str) -> Vec<u8> {
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn judge(secrets: &str, cookie: &str, client: &str, seconds: u64) -> (Standing, Vec<u8>) {
        let secrets = Secrets::parse(secrets).unwrap();
        let client = client.parse().unwrap();
        let (standing, reply) = secrets.judge(&octets(cookie), client, WallTime(seconds * 1000));
        (standing, reply.to_vec())
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const LEARNT: &str = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    const CLIENT: &str = "198.51.100.100";

    #[test]
    fn the_vectors_of_rfc_9018_come_out() {
        // A.1: a new client.
        let learnt = judge(SECRET, "2464c4abcf10c957", CLIENT, 1_559_731_985);
        assert_eq!(learnt, (Standing::ClientOnly, octets(LEARNT)));
        // A.2: the same client forty minutes later.
        let renewed = judge(SECRET, LEARNT, CLIENT, 1_559_734_385);
        assert_eq!(renewed, (Standing::Valid, octets("2464c4abcf10c957010000005cf7a871d4a564a1442aca77")));
        // A.3: reserved octets are hashed as they came, and zero in what is made anew. The RFC's own example is
        // nearly two hours old when it is answered, beyond what section 4.3 believes.
        let sent = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        assert_eq!(judge(SECRET, sent, "203.0.113.203", 1_559_727_985 + 60).0, Standing::Valid);
        let late = judge(SECRET, sent, "203.0.113.203", 1_559_734_700);
        assert_eq!(late, (Standing::Invalid, octets("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e")));
        // A.4: IPv6, and a secret that was rolled over.
        let secrets = "445536bcd2513298075a5d379663c962\ndd3bdf9344b678b185a6f5cb60fca715";
        let sent = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
        let rolled = judge(secrets, sent, "2001:db8:220:1:59de:d0f4:8769:82b8", 1_559_741_961);
        assert_eq!(rolled, (Standing::Valid, octets("22681ab97d52c298010000005cf7c609a6bb79d16625507a")));
    }

    #[test]
    fn a_cookie_is_believed_for_an_hour_and_five_minutes_ahead() {
        let at = |seconds: i64| judge(SECRET, LEARNT, CLIENT, (1_559_731_985 + seconds) as u64);
        assert_eq!(at(0), (Standing::Valid, octets(LEARNT)));
        assert_eq!(at(1799), (Standing::Valid, octets(LEARNT)), "a young cookie stays as it is");
        assert_ne!(at(1800).1, octets(LEARNT));
        assert_eq!(at(3600).0, Standing::Valid);
        assert_eq!(at(3601).0, Standing::Invalid);
        assert_eq!(at(-300).0, Standing::Valid);
        assert_eq!(at(-301).0, Standing::Invalid);
    }

    #[test]
    fn what_is_not_ours_or_not_of_this_client_is_not_believed() {
        let now = 1_559_731_985;
        assert_eq!(judge(SECRET, LEARNT, "198.51.100.101", now).0, Standing::Invalid);
        assert_eq!(judge(&SECRET.replace('e', "f"), LEARNT, CLIENT, now).0, Standing::Invalid);
        assert_eq!(judge(SECRET, &LEARNT.replace("5701", "5702"), CLIENT, now).0, Standing::Invalid);
        assert_eq!(judge(SECRET, &LEARNT[..46], CLIENT, now).0, Standing::Invalid);
        assert_eq!(judge(SECRET, &format!("{LEARNT}00"), CLIENT, now).0, Standing::Invalid);
    }

    #[test]
    fn lengths_are_those_of_rfc_7873() {
        let good: Vec<usize> = (0..50).filter(|length| is_well_formed(&vec![0; *length])).collect();
        assert_eq!(good, [vec![8], (16..=40).collect()].concat());
    }

    #[test]
    fn a_file_of_secrets_is_read_or_says_where_it_is_wrong() {
        let secrets = Secrets::parse(&format!("# ours\n\n{SECRET} # now\n{}\n", SECRET.replace('e', "F")));
        assert_eq!(secrets.map(|secrets| secrets.0.len()), Ok(2));
        assert_eq!(Secrets::parse("# none\n"), Err(SecretsFault::Empty));
        assert_eq!(Secrets::parse("\ne5e9\n"), Err(SecretsFault::NoSecret(2)));
        assert_eq!(Secrets::parse(&SECRET.replace('e', "é")), Err(SecretsFault::NoSecret(1)));
        assert_eq!(Secrets::parse(&SECRET.replace('e', "+")), Err(SecretsFault::NoSecret(1)));
        assert_eq!(Secrets::parse(&format!("{SECRET}\n{SECRET}")), Err(SecretsFault::Twice(2)));
        let many: String = (0..5).map(|at| format!("{at:032x}\n")).collect();
        assert_eq!(Secrets::parse(&many), Err(SecretsFault::TooMany));
        assert!(!format!("{:?}", Secrets::parse(SECRET)).contains("e5e9"), "no log shows a secret");
    }
}
