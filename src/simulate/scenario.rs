//! What a world is made of and what befalls it: read from a text file, or drawn from a seed. One statement a
//! line, `#` begins a comment:
//!
//! ```text
//! vantages 3                  # also: regions, services, servers, resolvers, minutes, loss 5%
//! at 60s kill r0              # also: hang, error; heal ends them
//! at 60s degrade r0 75%       # so much of it is usable; degrade r0 100% ends it
//! at 80s cut v0 r1            # also: lossy v0 r1 40%; mend ends them
//! at 80s isolate v0           # its probes all fail, its control targets too; join ends it
//! at 90s part v0 s0           # its reports do not reach the server; meet ends it
//! at 90s stall v0             # it probes nothing and reports on; also: freeze, lag; resume ends them
//! at 90s slow v0 s0 3s        # each of its reports takes up to so long; slow v0 s0 0s ends it
//! at 90s jump v0 1h           # its clock goes forward; also: rewind
//! at 99s restart s0           # also: reload s0 40s, which takes so long to read its files
//! fail-back manual            # what works again waits for a person, who comes when all is mended
//! expect 70s r0 down          # on every server; also: up, serving, share 75%, held (works and waits), given (to everybody)
//! ```

use std::time::Duration;

use crate::agent::chance::Chance;
use crate::config::duration::parse_duration;
use crate::health::verdict::Share;

/// What a world is made of, and what befalls it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Where agents stand, one each.
    pub vantages: usize,
    /// Places that serve.
    pub regions: usize,
    /// Services with one endpoint in each region.
    pub services: usize,
    /// Name servers.
    pub servers: usize,
    /// Resolvers that ask and cache.
    pub resolvers: usize,
    /// How long it is played before everything is mended and must come back.
    pub length: Duration,
    /// The part of probes that fail without a reason.
    pub loss: f64,
    /// What works again waits for a person's word.
    pub manual_fail_back: bool,
    /// What befalls it, in the order of time.
    pub events: Vec<(Duration, Fault)>,
    /// What must be believed when.
    pub expectations: Vec<Expectation>,
}

/// Something that befalls a world, or ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The endpoints of a region work or not.
    Region(usize, Health),
    /// So much of the endpoints of a region is usable.
    Degraded(usize, Share),
    /// The path from a vantage to a region loses this part of what passes; 1 is a cut.
    Path(usize, usize, f64),
    /// A vantage is cut from everything but the servers, or no longer.
    Isolated(usize, bool),
    /// The reports of a vantage do not reach a server, or do again.
    Parted(usize, usize, bool),
    /// Each report of a vantage takes up to so long to a server, so that they overtake each other.
    Slow(usize, usize, Duration),
    /// The clock of an agent jumps by so many seconds.
    Jump(usize, i64),
    /// How an agent is.
    Agent(usize, Mood),
    /// A server starts anew.
    Restart(usize),
    /// A server reads its configuration anew, which takes so long; meanwhile it goes on.
    Reload(usize, Duration),
}

/// How the endpoints of a region are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They work.
    Works,
    /// Nobody listens; who held a connection notices.
    Killed,
    /// Nobody answers.
    Hangs,
    /// They answer with status 500.
    Errs,
}

/// How an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Well.
    Well,
    /// It probes nothing more, and reports on.
    Stalled,
    /// It does nothing at all.
    Frozen,
    /// It runs late and knows: half of its probes fail.
    Lags,
}

/// What must be believed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// When.
    pub at: Duration,
    /// Of the endpoints of which region.
    pub region: usize,
    /// What.
    pub believed: Believed,
}

/// What must be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believed {
    /// Down.
    Down,
    /// Up, wholly.
    Up,
    /// Anything that serves.
    Serving,
    /// Up, and so much of it usable.
    Share(Share),
    /// It works again, and waits for a person.
    Held,
    /// Whatever is believed: all clients are given it, those of the fence alone excepted.
    Given,
}

/// The most of each thing.
const COUNT_MAX: usize = 1000;

impl Scenario {
    /// A calm world.
    #[must_use]
    pub fn calm(vantages: usize, regions: usize, services: usize, servers: usize) -> Self {
        Self {
            vantages,
            regions,
            services,
            servers,
            resolvers: 40,
            length: Duration::from_secs(600),
            loss: 0.0,
            manual_fail_back: false,
            events: Vec::new(),
            expectations: Vec::new(),
        }
    }

    /// Reads a scenario; what is wrong is told with its line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut scenario = Self::calm(3, 3, 1, 1);
        for (index, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split('#').next().unwrap_or("").split_whitespace().collect();
            if !words.is_empty() {
                scenario.statement(&words).map_err(|fault| format!("line {}: {fault}", index + 1))?;
            }
        }
        scenario.events.sort_by_key(|(at, _)| *at);
        scenario.check().map(|()| scenario)
    }

    fn statement(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["vantages", count] => self.vantages = number(count)?,
            ["regions", count] => self.regions = number(count)?,
            ["services", count] => self.services = number(count)?,
            ["servers", count] => self.servers = number(count)?,
            ["resolvers", count] => self.resolvers = number(count)?,
            ["minutes", count] => self.length = Duration::from_secs(60 * number(count)? as u64),
            ["fail-back", "manual"] => self.manual_fail_back = true,
            ["loss", part] => self.loss = percent(part)?,
            ["at", at, rest @ ..] => self.events.push((time(at)?, fault(rest)?)),
            ["expect", at, region, "share", part] => {
                let believed = Believed::Share(Share::of_ratio(percent(part)?));
                self.expectations.push(Expectation { at: time(at)?, region: named('r', region)?, believed });
            }
            ["expect", at, region, word] => {
                let believed = match *word {
                    "down" => Believed::Down,
                    "up" => Believed::Up,
                    "serving" => Believed::Serving,
                    "held" => Believed::Held,
                    "given" => Believed::Given,
                    _ => {
                        return Err(format!(
                            "{word:?} cannot be expected; write down, up, serving, held or given"
                        ));
                    }
                };
                self.expectations.push(Expectation { at: time(at)?, region: named('r', region)?, believed });
            }
            _ => return Err(format!("{:?} says nothing; see src/simulate/scenario.rs", words.join(" "))),
        }
        Ok(())
    }

    /// Whether all that is named is there.
    fn check(&self) -> Result<(), String> {
        let counts = [self.vantages, self.regions, self.services, self.servers];
        if counts.contains(&0) {
            return Err("a world has a vantage, a region, a service and a server".to_owned());
        }
        let there = |fault: &Fault| match *fault {
            Fault::Region(region, _) | Fault::Degraded(region, _) => region < self.regions,
            Fault::Path(vantage, region, _) => vantage < self.vantages && region < self.regions,
            Fault::Isolated(vantage, _) | Fault::Agent(vantage, _) | Fault::Jump(vantage, _) => {
                vantage < self.vantages
            }
            Fault::Parted(vantage, server, _) | Fault::Slow(vantage, server, _) => {
                vantage < self.vantages && server < self.servers
            }
            Fault::Restart(server) | Fault::Reload(server, _) => server < self.servers,
        };
        match self.events.iter().find(|(_, fault)| !there(fault)) {
            Some((at, fault)) => Err(format!("{fault:?} at {at:?} is about something that is not there")),
            None if self.expectations.iter().any(|one| one.region >= self.regions) => {
                Err("something is expected of a region that is not there".to_owned())
            }
            None => Ok(()),
        }
    }

    /// A world and its troubles as the seed will have them.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut chance = Chance::seeded(seed).split();
        let mut below = |count: u64| (chance.bits() % count) as usize;
        let mut scenario = Self::calm(3 + below(3), 2 + below(3), 1 + below(2), 1 + below(2));
        scenario.loss = [0.0, 0.0, 0.01, 0.05, 0.1][below(5)];
        for _ in 0..2 + below(5) {
            scenario.befall(&mut below);
        }
        if below(3) == 0 {
            scenario.degrade(&mut below);
        }
        scenario.events.sort_by_key(|(at, _)| *at);
        scenario
    }

    /// A region is usable in part for a while.
    fn degrade(&mut self, below: &mut impl FnMut(u64) -> usize) {
        let region = below(self.regions as u64);
        let begin = Duration::from_millis(30_000 + below(400_000) as u64);
        let usable = Share::of_1024(400 + below(600) as u16);
        let end = begin + Duration::from_secs(60 + below(60) as u64);
        self.events.push((begin, Fault::Degraded(region, usable)));
        self.events.push((end, Fault::Degraded(region, Share::WHOLE)));
    }

    /// One more trouble, with its end.
    fn befall(&mut self, below: &mut impl FnMut(u64) -> usize) {
        let vantages = self.vantages as u64;
        let vantage = below(vantages);
        let region = below(self.regions as u64);
        let server = below(self.servers as u64);
        let begin = Duration::from_millis(30_000 + below(480_000) as u64);
        let span = Duration::from_millis([2_000, 20_000, 60_000][below(3)] + below(60_000) as u64);
        let health = [Health::Killed, Health::Hangs, Health::Errs][below(3)];
        let part = [1.0, 1.0, 0.3, 0.6][below(4)];
        // How many vantages a trouble of vantages befalls: one, about half, or all but one.
        let several = [1, self.vantages / 2, self.vantages.div_ceil(2), self.vantages - 1][below(4)];
        let mut during = |fault, end| {
            self.events.push((begin, fault));
            self.events.push((begin + span, end));
        };
        let others = (0..several).map(|step| (vantage + step) % vantages as usize);
        match below(14) {
            0..3 => during(Fault::Region(region, health), Fault::Region(region, Health::Works)),
            3 => (0..self.regions).filter(|other| *other != region).for_each(|other| {
                self.events.push((begin, Fault::Region(other, health)));
                self.events.push((begin + span, Fault::Region(other, Health::Works)));
            }),
            4 => others.for_each(|v| during(Fault::Path(v, region, part), Fault::Path(v, region, 0.0))),
            5 => others.for_each(|v| during(Fault::Isolated(v, true), Fault::Isolated(v, false))),
            6 => others.for_each(|v| during(Fault::Parted(v, server, true), Fault::Parted(v, server, false))),
            7 => {
                let mood = [Mood::Stalled, Mood::Frozen, Mood::Lags][below(3)];
                others.for_each(|v| during(Fault::Agent(v, mood), Fault::Agent(v, Mood::Well)));
            }
            8 => {
                // A region dies while not everybody can say so.
                let silent = |v| {
                    [
                        (Fault::Parted(v, server, true), Fault::Parted(v, server, false)),
                        (Fault::Agent(v, Mood::Stalled), Fault::Agent(v, Mood::Well)),
                    ]
                };
                let kind = below(2);
                let later = begin + span / 2;
                for (fault, end) in others.map(|v| silent(v)[kind]) {
                    self.events.push((begin, fault));
                    self.events.push((later + Duration::from_secs(30), end));
                }
                self.events.push((later, Fault::Region(region, health)));
                self.events.push((later + Duration::from_secs(30), Fault::Region(region, Health::Works)));
            }
            11 => self.events.push((begin, Fault::Restart(server))),
            9 => self.events.push((begin, Fault::Reload(server, span / [100, 2][below(2)]))),
            12 => {
                let late = Duration::from_millis([300, 1_500, 4_000][below(3)]);
                others.for_each(|v| {
                    during(Fault::Slow(v, server, late), Fault::Slow(v, server, Duration::ZERO))
                });
            }
            13 => self.events.push((begin, Fault::Jump(vantage, [-90, -5, 5, 3_600][below(4)]))),
            _ => self.flap(region, begin, health),
        }
    }

    /// Ten times down and up again.
    fn flap(&mut self, region: usize, begin: Duration, health: Health) {
        for turn in 0..10 {
            let down = begin + Duration::from_secs(50) * turn;
            self.events.push((down, Fault::Region(region, health)));
            self.events.push((down + Duration::from_secs(10), Fault::Region(region, Health::Works)));
        }
    }
}

fn fault(words: &[&str]) -> Result<Fault, String> {
    let region = |name, health| Ok(Fault::Region(named('r', name)?, health));
    let path = |v, r, part| Ok(Fault::Path(named('v', v)?, named('r', r)?, part));
    let agent = |name, mood| Ok(Fault::Agent(named('v', name)?, mood));
    match *words {
        ["kill", name] => region(name, Health::Killed),
        ["hang", name] => region(name, Health::Hangs),
        ["error", name] => region(name, Health::Errs),
        ["heal", name] => region(name, Health::Works),
        ["degrade", name, part] => Ok(Fault::Degraded(named('r', name)?, Share::of_ratio(percent(part)?))),
        ["cut", v, r] => path(v, r, 1.0),
        ["mend", v, r] => path(v, r, 0.0),
        ["lossy", v, r, part] => path(v, r, percent(part)?),
        ["isolate", v] => Ok(Fault::Isolated(named('v', v)?, true)),
        ["join", v] => Ok(Fault::Isolated(named('v', v)?, false)),
        ["part", v, s] => Ok(Fault::Parted(named('v', v)?, named('s', s)?, true)),
        ["meet", v, s] => Ok(Fault::Parted(named('v', v)?, named('s', s)?, false)),
        ["slow", v, s, late] => Ok(Fault::Slow(named('v', v)?, named('s', s)?, time(late)?)),
        ["jump", v, span] => Ok(Fault::Jump(named('v', v)?, time(span)?.as_secs() as i64)),
        ["rewind", v, span] => Ok(Fault::Jump(named('v', v)?, -(time(span)?.as_secs() as i64))),
        ["stall", v] => agent(v, Mood::Stalled),
        ["freeze", v] => agent(v, Mood::Frozen),
        ["lag", v] => agent(v, Mood::Lags),
        ["resume", v] => agent(v, Mood::Well),
        ["restart", s] => Ok(Fault::Restart(named('s', s)?)),
        ["reload", s] => Ok(Fault::Reload(named('s', s)?, Duration::ZERO)),
        ["reload", s, takes] => Ok(Fault::Reload(named('s', s)?, time(takes)?)),
        _ => Err(format!("{:?} befalls nothing; see src/simulate/scenario.rs", words.join(" "))),
    }
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= COUNT_MAX);
    number.ok_or_else(|| format!("{text:?} is no number up to {COUNT_MAX}"))
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let part = number.map(|number| number / 100.0).filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| format!("{text:?} is no part; write \"5%\""))
}

fn named(letter: char, text: &str) -> Result<usize, String> {
    let index = text.strip_prefix(letter).and_then(|digits| digits.parse().ok());
    index.ok_or_else(|| format!("{text:?} is no name here; write \"{letter}0\""))
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|_| format!("{text:?} is no time; write \"90s\" or \"2m\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_read_and_sorted_by_time() {
        let scenario =
            Scenario::parse("vantages 5 # many\nat 2m heal r1\nat 60s kill r1\nexpect 70s r1 down").unwrap();
        assert_eq!(scenario.vantages, 5);
        assert_eq!(scenario.events[0], (Duration::from_secs(60), Fault::Region(1, Health::Killed)));
        assert_eq!(scenario.expectations[0].believed, Believed::Down);
    }

    #[test]
    fn faults_name_their_line() {
        let fault = |text| Scenario::parse(text).unwrap_err();
        assert!(fault("\nat 5s explode r0").starts_with("line 2: \"explode r0\" befalls nothing"));
        assert_eq!(fault("loss 5"), "line 1: \"5\" is no part; write \"5%\"");
        assert!(fault("at 5s kill r9").contains("not there"));
        assert!(fault("vantages 0").contains("a world has"));
    }

    #[test]
    fn a_seed_is_one_world() {
        assert_eq!(Scenario::drawn(7), Scenario::drawn(7));
        assert_ne!(Scenario::drawn(7), Scenario::drawn(8));
        assert!((0..200).all(|seed| Scenario::drawn(seed).check().is_ok()));
    }
}
