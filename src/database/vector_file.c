#include "database/vector_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/digest.h"
#include "shared/error.h"
#include "shared/file.h"

enum { HEADER_BYTES = 4096, VERSION = 1, BATCH = 64, OPEN_TRIES = 8 };
static const char MAGIC[8] = "AEGISVX";

/* ---- layout ---- */

static size_t metas_offset(void)
{
    return BLOCK_SLOTS * sizeof(int64_t);
}

static size_t codes_offset(void)
{
    return metas_offset() + BLOCK_SLOTS * sizeof(struct code_meta);
}

static size_t rows_offset(const struct vector_file *file)
{
    return codes_offset() + BLOCK_SLOTS * file->stride;
}

static uint64_t blocks_for(uint64_t slots)
{
    return (slots + BLOCK_SLOTS - 1) / BLOCK_SLOTS;
}

static off_t block_offset(const struct vector_file *file, uint64_t block)
{
    return HEADER_BYTES + (off_t)(block * file->block_bytes);
}

struct code_meta vector_file_meta(const struct vector_file *file, uint64_t slot)
{
    const void *metas = vector_file_block(file, slot) + metas_offset();
    return ((const struct code_meta *)metas)[slot % BLOCK_SLOTS];
}

const int8_t *vector_file_codes(const struct vector_file *file, uint64_t slot)
{
    const void *codes = vector_file_block(file, slot) + codes_offset();
    return (const int8_t *)codes + slot % BLOCK_SLOTS * file->stride;
}

const uint16_t *vector_file_row(const struct vector_file *file, uint64_t slot)
{
    const void *rows = vector_file_block(file, slot) + rows_offset(file);
    return (const uint16_t *)rows + slot % BLOCK_SLOTS * file->padded;
}

uint64_t vector_file_find(const struct vector_file *file, int64_t id, uint64_t from, uint64_t count)
{
    uint64_t step = 1, low = from, high = from; /* below low: smaller; at high: not, or the end */
    while (high < count && vector_file_id(file, high) < id) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    if (high > count)
        high = count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (vector_file_id(file, middle) < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- header ---- */

static uint64_t layout_check(const struct vector_layout *layout)
{
    struct digest d = digest_of(layout, sizeof *layout);
    uint64_t check;
    memcpy(&check, d.bytes, sizeof check);
    return check;
}

static void layout_init(struct vector_layout *layout, size_t dimension, const char *identity)
{
    memset(layout, 0, sizeof *layout); /* the padding too: it is compared and digested whole */
    memcpy(layout->magic, MAGIC, sizeof MAGIC);
    layout->byte_order = 0x01020304;
    layout->version = VERSION;
    layout->dimension = (uint32_t)dimension;
    layout->block_slots = BLOCK_SLOTS;
    snprintf(layout->identity, sizeof layout->identity, "%s", identity);
}

/* Without /proc every start looks like the same boot: a power cut then goes unnoticed here, and the
 * check of a row against its code (vector_search.c) is what is left. */
static void read_boot_id(char out[BOOT_ID])
{
    memset(out, 0, BOOT_ID);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, BOOT_ID - 1);
    if (n <= 0)
        memset(out, 0, BOOT_ID);
    close(fd);
}

static int write_header(int fd, const char *path, const struct vector_layout *layout)
{
    char page[HEADER_BYTES] = {0};
    struct vector_header *header = (struct vector_header *)(void *)page;
    header->layout = *layout;
    header->check = layout_check(layout);
    read_boot_id(header->boot);
    if (pwrite(fd, page, sizeof page, 0) == (ssize_t)sizeof page)
        return 0;
    return error_set_errno(errno ? errno : EIO, "cannot write the vector index '%s'", path);
}

static bool header_valid(int fd, const struct vector_file *file, const struct vector_layout *layout,
                         off_t size)
{
    struct vector_header header;
    size_t got = 0;
    if (file_read_at(fd, file->path, &header, sizeof header, 0, &got) || got != sizeof header)
        return false;
    uint64_t count = header.count;
    return size >= HEADER_BYTES && header.check == layout_check(layout) &&
           memcmp(&header.layout, layout, sizeof *layout) == 0 && !header.superseded &&
           header.dead <= count && header.synced <= count && count < UINT64_MAX / BLOCK_SLOTS &&
           (uint64_t)(size - HEADER_BYTES) / file->block_bytes >= blocks_for(count);
}

/* ---- opening ---- */

static int flock_retry(int fd, int operation)
{
    int rc;
    do
        rc = flock(fd, operation);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* Opens `path` and locks it; false in *same if another file took its place meanwhile. */
static int open_locked(const char *path, int *fd, struct stat *st, bool *same)
{
    struct stat named;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return error_set_errno(errno, "cannot open the vector index '%s'", path);
    if (flock_retry(*fd, LOCK_EX) < 0 || fstat(*fd, st) < 0) {
        int rc = error_set_errno(errno, "cannot lock the vector index '%s'", path);
        close(*fd);
        return rc;
    }
    *same = stat(path, &named) == 0 && named.st_ino == st->st_ino && named.st_dev == st->st_dev;
    return 0;
}

/* A new, empty file under another name. The caller renames it, closes *fd and frees *name; on
 * failure *name is NULL. */
static int make_beside(const char *path, const struct vector_layout *layout, char **name, int *fd)
{
    if (asprintf(name, "%s.new", path) < 0) {
        *name = NULL;
        return error_set(ERR_NO_MEMORY, NULL, "no memory for the name of a vector index");
    }
    unlink(*name); /* left by a crash: nobody has it open, as its maker holds the lock on `path` */
    *fd = open(*name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = *fd >= 0 ? write_header(*fd, *name, layout)
                      : error_set_errno(errno, "cannot make the vector index '%s'", *name);
    if (!rc)
        return 0;
    if (*fd >= 0)
        close(*fd);
    unlink(*name);
    free(*name);
    *name = NULL;
    return rc;
}

static int take_place(const char *name, const char *path)
{
    if (rename(name, path) == 0)
        return 0;
    int rc = error_set_errno(errno, "cannot replace the vector index '%s'", path);
    unlink(name);
    return rc;
}

static int put_empty(const char *path, const struct vector_layout *layout)
{
    char *name;
    int fd;
    int rc = make_beside(path, layout, &name, &fd);
    if (!name)
        return rc;
    close(fd);
    rc = take_place(name, path);
    free(name);
    return rc;
}

static int map_header(struct vector_file *file)
{
    void *page = mmap(NULL, HEADER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    if (page == MAP_FAILED)
        return error_set_errno(errno, "cannot map the vector index '%s'", file->path);
    file->header = page;
    return 0;
}

/* After a power cut: keeps the synced slots if they look whole. */
static bool recover(struct vector_file *file)
{
    struct vector_header *header = file->header;
    uint64_t count = header->synced, dead = 0;
    int64_t last = 0;
    for (uint64_t slot = 0; slot < count; slot++) {
        struct code_meta meta = vector_file_meta(file, slot);
        int64_t id = vector_file_id(file, slot);
        if (id <= last || !(meta.error <= 4) || !(meta.scale >= 0 && meta.scale <= 1))
            return false;
        last = id;
        dead += code_is_dead(meta);
    }
    header->count = count;
    header->dead = dead;
    header->last_id = last;
    return true;
}

/* The file is locked. ERR_CONFLICT: it was replaced by an empty one, open again. */
static int attach(struct vector_file *file, const struct vector_layout *layout, off_t size)
{
    char boot[BOOT_ID];
    if (size == 0) {
        int rc = write_header(file->fd, file->path, layout);
        return rc ? rc : map_header(file);
    }
    bool valid = header_valid(file->fd, file, layout, size);
    int rc = valid ? map_header(file) : 0;
    if (valid && !rc)
        rc = vector_file_map(file, vector_file_count(file));
    if (rc)
        return rc;
    read_boot_id(boot);
    if (valid && memcmp(boot, file->header->boot, BOOT_ID) == 0)
        return 0;
    if (valid && recover(file)) {
        memcpy(file->header->boot, boot, BOOT_ID);
        return 0;
    }
    rc = put_empty(file->path, layout);
    return rc ? rc : error_set(ERR_CONFLICT, NULL, "the vector index '%s' was damaged", file->path);
}

static void detach(struct vector_file *file)
{
    for (size_t i = 0; i < file->block_count; i++)
        munmap((void *)file->blocks[i], file->block_bytes);
    free(file->blocks);
    if (file->header)
        munmap(file->header, HEADER_BYTES);
    if (file->fd >= 0)
        close(file->fd);
    file->blocks = NULL;
    file->block_count = 0;
    file->header = NULL;
    file->fd = -1;
}

static int open_once(struct vector_file *file, const struct vector_layout *layout)
{
    struct stat st;
    bool same = false;
    int rc = open_locked(file->path, &file->fd, &st, &same);
    if (rc)
        return rc;
    if (same)
        rc = attach(file, layout, st.st_size);
    else
        rc = error_set(ERR_CONFLICT, NULL, "the vector index '%s' was replaced", file->path);
    if (rc)
        detach(file);
    else
        vector_file_unlock(file);
    return rc;
}

int vector_file_open(struct vector_file *file, const char *path, size_t dimension,
                     const char *identity)
{
    struct vector_layout layout;
    *file = (struct vector_file){.fd = -1,
                                 .dimension = dimension,
                                 .stride = code_stride(dimension),
                                 .padded = row_stride(dimension)};
    size_t bytes = rows_offset(file) + BLOCK_SLOTS * file->padded * sizeof(uint16_t);
    file->block_bytes = (bytes + HEADER_BYTES - 1) / HEADER_BYTES * HEADER_BYTES;
    file->path = strdup(path);
    if (!file->path)
        return error_set(ERR_NO_MEMORY, NULL, "no memory for the vector index '%s'", path);
    layout_init(&layout, dimension, identity);
    int rc = ERR_CONFLICT;
    for (int i = 0; i < OPEN_TRIES && rc == ERR_CONFLICT; i++)
        rc = open_once(file, &layout);
    if (rc)
        vector_file_close(file);
    return rc;
}

void vector_file_close(struct vector_file *file)
{
    if (!file->path)
        return;
    detach(file);
    free(file->path);
    file->path = NULL;
}

/* ---- locking and mapping ---- */

int vector_file_lock(struct vector_file *file)
{
    if (flock_retry(file->fd, LOCK_EX) < 0)
        return error_set_errno(errno, "cannot lock the vector index '%s'", file->path);
    if (!atomic_load(&file->header->superseded))
        return 0;
    vector_file_unlock(file);
    return error_set(ERR_CONFLICT, NULL, "the vector index '%s' was replaced", file->path);
}

void vector_file_unlock(struct vector_file *file)
{
    flock_retry(file->fd, LOCK_UN);
}

/* Rows are read here and there: no read-ahead, no mapping of their neighbours. */
static int map_block(struct vector_file *file, size_t block)
{
    char *at =
        mmap(NULL, file->block_bytes, PROT_READ, MAP_SHARED, file->fd, block_offset(file, block));
    if (at == MAP_FAILED)
        return error_set_errno(errno, "cannot map the vector index '%s'", file->path);
    size_t rows = (rows_offset(file) + HEADER_BYTES - 1) / HEADER_BYTES * HEADER_BYTES;
    if (rows < file->block_bytes)
        madvise(at + rows, file->block_bytes - rows, MADV_RANDOM);
    file->blocks[block] = at;
    return 0;
}

int vector_file_map(struct vector_file *file, uint64_t count)
{
    size_t wanted = blocks_for(count);
    struct stat st;
    if (wanted <= file->block_count)
        return 0;
    if (fstat(file->fd, &st) < 0 || st.st_size < block_offset(file, wanted))
        return error_set(ERR_IO, NULL, "the vector index '%s' is shorter than it says: delete it",
                         file->path);
    const char **blocks = realloc(file->blocks, wanted * sizeof *blocks);
    if (!blocks)
        return error_set(ERR_NO_MEMORY, NULL, "no memory to map the vector index '%s'", file->path);
    file->blocks = blocks;
    while (file->block_count < wanted) {
        int rc = map_block(file, file->block_count);
        if (rc)
            return rc;
        file->block_count++;
    }
    return 0;
}

/* ---- writing ---- */

static int write_at(const struct vector_file *file, const void *bytes, size_t length, off_t offset)
{
    const char *p = bytes;
    while (length > 0) {
        ssize_t n = pwrite(file->fd, p, length, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_errno(n < 0 ? errno : ENOSPC, "cannot write the vector index '%s'",
                                   file->path);
        p += n;
        length -= (size_t)n;
        offset += n;
    }
    return 0;
}

/* A run of slots within one block, as it goes to the file. */
struct run {
    uint64_t slot;
    size_t count;
    const int64_t *ids;
    const struct code_meta *metas;
    const int8_t *codes;
    const uint16_t *rows; /* padded */
};

static int write_run(const struct vector_file *file, const struct run *run)
{
    off_t at = block_offset(file, run->slot / BLOCK_SLOTS);
    off_t within = (off_t)(run->slot % BLOCK_SLOTS);
    off_t metas = at + (off_t)metas_offset() + within * (off_t)sizeof *run->metas;
    off_t codes = at + (off_t)codes_offset() + within * (off_t)file->stride;
    off_t row_bytes = (off_t)(file->padded * sizeof *run->rows);
    off_t rows = at + (off_t)rows_offset(file) + within * row_bytes;
    int rc = write_at(file, run->ids, run->count * sizeof *run->ids,
                      at + within * (off_t)sizeof *run->ids);
    if (!rc)
        rc = write_at(file, run->metas, run->count * sizeof *run->metas, metas);
    if (!rc)
        rc = write_at(file, run->codes, run->count * file->stride, codes);
    if (!rc)
        rc = write_at(file, run->rows, run->count * (size_t)row_bytes, rows);
    return rc;
}

static int grow(const struct vector_file *file, uint64_t slots)
{
    struct stat st;
    off_t wanted = block_offset(file, blocks_for(slots));
    if (fstat(file->fd, &st) == 0 && (st.st_size >= wanted || ftruncate(file->fd, wanted) == 0))
        return 0;
    return error_set_errno(errno, "cannot grow the vector index '%s'", file->path);
}

/* Where rows are coded before they are written. */
struct scratch {
    struct code_meta metas[BATCH];
    int8_t *codes;
    uint16_t *rows;
};

static int scratch_init(struct scratch *scratch, const struct vector_file *file, size_t count)
{
    size_t slots = count < BATCH ? count : BATCH;
    scratch->codes = malloc(slots * file->stride);
    scratch->rows = calloc(slots * file->padded, sizeof *scratch->rows);
    if (scratch->codes && scratch->rows)
        return 0;
    return error_set(ERR_NO_MEMORY, NULL, "no memory to append to the vector index '%s'",
                     file->path);
}

static void scratch_free(struct scratch *scratch)
{
    free(scratch->codes);
    free(scratch->rows);
}

static size_t code_run(const struct vector_file *file, struct scratch *scratch,
                       const uint16_t *rows, size_t count)
{
    size_t dead = 0;
    for (size_t i = 0; i < count; i++) {
        const uint16_t *row = rows + i * file->dimension;
        scratch->metas[i] = code_row(row, file->dimension, scratch->codes + i * file->stride);
        memcpy(scratch->rows + i * file->padded, row, file->dimension * sizeof *row);
        dead += code_is_dead(scratch->metas[i]);
    }
    return dead;
}

static size_t run_length(uint64_t slot, size_t left)
{
    size_t room = BLOCK_SLOTS - slot % BLOCK_SLOTS;
    size_t n = left < BATCH ? left : BATCH;
    return n < room ? n : room;
}

int vector_file_append(struct vector_file *file, const int64_t *ids, const uint16_t *rows,
                       size_t count)
{
    struct scratch scratch = {0};
    uint64_t slot = vector_file_count(file), dead = 0;
    int rc = scratch_init(&scratch, file, count);
    if (!rc)
        rc = grow(file, slot + count);
    for (size_t done = 0, n; !rc && done < count; done += n, slot += n) {
        n = run_length(slot, count - done);
        dead += code_run(file, &scratch, rows + done * file->dimension, n);
        struct run run = {.slot = slot,
                          .count = n,
                          .ids = ids + done,
                          .metas = scratch.metas,
                          .codes = scratch.codes,
                          .rows = scratch.rows};
        rc = write_run(file, &run);
    }
    if (!rc) {
        atomic_fetch_add(&file->header->dead, dead);
        atomic_store(&file->header->last_id, ids[count - 1]);
        atomic_store_explicit(&file->header->count, slot, memory_order_release);
    }
    scratch_free(&scratch);
    return rc;
}

int vector_file_kill(struct vector_file *file, uint64_t slot)
{
    struct code_meta dead = CODE_DEAD;
    off_t at = block_offset(file, slot / BLOCK_SLOTS) + (off_t)metas_offset() +
               (off_t)(slot % BLOCK_SLOTS * sizeof dead);
    int rc = write_at(file, &dead, sizeof dead, at);
    if (!rc)
        atomic_fetch_add(&file->header->dead, 1);
    return rc;
}

int vector_file_sync(struct vector_file *file)
{
    uint64_t count = vector_file_count(file);
    if (fdatasync(file->fd) < 0)
        return error_set_errno(errno, "cannot write out the vector index '%s'", file->path);
    file->header->synced = count;
    return 0;
}

/* ---- replacing ---- */

static int copy_living(const struct vector_file *from, struct vector_file *to, uint64_t *copied)
{
    uint64_t count = vector_file_count(from);
    int rc = 0;
    for (uint64_t slot = 0; slot < count && !rc; slot++) {
        struct code_meta meta = vector_file_meta(from, slot);
        int64_t id = vector_file_id(from, slot);
        if (code_is_dead(meta))
            continue;
        struct run run = {.slot = *copied,
                          .count = 1,
                          .ids = &id,
                          .metas = &meta,
                          .codes = vector_file_codes(from, slot),
                          .rows = vector_file_row(from, slot)};
        rc = write_run(to, &run);
        ++*copied;
    }
    return rc;
}

/* Fills the new file behind to->fd and makes it durable: it may be large, and dear to make again.
 */
static int fill(const struct vector_file *from, struct vector_file *to)
{
    uint64_t copied = 0, living = vector_file_count(from) - atomic_load(&from->header->dead);
    int rc = map_header(to);
    if (!rc)
        rc = grow(to, living + 1);
    if (!rc)
        rc = copy_living(from, to, &copied);
    if (!rc && to->header) {
        to->header->count = copied;
        to->header->last_id = atomic_load(&from->header->last_id);
        rc = vector_file_sync(to);
    }
    return rc;
}

int vector_file_replace(struct vector_file *file, bool keep)
{
    struct vector_file other = *file;
    char *name;
    other.blocks = NULL;
    other.block_count = 0;
    other.header = NULL;
    int rc = make_beside(file->path, &file->header->layout, &name, &other.fd);
    if (!name)
        return rc;
    if (keep)
        rc = fill(file, &other);
    if (rc)
        unlink(name);
    else
        rc = take_place(name, file->path);
    if (!rc)
        atomic_store(&file->header->superseded, 1);
    detach(&other);
    free(name);
    return rc;
}
