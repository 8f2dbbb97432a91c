/*
 * error.h - how every Aegis function reports failure.
 *
 * A function that can fail returns 0 or one of the codes below; the one line of text that explains
 * it is kept per thread and read with error_last(). Return or log, never both. A code exists only
 * because some caller branches on it. Never overwrite a lower function's error without adding to it
 * (error_prefix).
 */
#ifndef AEGIS_SHARED_ERROR_H
#define AEGIS_SHARED_ERROR_H

#include <stdbool.h>
#include <stdint.h>

enum error_code {
    OK = 0,
    /* The three classes of a failed job (docs/retry.md). */
    ERR_TRANSIENT, /* may work later: retried with backoff, retry_after_ms honoured */
    ERR_PERMANENT, /* will never work: dead-lettered with its reason code */
    ERR_SYSTEMIC,  /* nothing can work until it is mended: the pipeline pauses */
    /* Conditions that callers branch on. */
    ERR_INVALID,   /* a person's or a file's input is wrong; the text says what and where */
    ERR_NOT_FOUND, /* the named thing does not exist */
    ERR_CONFLICT,  /* somebody else was first: stale event, lost lease, finished job */
    ERR_BUSY,      /* held by another right now; try again shortly */
    ERR_TOO_LARGE, /* a cap of caps.h was reached */
    ERR_DISK_FULL, /* ENOSPC, EDQUOT: nothing was acknowledged; wait for room */
    ERR_NO_MEMORY, /* allocation failed or an arena's cap was reached */
    ERR_IO,        /* any other failure of a file or socket */
    ERR_TIMEOUT,   /* the deadline passed */
    ERR_CANCELLED, /* the caller asked to stop (drain, signal) */
    ERR_SCHEMA,    /* the stored data was written by a newer Aegis: refused, untouched */
};

struct error {
    enum error_code code;
    char reason[40];        /* machine-readable reason code such as "rate_limited"; "" if none */
    int64_t retry_after_ms; /* what the other side asked for; -1 if it said nothing */
    char message[480];      /* one line: what happened, to which thing (quoted), what to do next */
};

/*
 * Records an error for this thread and returns `code`, so that `return error_set(...)` reads well.
 * `reason` may be NULL. Newlines and control characters in the text become spaces.
 */
int error_set(enum error_code code, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As error_set, from an errno value: ENOSPC and EDQUOT become ERR_DISK_FULL, ENOENT ERR_NOT_FOUND,
 * ENOMEM ERR_NO_MEMORY, the rest ERR_IO. The text ends with ": " and strerror's text. */
int error_set_errno(int errnum, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts text in front of the last error ("while reading 'x': ...") and returns its code. */
int error_prefix(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Sets retry_after_ms on the last error and returns its code. */
int error_retry_after(int64_t retry_after_ms);

/* The last error of this thread; never NULL; valid until this thread's next error_set. */
const struct error *error_last(void);
void error_clear(void);

/* For carrying an error to another thread: copy *error_last(), and set it there. Returns e->code.
 */
int error_restore(const struct error *e);

/* ERR_TRANSIENT, ERR_PERMANENT or ERR_SYSTEMIC for any code: disk full and lost storage are
 * systemic, invalid or too large input is permanent, timeouts and I/O errors are transient. */
enum error_code error_class(const struct error *e);

/* "transient", "permanent", "systemic", "invalid", "not_found", ... */
const char *error_code_name(enum error_code code);

#ifdef __clang_analyzer__
/* Tells static analysers what they cannot see from here: these never return 0. */
static inline int error_is_set(int code)
{
    if (code == OK)
        __builtin_unreachable();
    return code;
}
#define error_set(...)       error_is_set((error_set)(__VA_ARGS__))
#define error_set_errno(...) error_is_set((error_set_errno)(__VA_ARGS__))
#endif

#endif
