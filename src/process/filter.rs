//! The filter of system calls: what a name server never does, fails with EPERM from now on, in all threads.
//!
//! A list of what is denied rather than of what is allowed. The allowed calls of a process like this come from
//! libraries and the C library, change with their versions and with the kernel's, and one that is missing from a list
//! would end the server on the day of an upgrade. A list of what gains privileges or leaves the process costs no
//! outage, and denies what an intruder would want: another program, another process's memory, mounts, namespaces,
//! modules, BPF, keys, the clock, and io_uring, which goes around filters.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, apply_filter_all_threads};

use super::Enforced;

/// System calls that every architecture has.
const DENIED: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_mknodat,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];
#[cfg(target_arch = "x86_64")]
const DENIED_OF_ARCHITECTURE: &[i64] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_mknod,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_OF_ARCHITECTURE: &[i64] = &[];

/// The second numbering of x86-64, x32, that the same process could call by: its bit, and the calls that have
/// numbers of their own there.
#[cfg(target_arch = "x86_64")]
const X32: (i64, std::ops::RangeInclusive<i64>) = (0x4000_0000, 512..=547);

/// Installs the filter in all threads; what came of it.
pub(super) fn install() -> Enforced {
    match program().and_then(|program| apply_filter_all_threads(&program).map_err(|error| error.to_string()))
    {
        Ok(()) => Enforced::Holds(format!("{} system calls denied", denied().count())),
        Err(why) => Enforced::Missing(why),
    }
}

fn denied() -> impl Iterator<Item = i64> {
    DENIED.iter().chain(DENIED_OF_ARCHITECTURE).copied()
}

fn program() -> Result<BpfProgram, String> {
    let numbers = denied();
    #[cfg(target_arch = "x86_64")]
    let numbers =
        numbers.chain(denied().map(|number| number | X32.0)).chain(X32.1.map(|number| number | X32.0));
    let rules: BTreeMap<i64, Vec<SeccompRule>> = numbers.map(|number| (number, Vec::new())).collect();
    let architecture =
        std::env::consts::ARCH.try_into().map_err(|_| "not known on this architecture".to_owned())?;
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture);
    filter.and_then(TryInto::try_into).map_err(|error: seccompiler::BackendError| error.to_string())
}
