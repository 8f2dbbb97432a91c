#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapters/openai/internal.h"
#include "shared/base64.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(float) == 4,
               "embeddings travel as little-endian float32");

enum {
    MAX_INPUTS = 2048,           /* of one request, as the two below: the API's limits */
    MAX_INPUT_TOKENS = 8192,     /* of one input */
    MAX_REQUEST_TOKENS = 300000, /* of all inputs of one request */
    LEAST_TOKENS = 32,           /* a server that takes less than this is not worth cutting for */
    REQUEST_LIMIT = 64 << 20,
};

/* ---- tokens ------------------------------------------------------------------------------------
 */

/* In sixths of a token, by the kind of byte: OpenAI's encodings (cl100k, o200k) need about a
 * quarter of a token for a letter of English and rarely more than half of one in any spelling; up
 * to three digits share a token; a punctuation mark or a line break is one; a character beyond
 * ASCII rarely takes more than two thirds of a token for each of its bytes. */
static unsigned sixths(unsigned char c)
{
    if (c >= 0x80)
        return 4;
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
        return 3;
    if (c == ' ')
        return 1;
    return 6;
}

size_t embed_estimate_tokens(const char *text, size_t length)
{
    size_t sum = 0;
    for (size_t i = 0; i < length; i++)
        sum += sixths((unsigned char)text[i]);
    return (sum + 5) / 6;
}

/* Where to cut at the latest: back to the last white space if that is near, else to a whole
 * character. */
static size_t boundary(const char *text, size_t at)
{
    for (size_t i = at; i > 0 && at - i < 64; i--)
        if (text[i - 1] == ' ' || text[i - 1] == '\n' || text[i - 1] == '\t')
            return i;
    while (at > 0 && (text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

size_t embed_cut(const char *text, size_t length, size_t tokens)
{
    if (length <= tokens) /* no token is shorter than a byte */
        return length;
    size_t sum = 0;
    for (size_t i = 0; i < length; i++) {
        sum += sixths((unsigned char)text[i]);
        if (sum > tokens * 6)
            return boundary(text, i);
    }
    return length;
}

/* ---- vectors -----------------------------------------------------------------------------------
 */

/* Floats in so much base64; 0 if it cannot be. */
static size_t floats_in(const char *text, size_t length)
{
    if (length < 8 || length % 4)
        return 0;
    size_t padding = text[length - 1] != '=' ? 0 : text[length - 2] != '=' ? 1 : 2;
    size_t bytes = length / 4 * 3 - padding;
    return bytes % sizeof(float) ? 0 : bytes / sizeof(float);
}

size_t embed_decode(const char *text, size_t length, float *out, size_t capacity)
{
    size_t n = floats_in(text, length), groups = length / 4 - 1;
    if (n == 0 || n > capacity || length > REQUEST_LIMIT)
        return 0;
    unsigned char *bytes = (unsigned char *)out, last[3];
    char group[4];
    memcpy(group, text + 4 * groups, 4);
    for (size_t padding = length / 4 * 3 - n * sizeof(float); padding > 0; padding--)
        group[4 - padding] = 'A';
    if (!base64_groups(text, groups, bytes) || !base64_groups(group, 1, last))
        return 0;
    memcpy(bytes + 3 * groups, last, n * sizeof(float) - 3 * groups);
    return n;
}

bool embed_normalise(float *v, size_t dimension)
{
    float sums[8] = {0}, sum = 0; /* apart, so that they add up in parallel */
    size_t i = 0;
    for (; i + 8 <= dimension; i += 8)
        for (size_t k = 0; k < 8; k++)
            sums[k] += v[i + k] * v[i + k];
    for (; i < dimension; i++)
        sum += v[i] * v[i];
    for (size_t k = 0; k < 8; k++)
        sum += sums[k];
    if (!isfinite(sum) || sum <= 0)
        return false;
    float scale = 1 / sqrtf(sum);
    for (i = 0; i < dimension; i++)
        v[i] *= scale;
    return true;
}

/* ---- reading a reply ---------------------------------------------------------------------------
 */

struct reader {
    bool *seen;
    int dimension;
    int found; /* dimension of the vectors so far, 0 before the first */
};

static int malformed(const char *what)
{
    return error_set(ERR_INVALID, "malformed_reply", "%s", what);
}

/* The number of floats in *n; they are in `row` if there are as many as expected. */
static int read_base64(const struct reader *r, const char *text, size_t length, float *row,
                       size_t *n)
{
    *n = floats_in(text, length);
    if (*n != (size_t)r->dimension)
        return *n ? OK : malformed("an embedding is not base64 of floats");
    if (embed_decode(text, length, row, *n) != *n)
        return malformed("an embedding is not base64");
    return OK;
}

static int read_array(const struct reader *r, yyjson_val *array, float *row, size_t *n)
{
    size_t i, max;
    yyjson_val *number;
    *n = yyjson_arr_size(array);
    yyjson_arr_foreach(array, i, max, number)
    {
        if (!yyjson_is_num(number))
            return malformed("an embedding holds something that is no number");
        if (*n == (size_t)r->dimension)
            row[i] = (float)yyjson_get_num(number);
    }
    return *n ? OK : malformed("an embedding is empty");
}

static int read_item(struct reader *r, yyjson_val *item, size_t position, float *rows, size_t count)
{
    int64_t index = json_int_at(item, "index", (int64_t)position);
    yyjson_val *embedding = yyjson_obj_get(item, "embedding");
    size_t n = 0;
    if (index < 0 || index >= (int64_t)count || r->seen[index])
        return malformed("an embedding has an index that is out of range, or twice there");
    r->seen[index] = true;
    float *row = rows + (size_t)index * (size_t)r->dimension;
    int rc = yyjson_is_str(embedding)
                 ? read_base64(r, yyjson_get_str(embedding), yyjson_get_len(embedding), row, &n)
                 : read_array(r, embedding, row, &n);
    if (rc)
        return rc;
    if (r->found && (size_t)r->found != n)
        return malformed("the embeddings are of different lengths");
    r->found = (int)n;
    if (n == (size_t)r->dimension && !embed_normalise(row, n))
        return malformed("an embedding is zero or not finite");
    return OK;
}

static int read_items(struct reader *r, yyjson_val *root, float *rows, size_t count)
{
    yyjson_val *data = yyjson_obj_get(root, "data"), *item;
    size_t i, max;
    if (yyjson_arr_size(data) != count)
        return error_set(ERR_INVALID, "malformed_reply", "%zu embeddings came for %zu texts",
                         yyjson_arr_size(data), count);
    yyjson_arr_foreach(data, i, max, item)
    {
        int rc = read_item(r, item, i, rows, count);
        if (rc)
            return rc;
    }
    return OK;
}

int embed_read(struct buffer *body, float *rows, size_t count, int dimension, int *found,
               int64_t *tokens)
{
    struct reader r = {.dimension = dimension};
    yyjson_doc *doc = NULL;
    *found = 0;
    *tokens = 0;
    r.seen = calloc(count ? count : 1, sizeof *r.seen);
    int rc = r.seen ? json_parse_in_place(body, "the reply", &doc)
                    : error_set(ERR_NO_MEMORY, NULL, "out of memory for embeddings");
    if (!rc) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        int64_t total = json_int_at(root, "usage.total_tokens", 0);
        *tokens = json_int_at(root, "usage.prompt_tokens", total);
        rc = read_items(&r, root, rows, count);
    }
    *found = r.found;
    if (!rc && r.found != dimension)
        rc = error_set(ERR_SYSTEMIC, "wrong_dimension", "embeddings of %d numbers came", r.found);
    yyjson_doc_free(doc);
    free(r.seen);
    return rc;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

/* A stretch of the request's texts, each cut to so many tokens. */
struct batch {
    struct call *call;
    const struct embed_request *request;
    struct embed_result *result; /* of the whole request; its vectors are made when a reply comes,
                                    not held while thousands of requests wait */
    size_t tokens;
};

static size_t cut_length(const struct batch *b, size_t i)
{
    return embed_cut(b->request->texts[i], b->request->lengths[i], b->tokens);
}

/* Only text-embedding-3 models shorten their vectors on request. */
static bool may_ask_dimension(const char *model, int dimension)
{
    if (strncmp(model, "text-embedding-3", 16) != 0)
        return false;
    return dimension != (strstr(model, "large") ? 3072 : 1536);
}

static int write_request(const struct batch *b, size_t first, size_t count, struct buffer *out)
{
    struct call *call = b->call;
    const char *model = call->at->model;
    int rc = buffer_append_string(out, "{\"model\":");
    if (!rc)
        rc = json_append_string(out, model, strlen(model));
    if (!rc && !call_lacks(call, LACKS_BASE64))
        rc = buffer_append_string(out, ",\"encoding_format\":\"base64\"");
    if (!rc && may_ask_dimension(model, call->openai->dimension))
        rc = buffer_printf(out, ",\"dimensions\":%d", call->openai->dimension);
    if (!rc)
        rc = buffer_append_string(out, ",\"input\":[");
    for (size_t i = first; i < first + count && !rc; i++) {
        if (i > first)
            rc = buffer_append_char(out, ',');
        if (!rc)
            rc = json_append_string(out, b->request->texts[i], cut_length(b, i));
    }
    return rc ? rc : buffer_append_string(out, "]}");
}

static int wrong_dimension(const struct call *call, int found)
{
    return error_set(ERR_SYSTEMIC, "wrong_dimension",
                     "model '%s' at '%s' gives embeddings of %d numbers, but %d are set; set the "
                     "dimension to %d or choose another model",
                     call->at->model, call->at->base_url, found, call->openai->dimension, found);
}

static int make_vectors(const struct batch *b)
{
    size_t row = (size_t)b->result->dimension * sizeof(float);
    if (!b->result->vectors)
        b->result->vectors = arena_array(b->call->arena, b->request->count, row);
    return b->result->vectors ? OK : ERR_NO_MEMORY;
}

static int read_reply(const struct batch *b, struct http_response *reply, size_t first,
                      size_t count)
{
    struct call *call = b->call;
    int found = 0, rc = make_vectors(b);
    if (!rc)
        rc = embed_read(&reply->body, b->result->vectors + first * (size_t)b->result->dimension,
                        count, b->result->dimension, &found, &call->record.input_tokens);
    if (rc == ERR_SYSTEMIC)
        rc = wrong_dimension(call, found);
    else if (rc == ERR_INVALID)
        rc = call_malformed(call, error_last()->message);
    return call_record(call, rc);
}

static int embed_once(const struct batch *b, size_t first, size_t count, bool *again)
{
    struct buffer body;
    struct http_response reply = {0};
    size_t bytes = 256;
    for (size_t i = first; i < first + count; i++)
        bytes += b->request->lengths[i] + 64;
    buffer_init(&body, REQUEST_LIMIT);
    int rc = buffer_reserve(&body, bytes < REQUEST_LIMIT ? bytes : 0);
    if (!rc)
        rc = write_request(b, first, count, &body);
    if (!rc)
        rc = call_post_json(b->call, "/embeddings", &body, &reply);
    *again = rc == ERR_PERMANENT && call_refused_parameter(&reply, "encoding_format") &&
             call_remember(b->call, LACKS_BASE64);
    if (!rc)
        rc = read_reply(b, &reply, first, count);
    http_response_free(&reply);
    buffer_free(&body);
    return rc;
}

/* Texts that are too long for the server after all, together or alone, are halved. */
static int embed_stretch(const struct batch *b, size_t first, size_t count)
{
    bool again;
    int rc = embed_once(b, first, count, &again);
    if (again)
        rc = embed_once(b, first, count, &again);
    if (rc != ERR_PERMANENT || strcmp(error_last()->reason, "context_length_exceeded") != 0)
        return rc;
    struct batch smaller = *b;
    if (count > 1) {
        rc = embed_stretch(b, first, count / 2);
        return rc ? rc : embed_stretch(b, first + count / 2, count - count / 2);
    }
    smaller.tokens = b->tokens / 2;
    return smaller.tokens < LEAST_TOKENS ? rc : embed_stretch(&smaller, first, count);
}

/* How many texts from `first` on go into one request. */
static size_t stretch(const struct batch *b, size_t first)
{
    const struct embed_request *r = b->request;
    size_t bytes = 0, tokens = 0, n = 0;
    for (size_t i = first; i < r->count && n < MAX_INPUTS; i++, n++) {
        bytes += r->lengths[i];
        if (bytes <= MAX_REQUEST_TOKENS) /* no token is shorter than a byte */
            continue;
        if (tokens == 0) /* from here on it has to be estimated */
            for (size_t k = first; k < i; k++)
                tokens += embed_estimate_tokens(r->texts[k], cut_length(b, k));
        tokens += embed_estimate_tokens(r->texts[i], cut_length(b, i));
        if (tokens > MAX_REQUEST_TOKENS)
            break;
    }
    return n ? n : 1;
}

int openai_embed(void *ctx, const struct embed_request *request, const struct cancel *cancel,
                 struct arena *arena, struct model_calls *calls, struct embed_result *out)
{
    struct openai *openai = ctx;
    struct call call = call_begin(openai, MODEL_EMBED, cancel, arena, calls);
    struct batch b = {.call = &call, .request = request, .result = out, .tokens = MAX_INPUT_TOKENS};
    *out = (struct embed_result){.dimension = openai->dimension};
    int rc = OK;
    for (size_t first = 0; first < request->count && !rc;) {
        size_t n = stretch(&b, first);
        rc = embed_stretch(&b, first, n);
        first += n;
    }
    return rc;
}
