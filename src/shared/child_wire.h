/*
 * child_wire.h - what child.c (the parent's side) and child_inside.c (the child's side) agree on.
 *
 * A frame is a header in the machine's own byte order and its payload. Types from FRAME_RESERVED up
 * belong to this layer; 0 is never sent.
 */
#ifndef AEGIS_SHARED_CHILD_WIRE_H
#define AEGIS_SHARED_CHILD_WIRE_H

#include <stdint.h>

struct child;

struct frame_header {
    uint32_t type;
    uint32_t length;
};

enum {
    FRAME_RESERVED = 0xfffffff0u,
    FRAME_USAGE = 0xfffffffeu, /* int64_t: peak resident bytes; the last frame of an orderly end */
    FRAME_ERROR = 0xffffffffu, /* struct error */
};

/* "parent-pid memory-bytes cpu-seconds": how the parent tells the child what it may use. */
#define CHILD_ENV "AEGIS_CHILD"

/* Set to anything: children keep their parent's standard error, for debugging. */
#define CHILD_STDERR_ENV "AEGIS_CHILD_STDERR"

/* Sanitizer runtimes reserve terabytes of address space, write reports and need more system calls
 * than the program itself. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CHILD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define CHILD_SANITIZED 1
#endif
#endif
#ifndef CHILD_SANITIZED
#define CHILD_SANITIZED 0
#endif

/* A child without a process: frames are read from `fd` (taken over, made non-blocking) as if one
 * had written them and ended well. For fuzzing what receives them. */
int child_adopt(int fd, struct child **out);

#endif
