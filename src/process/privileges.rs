//! Becoming nobody in particular: a user without privileges, without groups, without capabilities, whose memory is
//! not written to disk.

use nix::unistd::{Gid, Group, Uid, User, setgroups, setresgid, setresuid};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::HardenFault;

/// Whom the process is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// As it was written.
    pub name: String,
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

/// What a process that stays root keeps: it reads and writes files as people expect of root, and sends ICMP where
/// the system grants no sockets for that to everybody.
const ROOT_KEEPS: CapabilitySet =
    CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH).union(CapabilitySet::NET_RAW);
/// What is kept where somebody gave it on purpose, as an ambient capability.
const KEPT_WHEN_AMBIENT: CapabilitySet = CapabilitySet::NET_RAW;

impl Owner {
    /// The user and group of these names, or numbers; the group is the user's own when it is not named. Nobody when
    /// neither is named.
    pub(super) fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Self>, HardenFault> {
        if user.is_none() && group.is_none() {
            return Ok(None);
        }
        let (id, own_group) = match user {
            Some(name) => find_user(name)?,
            None => (Uid::effective(), Gid::effective()),
        };
        let group = group.map_or(Ok(own_group), find_group)?;
        let name = user.map_or_else(|| id.to_string(), str::to_owned);
        Ok(Some(Self { name, user: id.as_raw(), group: group.as_raw() }))
    }
}

fn find_user(name: &str) -> Result<(Uid, Gid), HardenFault> {
    let number = name.parse().ok().map(Uid::from_raw);
    let found = number.map_or_else(|| User::from_name(name), User::from_uid);
    match (found, number) {
        (Ok(Some(user)), _) => Ok((user.uid, user.gid)),
        // A number needs no entry, as in a container.
        (_, Some(number)) => Ok((number, Gid::from_raw(number.as_raw()))),
        (Ok(None), None) => Err(HardenFault(format!("there is no user {name:?}; make one, or name another"))),
        (Err(error), None) => Err(HardenFault(format!("user {name:?} cannot be looked up: {error}"))),
    }
}

fn find_group(name: &str) -> Result<Gid, HardenFault> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(HardenFault(format!("there is no group {name:?}; make one, or name another"))),
        Err(error) => Err(HardenFault(format!("group {name:?} cannot be looked up: {error}"))),
    }
}

/// Becomes `owner`, if that is somebody else, and gives up what privileges there are.
pub(super) fn give_up(owner: Option<&Owner>) -> Result<(), HardenFault> {
    let kept = kept();
    shrink_bounding_set();
    if let Some(owner) = owner {
        become_user(owner)?;
    }
    let failed = |what: &str, error: rustix::io::Errno| HardenFault(format!("{what}: {error}"));
    // Kernels before 4.3 have none.
    let _ = clear_ambient_capability_set();
    let held = capabilities(None).map_err(|error| failed("capabilities cannot be read", error))?;
    let kept = held.permitted & kept;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(|error| failed("capabilities cannot be given up", error))?;
    set_no_new_privs(true).map_err(|error| failed("no-new-privileges cannot be set", error))?;
    // After the user has changed, which resets it.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|error| failed("core dumps cannot be switched off", error))
}

fn kept() -> CapabilitySet {
    if Uid::effective().is_root() {
        return ROOT_KEEPS;
    }
    let ambient = |one: &CapabilitySet| capability_is_in_ambient_set(*one).unwrap_or(false);
    KEPT_WHEN_AMBIENT.iter().filter(ambient).collect()
}

/// Takes all capabilities from what any later program could gain. Needs a capability itself; without it there is
/// nothing that could be gained, as no-new-privileges is set too.
fn shrink_bounding_set() {
    for one in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(one);
    }
}

fn become_user(owner: &Owner) -> Result<(), HardenFault> {
    let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
    let already = Uid::current() == user && Uid::effective() == user && Gid::effective() == group;
    if already && !user.is_root() {
        return Ok(());
    }
    let fault = |error: nix::Error| {
        let help = "start as root, or leave hardening.user out and let the supervisor choose the user";
        HardenFault(format!("user {} cannot be become: {error}; {help}", owner.name))
    };
    setgroups(&[]).map_err(fault)?;
    setresgid(group, group, group).map_err(fault)?;
    setresuid(user, user, user).map_err(fault)?;
    assert!(
        user.is_root() || setresuid(Uid::from_raw(0), user, user).is_err(),
        "the way back to root is shut"
    );
    Ok(())
}
