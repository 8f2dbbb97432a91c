/* What Lambda hands over comes from whoever may send to the queue, and from whoever may invoke the
 * function. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/sqs_event.h"
#include "shared/caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
        }
    arena_free(&arena);
    return 0;
}
