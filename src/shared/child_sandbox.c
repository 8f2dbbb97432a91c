/*
 * child_sandbox.c - child_lock_down: no new privileges, no capabilities, seccomp, Landlock.
 *
 * CHILD_PURE is an allow-list whose default kills the process. CHILD_EXEC runs a foreign program
 * (pdftotext) whose calls differ from one distribution to the next: it is a list of what is
 * refused, and Landlock (Linux 5.13 and later) confines what it may read to the system's own
 * folders and what came along with this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared/child.h"
#include "shared/child_wire.h"
#include "shared/packed.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int cannot(const char *what, int err)
{
    return error_set(ERR_SYSTEMIC, "sandbox", "cannot lock the sandboxed child down (%s): %s", what,
                     strerror(err));
}

/* ---- privileges ---- */

/* For a service that runs as root: without this the helper would keep root's capabilities. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    return syscall(SYS_capset, &header, none) ? cannot("capset", errno) : OK;
}

static int drop_privileges(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return cannot("no_new_privs", errno);
    return drop_capabilities();
}

/* ---- CHILD_PURE ---- */

/* What decoding and parsing need: descriptors that are already open, memory, and the end. The rest
 * is what the C library falls back to (clocks without a vDSO, its allocator's trimming). */
static const int pure_calls[] = {
    SCMP_SYS(read),         SCMP_SYS(readv),
    SCMP_SYS(pread64),      SCMP_SYS(write),
    SCMP_SYS(writev),       SCMP_SYS(lseek),
    SCMP_SYS(close),        SCMP_SYS(munmap),
    SCMP_SYS(mremap),       SCMP_SYS(brk),
    SCMP_SYS(madvise),      SCMP_SYS(futex),
    SCMP_SYS(exit),         SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(getppid),
    SCMP_SYS(getpid),       SCMP_SYS(gettid),
    SCMP_SYS(getrandom),    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday), SCMP_SYS(getrusage), /* PocketSphinx times its utterances */
    SCMP_SYS(sched_yield),  SCMP_SYS(restart_syscall),
#if CHILD_SANITIZED
    SCMP_SYS(open),         SCMP_SYS(openat),
    SCMP_SYS(readlink),     SCMP_SYS(readlinkat),
    SCMP_SYS(stat),         SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),   SCMP_SYS(statx),
    SCMP_SYS(sigaltstack),  SCMP_SYS(rt_sigaction),
    SCMP_SYS(mmap),         SCMP_SYS(mprotect),
    SCMP_SYS(prctl),        SCMP_SYS(sched_getaffinity),
    SCMP_SYS(pipe),         SCMP_SYS(pipe2),
    SCMP_SYS(ioctl),        SCMP_SYS(getrlimit),
    SCMP_SYS(prlimit64),    SCMP_SYS(process_vm_readv),
    SCMP_SYS(dup),          SCMP_SYS(dup2),
    SCMP_SYS(fcntl),        SCMP_SYS(access),
    SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(uname),        SCMP_SYS(getcwd),
#endif
};

/* Memory, but never executable; and abort(), which signals its own process only. */
static int add_pure_conditions(scmp_filter_ctx filter)
{
    scmp_datum_t self = (scmp_datum_t)getpid();
    int err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                               SCMP_A0(SCMP_CMP_EQ, self, 0));
    if (CHILD_SANITIZED)
        return err ? err : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(rt_sigprocmask), 0);
    if (!err) /* nobody may hold back the signal of the parent's death */
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(rt_sigprocmask), 0);
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return err;
}

static int add_pure(scmp_filter_ctx filter)
{
    int err = 0;
    for (size_t i = 0; i < COUNT(pure_calls) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, pure_calls[i], 0);
    return err ? err : add_pure_conditions(filter);
}

/* ---- CHILD_EXEC ---- */

static const int exec_refused[] = {
    /* the network */
    SCMP_SYS(socket),
    SCMP_SYS(socketpair),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    /* making, changing and removing files */
    SCMP_SYS(creat),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchown),
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(truncate),
    SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(utime),
    SCMP_SYS(utimes),
    SCMP_SYS(utimensat),
    SCMP_SYS(futimesat),
    SCMP_SYS(setxattr),
    SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr),
    SCMP_SYS(removexattr),
    SCMP_SYS(lremovexattr),
    SCMP_SYS(fremovexattr),
    SCMP_SYS(memfd_create),
    /* other processes */
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(kill),
    SCMP_SYS(tkill),
    SCMP_SYS(tgkill),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(rt_tgsigqueueinfo),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(kcmp),
    SCMP_SYS(setpriority),
    SCMP_SYS(sched_setscheduler),
    SCMP_SYS(setpgid),
    SCMP_SYS(setsid),
    SCMP_SYS(shmget),
    SCMP_SYS(shmat),
    SCMP_SYS(msgget),
    SCMP_SYS(semget),
    SCMP_SYS(mq_open),
    /* name spaces, mounts, identities */
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setgroups),
    /* the kernel's larger surfaces */
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(personality),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(inotify_init),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(vhangup),
    SCMP_SYS(syslog),
};

/* Opening for writing. `flags` is argument `n` of the call. */
static int refuse_writing(scmp_filter_ctx filter, int call, unsigned n)
{
    static const struct {
        scmp_datum_t mask, value;
    } flags[] = {
        {O_ACCMODE, O_WRONLY},
        {O_ACCMODE, O_RDWR},
        {O_CREAT, O_CREAT},
        {O_TRUNC, O_TRUNC},
    };
    int err = 0;
    for (size_t i = 0; i < COUNT(flags) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), call, 1,
                               SCMP_CMP(n, SCMP_CMP_MASKED_EQ, flags[i].mask, flags[i].value));
    return err;
}

static int refuse_namespaces(scmp_filter_ctx filter)
{
    static const scmp_datum_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                         CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    int err = 0;
    for (size_t i = 0; i < COUNT(flags) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                               SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    return err;
}

static int add_exec(scmp_filter_ctx filter)
{
    int err = 0;
    for (size_t i = 0; i < COUNT(exec_refused) && !err; i++)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), exec_refused[i], 0);
    if (!err)
        err = refuse_writing(filter, SCMP_SYS(open), 1);
    if (!err)
        err = refuse_writing(filter, SCMP_SYS(openat), 2);
    if (!err)
        err = refuse_namespaces(filter);
    /* Their arguments lie in memory, where a filter cannot look: the C library falls back. */
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!err)
        err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
    return err;
}

/* ---- Landlock ---- */

static const char *const readable[] = {
    "/usr",
    "/lib",
    "/lib64",
    "/lib32",
    "/bin",
    "/sbin",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/fonts",
    "/etc/xpdf",
    "/etc/xpdfrc",
    "/etc/localtime",
    "/var/cache/fontconfig",
    "/dev/null",
    "/dev/urandom",
};

static void allow_reading(int ruleset, const char *path)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
        .parent_fd = open(path, O_PATH | O_CLOEXEC),
    };
    if (rule.parent_fd < 0)
        return; /* not on this system */
    int probe = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (probe >= 0) {
        close(probe);
        rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
    }
    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
}

static void allow_packed(int ruleset)
{
    char path[PATH_MAX];
    if (packed_path("bin/pdftotext", path, sizeof path)) {
        *strrchr(path, '/') = '\0';
        allow_reading(ruleset, path);
        if (packed_path("lib", path, sizeof path))
            allow_reading(ruleset, path);
    }
}

/* Everything the first version knows; what a kernel is too old for, seccomp refuses anyway. */
static int confine_files(void)
{
    struct landlock_ruleset_attr attributes = {.handled_access_fs =
                                                   LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (ruleset < 0) /* a kernel without it, or with it switched off */
        return OK;
    for (size_t i = 0; i < COUNT(readable); i++)
        allow_reading(ruleset, readable[i]);
    allow_packed(ruleset);
    int rc = syscall(SYS_landlock_restrict_self, ruleset, 0) ? cannot("landlock", errno) : OK;
    close(ruleset);
    return rc;
}

/* ---- */

static int load_filter(enum child_profile profile)
{
    scmp_filter_ctx filter =
        seccomp_init(profile == CHILD_PURE ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ALLOW);
    if (!filter)
        return cannot("seccomp", ENOMEM);
    int err = profile == CHILD_PURE ? add_pure(filter) : add_exec(filter);
    if (!err)
        err = seccomp_load(filter);
    seccomp_release(filter);
    return err ? cannot("seccomp", -err) : OK;
}

int child_lock_down(enum child_profile profile)
{
    int rc = drop_privileges();
    if (!rc && profile == CHILD_EXEC)
        rc = confine_files();
    if (!rc && profile == CHILD_PURE && !CHILD_SANITIZED) {
        struct rlimit none = {0};
        if (setrlimit(RLIMIT_NPROC, &none))
            rc = cannot("RLIMIT_NPROC", errno);
    }
    return rc ? rc : load_filter(profile);
}
