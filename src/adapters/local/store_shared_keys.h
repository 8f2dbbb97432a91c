/*
 * store_shared_keys.h - the directories of the keys and the files in them.
 *
 * The name of a key's directory is the key with every byte but lower case letters, digits, '-', '_'
 * and (not at the start) '.' written as %xx; or, where that is too long for a file name, '=' and
 * the SHA-256 of the key in hex. Its fan is the first byte of that digest.
 */
#ifndef AEGIS_ADAPTERS_LOCAL_STORE_SHARED_KEYS_H
#define AEGIS_ADAPTERS_LOCAL_STORE_SHARED_KEYS_H

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "adapters/local/store_shared_internal.h"
#include "shared/random.h"

enum {
    SHARED_SMALL_BYTES = 32 * 1024, /* up to this size bytes live in the record */
    SHARED_OLDEST = 128,            /* versions that one look at a directory tells of */
    SEQUENCER_TEXT = 17,
    VERSION_TEXT = SEQUENCER_TEXT + TRACE_ID_TEXT, /* "<sequencer>-<id>" */
    DATA_NAME_TEXT = TRACE_ID_TEXT + 5
};

/* ---- names ---- */

void shared_key_encode(const char *key, char out[NAME_MAX + 1]);
/* False if the name does not tell the key (a digest, or no name of ours). */
bool shared_key_decode(const char *name, char key[CAP_KEY + 1]);

unsigned shared_key_fan(const char *key);

static inline bool shared_is_removal(uint64_t sequencer)
{
    return sequencer & 1;
}

void shared_sequencer_format(uint64_t sequencer, char out[SEQUENCER_TEXT]);
/* Exactly the text that shared_sequencer_format gives. */
bool shared_sequencer_parse(const char *text, uint64_t *out);

/* "<sequencer>-<id>"; false if it is not formed so. */
bool shared_version_parse(const char *version_id, uint64_t *sequencer, char id[TRACE_ID_TEXT]);

void shared_data_name(const char *id, char out[DATA_NAME_TEXT]);
/* "<id>.data" */
bool shared_data_parse(const char *name, char id[TRACE_ID_TEXT]);

/* ---- a key's directory ---- */

/* As it was when it was opened. */
struct key_directory {
    int fd; /* -1: it is not there */
    char path[PATH_MAX];
    uint64_t newest;  /* the greatest sequencer; 0: there is none */
    uint64_t removed; /* the greatest of a removal; 0: there is none */
    size_t count;     /* of the least sequencers, rising: */
    uint64_t oldest[SHARED_OLDEST];
};

/* Opens and lists it. Not there: fd is -1, and the folder was seen to be there. */
int shared_key_open(const struct shared_store *store, const char *bucket, const char *key,
                    struct key_directory *out);
int shared_key_open_path(const struct shared_store *store, const char *path,
                         struct key_directory *out);

/* As shared_key_open; makes it, durably, if it is not there or was never put to. */
int shared_key_make(const struct shared_store *store, const char *bucket, const char *key,
                    struct key_directory *out);
void shared_key_close(struct key_directory *d);

/* fsync(2) of it. */
int shared_key_sync(const struct shared_store *store, const struct key_directory *d);

/* The least even (a put) or odd (a removal) sequencer above all there and not below the time. */
uint64_t shared_next_sequencer(const struct key_directory *d, int64_t now_ms, bool removal);

/* ---- records ---- */

struct record {
    struct object_info info;
    char id[TRACE_ID_TEXT];
    bool small; /* the bytes are in the record itself */
};

/* The version's line. The caller frees *out. */
int shared_record_format(const struct record *r, char **out);

/*
 * Reads a version (not a removal). With `bytes` also its bytes, if they are small; the caller frees
 * them. `missing` tells that it is gone (ERR_NOT_FOUND), which a concurrent removal explains.
 * Others: ERR_SCHEMA, ERR_IO "record_damaged".
 */
int shared_record_read(const struct shared_store *store, const struct key_directory *d,
                       uint64_t sequencer, struct record *out, void **bytes);

/* Deletes the files of a version or removal; failing, it is left to a later sweep. *freed grows by
 * the bytes. */
void shared_version_delete(const struct shared_store *store, const struct key_directory *d,
                           uint64_t sequencer, int64_t *freed);

/* Deletes what a removal or the grace gives free among d->oldest; false if there may be more. */
bool shared_key_expire(const struct shared_store *store, const struct key_directory *d,
                       int64_t *freed);

/* The version asked for ("" the newest), with its bytes or descriptor if `open`. ERR_NOT_FOUND. */
int shared_find(const struct shared_store *store, const char *bucket, const char *key,
                const char *version_id, bool open, struct object *out);

#endif
