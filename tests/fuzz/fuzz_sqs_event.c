/* What Lambda hands over comes from whoever may send to the queue, and from whoever may invoke the
 * function. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As an adopted message it has a receipt that reads back as it was written. */
static void check_message(const struct sqs_record *r)
{
    struct arena arena;
    struct sqs_message m, again;
    const char *body;
    char *storage = NULL;
    if (!sqs_message_of_record(r, &m))
        return;
    arena_init(&arena, MIB(16));
    const char *receipt = sqs_receipt_format(&arena, &m, &body);
    if (!receipt || sqs_receipt_parse(receipt, &storage, &again) || strcmp(again.id, m.id) ||
        strcmp(again.handle, m.handle) || strcmp(again.body, m.body))
        abort();
    free(storage);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct sqs_event event;
    arena_init(&arena, MIB(64));
    if (sqs_event_parse((const char *)data, size, &arena, &event) == 0)
        for (size_t i = 0; i < event.count; i++) {
            const struct sqs_record *r = &event.records[i];
            if (!*r->message_id || !*r->receipt_handle || strlen(r->body) != r->length ||
                r->receive_count < 1 || r->sent_ms < 0)
                abort();
            check_message(r);
        }
    arena_free(&arena);
    return 0;
}
