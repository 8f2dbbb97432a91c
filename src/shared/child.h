/*
 * child.h - untrusted bytes are parsed in a sandboxed child: this same program re-executed
 * ("aegis child NAME"), with seccomp, rlimits and no network. A crash, a bomb or a hang there is
 * one failed attempt, never a dead service.
 *
 * The child reads its input from descriptor 0 (a seekable file or a pipe) and answers in frames on
 * descriptor 1. It is killed when the parent dies (PR_SET_PDEATHSIG).
 */
#ifndef AEGIS_SHARED_CHILD_H
#define AEGIS_SHARED_CHILD_H

#include <stdint.h>
#include <sys/types.h>

#include "shared/buffer.h"
#include "shared/cancel.h"
#include "shared/error.h"

/* ---- the child's side ---- */

/* One entry of the table of what a child can be. `run` gets the arguments after NAME, prepares what
 * needs files (loading libraries and models), calls child_lock_down, works, and returns the exit
 * code. */
struct child_main {
    const char *name;
    int (*run)(int argc, char **argv);
};

/* Call first in main(), in tests too: if argv is "… child NAME …" runs that entry and exits. The
 * table ends with a NULL name. */
void child_dispatch(int argc, char **argv, const struct child_main *table);

enum child_profile {
    CHILD_PURE, /* read, write, lseek, memory, futex, exit and nothing else */
    CHILD_EXEC, /* may exec one helper program (pdftotext): no network, no writing of files, no new
                   privileges */
};

/* Applies no_new_privs and the seccomp filter. On failure the child must exit (never parse
 * unprotected): it returns an error then. */
int child_lock_down(enum child_profile profile);

/* Frames: type, length, payload. 0 or ERR_IO (the parent is gone: exit). */
int child_send(uint32_t type, const void *payload, uint32_t length);
/* Reports an error to the parent and returns the exit code to use. */
int child_fail(const struct error *error);

/* ---- the parent's side ---- */

struct child_limits {
    size_t memory;           /* RLIMIT_AS in bytes; 0: CAP_CHILD_MEMORY */
    int64_t cpu_ms;          /* RLIMIT_CPU, rounded up to seconds */
    int64_t idle_timeout_ms; /* no frame for so long: it hangs and is killed */
};

struct child;

/* Starts `NAME args...` (args ends with NULL) with `input` as its descriptor 0. A regular file is
 * opened anew, read-only, at the same offset: the parent's own offset does not move, and several
 * children may read one file. The child's environment is cleared but for the locale; its standard
 * error goes to /dev/null unless AEGIS_CHILD_STDERR is set. Any thread may spawn, receive and close
 * (one at a time per child); the child dies with the process, not with the thread that spawned it.
 */
int child_spawn(const char *name, const char *const *args, int input,
                const struct child_limits *limits, struct child **out);

/* The next frame into *payload (cleared first; cap CAP_CHILD_FRAME). *type is 0 at the orderly end.
 * Errors: what the child reported with child_fail; ERR_PERMANENT "parser_crashed" (signal, named in
 * the text), "parser_timeout" (hung or used up its CPU time), "parser_memory" (its memory cap),
 * ERR_CANCELLED; ERR_TRANSIENT "parser_killed" if somebody else killed it (the kernel short of
 * memory). `idle_timeout_ms` runs from each call anew: a parent that is slow to receive does not
 * count, nor does time in which the machine stood still. */
int child_receive(struct child *child, const struct cancel *cancel, uint32_t *type,
                  struct buffer *payload);

/* Kills it if it still runs, reaps it, frees. NULL is fine. Peak resident bytes in *peak_rss if not
 * NULL. */
void child_close(struct child *child, int64_t *peak_rss);

#endif
