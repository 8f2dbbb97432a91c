/*
 * fill.h - changing the embedding model: fills an embedding space while another serves, then makes
 * it the serving one in one transaction.
 *
 * Other processes go on publishing and searching meanwhile, in the space that serves. What they
 * publish is filled in as well; when only that is left, they are held up for the seconds that the
 * rest takes (space_hold), or it would never end. Every batch is durable before the next is paid
 * for by the same thread: what was stopped or killed goes on where it was, and pays again at most
 * for the calls that were under way.
 */
#ifndef AEGIS_PROCESSOR_FILL_H
#define AEGIS_PROCESSOR_FILL_H

#include "processor/processor.h"
#include "shared/cancel.h"
#include "shared/embedder.h"

enum fill_phase { FILL_EMBEDS, FILL_INDEXES, FILL_SWITCHES };

struct fill_state {
    enum fill_phase phase;
    int64_t done, of;     /* chunks in the space, chunks there are */
    int64_t embedded;     /* by this run */
    int64_t calls;        /* by this run */
    int64_t cost_nanousd; /* of these; -1: not known */
    bool switched;
};

struct fill_options {
    const struct processor_ports *ports; /* queue and store are not used */
    const struct processor_settings *settings;
    struct embedder embedder;
    const struct cancel *cancel;
    /* Called from any of the threads, one at a time. May be NULL. */
    void (*progress)(void *ctx, const struct fill_state *state);
    void *ctx;
};

/*
 * Blocks until the space of options->embedder serves. Transient failures of the provider are tried
 * again as those of jobs are. ERR_BUSY: another process does this. ERR_SYSTEMIC: nothing can be
 * embedded until something is mended. ERR_PERMANENT: the model takes some passage for no good; the
 * text names its medium. ERR_CANCELLED. The old space goes on serving then, and what was filled
 * stays.
 */
int fill_run(const struct fill_options *options, struct fill_state *out);

/* Drops what is in a space, in steps; for one that does not serve. Errors as space_drop. */
int fill_drop(const struct database *db, int64_t space_id, const struct cancel *cancel);

#endif
