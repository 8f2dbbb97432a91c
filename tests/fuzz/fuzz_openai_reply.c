/*
 * What a server may answer: chat completions, responses, transcripts, embeddings, summaries. The
 * first byte picks the reader; what it accepts has to keep its promises.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"
#include "shared/summary_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { DURATION_MS = 60000, COUNT = 2, DIMENSION = 3 };

static void chat(const char *text, size_t length, struct arena *arena, bool responses)
{
    struct chat_reply reply;
    struct summary summary;
    const char *object;
    size_t object_length;
    yyjson_doc *doc;
    if (json_parse(text, length, "reply", &doc))
        return;
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc = responses ? chat_read_response(root, arena, &reply)
                       : chat_read_completion(root, arena, &reply);
    if (!rc) {
        REQUIRE(reply.text && reply.refusal);
        if (chat_find_object(reply.text, &object, &object_length)) {
            REQUIRE(object[0] == '{' && object[object_length - 1] == '}');
            summary_json_parse(object, object_length, arena, &summary);
        }
    }
    yyjson_doc_free(doc);
}

static void transcript(const char *text, size_t length, struct arena *arena)
{
    struct transcribe_result r;
    struct transcribe_usage usage;
    if (transcribe_read(text, length, DURATION_MS, arena, &r, &usage))
        return;
    for (size_t i = 0; i < r.count; i++) {
        const struct transcript_segment *s = &r.segments[i];
        REQUIRE(s->start_ms >= 0 && s->start_ms <= s->end_ms && s->end_ms <= DURATION_MS);
        REQUIRE(s->text[0] && s->speaker);
    }
}

static void embeddings(const char *text, size_t length)
{
    float rows[COUNT * DIMENSION] = {0};
    int found;
    int64_t tokens;
    struct buffer body;
    buffer_init(&body, MIB(16));
    REQUIRE(buffer_append(&body, text, length) == 0);
    int rc = embed_read(&body, rows, COUNT, DIMENSION, &found, &tokens);
    buffer_free(&body);
    if (rc)
        return;
    for (int r = 0; r < COUNT; r++) {
        double sum = 0;
        for (int k = 0; k < DIMENSION; k++)
            sum += (double)rows[r * DIMENSION + k] * rows[r * DIMENSION + k];
        REQUIRE(fabs(sum - 1) < 1e-3);
    }
}

static void cut(const char *text, size_t length)
{
    size_t n = embed_cut(text, length, 64);
    REQUIRE(n <= length);
    REQUIRE(n <= 64 || embed_estimate_tokens(text, n) <= 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    if (size < 1)
        return 0;
    arena_init(&arena, 16 << 20);
    const char *text = (const char *)data + 1;
    switch (data[0] % 5) {
    case 0:
    case 1:
        chat(text, size - 1, &arena, data[0] % 5);
        break;
    case 2:
        transcript(text, size - 1, &arena);
        break;
    case 3:
        embeddings(text, size - 1);
        break;
    default:
        cut(text, size - 1);
        break;
    }
    arena_free(&arena);
    return 0;
}
