#include "support/shared_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "adapters/local/store_shared_keys.h"
#include "shared/error.h"
#include "shared/file.h"
#include "support/tree.h"

static int64_t machine_now(void *ctx)
{
    return ((struct machine *)ctx)->now;
}

void machine_make(struct machine *p)
{
    const char *parent = getenv("TMPDIR");
    *p = (struct machine){.clock = {.now = machine_now, .ctx = p}, .now = 1700000000000};
    snprintf(p->directory, sizeof p->directory, "%s/aegis-shared.XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(p->directory));
}

void machine_remove(struct machine *p)
{
    assert_int_equal(tree_remove(p->directory), 0);
}

void machine_beside(const struct machine *p, struct machine *other)
{
    int64_t now = other->now;
    *other = (struct machine){.clock = {.now = machine_now, .ctx = other}, .now = now};
    memcpy(other->directory, p->directory, sizeof p->directory);
}

int machine_open(struct machine *p)
{
    return shared_store_open(&(struct shared_store_options){.directory = p->directory,
                                                            .clock = &p->clock,
                                                            .keep_superseded_ms = HOUR_MS},
                             &p->store);
}

void machine_close(struct machine *p)
{
    p->store.ops->close(p->store.ctx);
}

int machine_setup(void **state)
{
    struct machine *p = malloc(sizeof *p);
    assert_non_null(p);
    machine_make(p);
    if (machine_open(p))
        fail_msg("%s", error_last()->message);
    *state = p;
    return 0;
}

int machine_teardown(void **state)
{
    struct machine *p = *state;
    machine_close(p);
    machine_remove(p);
    free(p);
    return 0;
}

static char *content(int seed, size_t size)
{
    char *bytes = malloc(size + 1);
    if (!bytes)
        abort();
    memset(bytes, 'a' + seed % 26, size);
    snprintf(bytes, size, "%d", seed);
    return bytes;
}

int machine_put_as(struct object_store *store, const char *key, int seed, size_t size,
                   struct object_info *info)
{
    char *bytes = content(seed, size);
    struct memory_source memory = {.bytes = bytes, .length = size};
    struct object_source source = memory_source_of(&memory);
    int rc = store->ops->put(store->ctx, "media", key, NULL, &source, info);
    free(bytes);
    return rc;
}

struct object_info machine_put(struct machine *p, const char *key, int seed, size_t size)
{
    struct object_info info;
    if (machine_put_as(&p->store, key, seed, size, &info))
        fail_msg("put '%s': %s", key, error_last()->message);
    return info;
}

bool machine_reads(struct object_store *store, const char *key, const char *version, int seed,
                   size_t size)
{
    struct object object;
    if (store->ops->open(store->ctx, "media", key, version, "", NULL, &object))
        return false;
    char *expected = content(seed, size), *got = malloc(size + 1);
    size_t n = 0;
    int rc = object_descriptor(&object);
    if (!rc)
        rc = file_read_at(object.fd, key, got, size + 1, 0, &n);
    bool same = !rc && n == size && memcmp(expected, got, size) == 0;
    free(expected);
    free(got);
    object_close(&object);
    return same;
}

bool machine_has(struct object_store *store, const char *key)
{
    struct object_info info;
    return store->ops->head(store->ctx, "media", key, &info) == OK;
}

static int counted; /* nftw has no context */

static int count_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)ftw;
    counted += type == FTW_F;
    return 0;
}

int machine_files(const struct machine *p, const char *below)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", p->directory, below);
    counted = 0;
    return nftw(path, count_entry, 16, FTW_PHYS) ? -1 : counted;
}

static int age_by; /* nftw has no context */

static int age_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)type;
    (void)ftw;
    struct timespec time = {.tv_sec = st->st_mtime - age_by};
    return utimensat(AT_FDCWD, path, (struct timespec[2]){time, time}, AT_SYMLINK_NOFOLLOW);
}

void machine_age(const struct machine *p, int seconds)
{
    age_by = seconds;
    assert_int_equal(nftw(p->directory, age_entry, 16, FTW_PHYS), 0);
}

int64_t machine_collect(struct machine *p)
{
    int64_t freed;
    if (shared_store_collect(&p->store, NULL, &freed))
        fail_msg("collect: %s", error_last()->message);
    return freed;
}

void machine_key_file(const struct machine *p, const char *key, const char *name, char out[700])
{
    char encoded[NAME_MAX + 1];
    shared_key_encode(key, encoded);
    snprintf(out, 700, "%s/objects/media/%02x/%s/%s", p->directory, shared_key_fan(key), encoded,
             name);
}
