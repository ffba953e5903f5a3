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

#[cfg(test)]
mod tests {
    use seccompiler::sock_filter;

    use super::*;

    /// What the kernel does with a call by the program, which compares the architecture and the number and returns.
    fn verdict(program: &[sock_filter], architecture: u32, number: i64) -> u32 {
        const LOAD: u16 = 0x20;
        const ALWAYS: u16 = 0x05;
        const WHERE_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let (mut at, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                LOAD if k == 0 => loaded = number.try_into().unwrap(),
                LOAD => loaded = architecture,
                ALWAYS => at += k as usize,
                WHERE_EQUAL => at += usize::from(if loaded == k { jt } else { jf }),
                RETURN => return k,
                other => panic!("no instruction of a list: {other:#x}"),
            }
        }
    }

    #[test]
    fn what_an_intruder_would_want_is_refused_and_what_a_server_lives_on_is_not() {
        let wanted = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_move_mount,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_setns,
            libc::SYS_unshare,
            libc::SYS_open_by_handle_at,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_kexec_load,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_clock_settime,
            libc::SYS_settimeofday,
            libc::SYS_clock_adjtime,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_mknodat,
            libc::SYS_setuid,
            libc::SYS_setresuid,
            libc::SYS_setgroups,
        ];
        let needed = [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_openat,
            libc::SYS_renameat2,
            libc::SYS_unlinkat,
            libc::SYS_fsync,
            libc::SYS_socket,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_accept4,
            libc::SYS_recvmmsg,
            libc::SYS_sendmmsg,
            libc::SYS_recvmsg,
            libc::SYS_sendmsg,
            libc::SYS_epoll_pwait,
            libc::SYS_futex,
            libc::SYS_mmap,
            libc::SYS_munmap,
            libc::SYS_mprotect,
            libc::SYS_madvise,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_getrandom,
            libc::SYS_clock_gettime,
            libc::SYS_clock_nanosleep,
            libc::SYS_setpriority,
            libc::SYS_sched_setattr,
            libc::SYS_rt_sigreturn,
            libc::SYS_exit_group,
        ];
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
        let program = program().unwrap();
        // The first instruction loads the architecture, the second compares it with this one's.
        let own = program[1].k;
        for number in wanted {
            assert_eq!(verdict(&program, own, number), refused, "{number}");
            #[cfg(target_arch = "x86_64")]
            assert_eq!(verdict(&program, own, number | X32.0), refused, "{number} by its other number");
        }
        for number in needed {
            assert_eq!(verdict(&program, own, number), libc::SECCOMP_RET_ALLOW, "{number}");
        }
        let killed = verdict(&program, own ^ 1, libc::SYS_read);
        assert_eq!(
            killed,
            libc::SECCOMP_RET_KILL_PROCESS,
            "numbers of another architecture mean other calls"
        );
    }
}
