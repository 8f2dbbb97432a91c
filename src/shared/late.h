/*
 * late.h - shared libraries that only some work needs, loaded when that begins: relocating them at
 * every start of the program takes longer than most of what it does (docs/performance.md).
 *
 *     #define LIBTHING_FUNCTIONS(X) X(thing_open) X(thing_close)
 *     LATE_LIBRARY(libthing, LIBTHING_FUNCTIONS)                               in a header
 *     LATE_LIBRARY_DEFINE(libthing, "libthing.so.1", LIBTHING_FUNCTIONS)       in one file
 *
 *     int rc = libthing_load();       before anything else of it, and before a sandbox is closed
 *     libthing.thing_open(...)
 *
 * The struct has a member for each function (or a pointer for each variable) used, of the type that
 * the library's own header declares.
 */
#ifndef AEGIS_SHARED_LATE_H
#define AEGIS_SHARED_LATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct late_library {
    const char *soname;
    const char *const *names;
    void **addresses; /* of as many names, in their order */
    size_t count;
    pthread_mutex_t lock;
    atomic_bool loaded;
};

/* 0, or ERR_SYSTEMIC "library_missing" that names the library. It stays loaded; asking again costs
 * nothing. Safe from any thread. */
int late_load(struct late_library *library);

#define LATE_MEMBER(name) __typeof__(&(name)) name;
#define LATE_NAME(name)   #name,

#define LATE_LIBRARY(library, FUNCTIONS)                                                           \
    struct library##_functions {                                                                   \
        FUNCTIONS(LATE_MEMBER)                                                                     \
    };                                                                                             \
    extern struct library##_functions library;                                                     \
    int library##_load(void);

#define LATE_LIBRARY_DEFINE(library, soname_, FUNCTIONS)                                           \
    struct library##_functions library;                                                            \
    int library##_load(void)                                                                       \
    {                                                                                              \
        static const char *const names[] = {FUNCTIONS(LATE_NAME)};                                 \
        static struct late_library late = {.soname = (soname_),                                    \
                                           .names = names,                                         \
                                           .addresses = (void **)&library,                         \
                                           .count = sizeof names / sizeof names[0],                \
                                           .lock = PTHREAD_MUTEX_INITIALIZER};                     \
        return late_load(&late);                                                                   \
    }

#endif
