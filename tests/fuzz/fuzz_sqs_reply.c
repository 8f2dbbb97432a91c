/* Whatever SQS says, its messages are usable and their receipts read back as they were written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/aws/queue_sqs_internal.h"
#include "shared/caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void receipt_goes_round(const struct sqs_message *m)
{
    struct arena arena;
    struct sqs_message again;
    const char *body;
    char *storage;
    arena_init(&arena, MIB(16));
    char *receipt = sqs_receipt_format(&arena, m, &body);
    expect(receipt && !strcmp(body, m->body) && strlen(body) == m->length);
    expect(sqs_receipt_parse(receipt, &storage, &again) == 0);
    expect(!strcmp(again.handle, m->handle) && !strcmp(again.id, m->id));
    expect(again.receive_count == m->receive_count && again.sent_ms == m->sent_ms);
    expect(!strcmp(again.group, m->group) && !strcmp(again.trace, m->trace));
    expect(!strcmp(again.traceparent, m->traceparent));
    expect(again.payload == m->payload && !strcmp(again.body, m->body));
    free(storage);
    arena_free(&arena);
}

static void read_reply(const char *text, size_t size)
{
    struct sqs_message m[SQS_BATCH];
    struct sqs_outcome outcomes[SQS_BATCH];
    yyjson_doc *doc;
    if (json_parse(text, size, "a reply", &doc))
        return;
    size_t n = sqs_messages_parse(yyjson_doc_get_root(doc), m);
    expect(n <= SQS_BATCH);
    for (size_t i = 0; i < n; i++)
        receipt_goes_round(&m[i]);
    sqs_outcomes_parse(yyjson_doc_get_root(doc), outcomes, SQS_BATCH);
    for (size_t i = 0; i < SQS_BATCH; i++)
        expect(!outcomes[i].ok || outcomes[i].answered);
    yyjson_doc_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sqs_message m;
    char *storage, *text = strndup((const char *)data, size);
    expect(text != NULL);
    if (!sqs_receipt_parse(text, &storage, &m))
        receipt_goes_round(&m);
    free(storage);
    free(text);
    read_reply((const char *)data, size);
    return 0;
}
