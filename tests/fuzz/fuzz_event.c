/* Event documents come from outside: no bytes may crash the parser, and what it gives must hold the
 * promises that the database relies on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ingestion/event.h"
#include "shared/caps.h"
#include "shared/object_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct media_event *e)
{
    if (strlen(e->bucket) > CAP_BUCKET || object_key_check(e->key) ||
        strlen(e->object_version) > CAP_VERSION_ID || strlen(e->etag) > CAP_ETAG ||
        strlen(e->sequencer) > CAP_SEQUENCER || strlen(e->content_type) > CAP_ETAG ||
        strlen(e->trace_id) != 32)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct event_document document;
    arena_init(&arena, MIB(64));
    if (event_parse((const char *)data, size, 0, NULL, &arena, &document) == 0)
        for (size_t i = 0; i < document.count; i++)
            check(&document.events[i]);
    arena_free(&arena);
    return 0;
}
