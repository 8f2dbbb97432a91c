/*
 * embeddings.c - the bag of a text's words, hashed into a vector ("Feature Hashing for Large Scale
 * Multitask Learning", Weinberger et al. 2009): texts that share words point the same way, so that
 * tests can search.
 */
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "fake.h"
#include "shared/json.h"

struct input {
    struct slice text;  /* or */
    size_t token_count; /* an array of tokens */
};

struct wanted {
    const char *model;
    int dimension;
    bool base64;
    struct input *inputs;
    size_t count;
    int64_t tokens;
};

/* ---- vectors -----------------------------------------------------------------------------------
 */

/* One component of a vector: first what the words count for, in quarters, then the number. */
union component {
    int32_t count;
    float value;
};

enum { WORD = 4, SHORT_WORD = 1 /* "the", "of", "and" say little */ };

enum { PLACES = 2 }; /* of each word: what one shares with another word, the other hardly does */

/* Without branches: half of the signs are negative, and no processor guesses which. */
static void add_word(union component *v, int dimension, uint32_t hash, size_t length)
{
    int32_t weight = length < 4 ? SHORT_WORD : WORD;
    for (int i = 0; i < PLACES; i++) {
        hash = hash * 1664525u + 1013904223u;
        int32_t negative = (int32_t)(hash >> 7 & 1) - 1; /* -1: negate */
        v[(uint64_t)hash * (uint32_t)dimension >> 32].count += (weight ^ negative) - negative;
    }
}

/* Letters (in lower case), digits and everything beyond ASCII; 0 for what stands between words. */
static unsigned char folded[256];
static pthread_once_t folded_once = PTHREAD_ONCE_INIT;

static void make_folded(void)
{
    for (int c = 0; c < 256; c++)
        folded[c] = (unsigned char)(c >= 0x80 ? c : isalnum(c) ? tolower(c) : 0);
}

static void bag_of_words(const struct slice *text, union component *v, int dimension)
{
    const char *p = text->text, *end = p + text->length;
    pthread_once(&folded_once, make_folded);
    while (p < end) {
        uint32_t hash = 2166136261u; /* FNV-1a */
        const char *begin = p;
        for (unsigned char c; p < end && (c = folded[(unsigned char)*p]); p++)
            hash = (hash ^ c) * 16777619u;
        if (p > begin)
            add_word(v, dimension, hash, (size_t)(p - begin));
        p++; /* what ended the word */
    }
}

/* Eight sums side by side, which the compiler makes one vector of. */
static float sum_of_squares(const union component *v, int dimension)
{
    float sums[8] = {0}, sum = 0;
    int i = 0;
    for (; i + 8 <= dimension; i += 8)
        for (int k = 0; k < 8; k++)
            sums[k] += (float)v[i + k].count * (float)v[i + k].count;
    for (int k = 0; i + k < dimension; k++)
        sums[k] += (float)v[i + k].count * (float)v[i + k].count;
    for (int k = 0; k < 8; k++)
        sum += sums[k];
    return sum;
}

static void normalise(union component *v, int dimension)
{
    float sum = sum_of_squares(v, dimension);
    if (sum == 0)
        sum = (float)(v[0].count = 1);
    float scale = 1 / sqrtf(sum);
    for (int i = 0; i < dimension; i++)
        v[i].value = (float)v[i].count * scale;
}

static void embed(const struct input *input, union component *v, int dimension)
{
    memset(v, 0, (size_t)dimension * sizeof *v);
    if (input->text.text)
        bag_of_words(&input->text, v, dimension);
    else
        add_word(v, dimension, (uint32_t)input->token_count, 8);
    normalise(v, dimension);
}

/* ---- writing -----------------------------------------------------------------------------------
 */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static char pairs[4096][2];
static pthread_once_t pairs_once = PTHREAD_ONCE_INIT;

static void make_pairs(void)
{
    for (int i = 0; i < 4096; i++)
        memcpy(pairs[i], (char[]){digits[i >> 6], digits[i & 63]}, 2);
}

#if defined(__x86_64__)
/* W. Mula, D. Lemire, "Faster Base64 Encoding and Decoding Using AVX2 Instructions", ACM
 * Transactions on the Web 12 (2018), section 5. Returns how many of the bytes are done. */
__attribute__((target("avx2"))) static size_t encode_avx2(const unsigned char *p, size_t length,
                                                          char *to)
{
    const __m256i spread = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10));
    const __m256i shifts = _mm256_broadcastsi128_si256(
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0));
    size_t done = 0;
    for (; length - done >= 28; done += 24, p += 24, to += 32) {
        __m256i x = _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(p + 12)),
                                     _mm_loadu_si128((const __m128i *)p));
        x = _mm256_shuffle_epi8(x, spread);
        __m256i odd = _mm256_mulhi_epu16(_mm256_and_si256(x, _mm256_set1_epi32(0x0fc0fc00)),
                                         _mm256_set1_epi32(0x04000040));
        __m256i even = _mm256_mullo_epi16(_mm256_and_si256(x, _mm256_set1_epi32(0x003f03f0)),
                                          _mm256_set1_epi32(0x01000010));
        x = _mm256_or_si256(odd, even);
        __m256i range = _mm256_subs_epu8(x, _mm256_set1_epi8(51));
        __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), x);
        range = _mm256_or_si256(range, _mm256_and_si256(upper, _mm256_set1_epi8(13)));
        x = _mm256_add_epi8(_mm256_shuffle_epi8(shifts, range), x);
        _mm256_storeu_si256((__m256i *)to, x);
    }
    return done;
}
#endif

/* RFC 4648 base64, and fast: at the rate asked of this server OpenSSL's is the limit. */
static void append_base64(struct buffer *out, const void *bytes, size_t length)
{
    pthread_once(&pairs_once, make_pairs);
    if (buffer_reserve(out, (length + 2) / 3 * 4))
        return;
    const unsigned char *p = bytes;
    char *to = out->data + out->length;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        size_t done = encode_avx2(p, length, to);
        p += done;
        to += done / 3 * 4;
        length -= done;
    }
#endif
    for (; length >= 3; length -= 3, p += 3, to += 4) {
        memcpy(to, pairs[p[0] << 4 | p[1] >> 4], 2);
        memcpy(to + 2, pairs[(p[1] & 15) << 8 | p[2]], 2);
    }
    if (length) {
        unsigned second = length > 1 ? p[1] : 0;
        memcpy(to, pairs[p[0] << 4 | second >> 4], 2);
        to[2] = length > 1 ? digits[(second & 15) << 2] : '=';
        to[3] = '=';
        to += 4;
    }
    out->length = (size_t)(to - out->data);
    *to = '\0';
}

static void append_floats(struct buffer *out, const union component *v, int dimension)
{
    buffer_append_char(out, '[');
    for (int i = 0; i < dimension; i++)
        buffer_printf(out, i ? ",%.9g" : "%.9g", (double)v[i].value);
    buffer_append_char(out, ']');
}

static void append_embedding(struct buffer *out, const struct wanted *w, size_t index,
                             union component *v, enum fault fault)
{
    int dimension = fault == FAULT_WRONG_DIMENSION ? w->dimension / 2 : w->dimension;
    embed(&w->inputs[index], v, dimension);
    if (fault == FAULT_NOT_FINITE && index == 0)
        v[0].value = NAN;
    buffer_append_string(out, "{\"object\":\"embedding\",\"index\":");
    reply_number(out, (int64_t)index);
    buffer_append_string(out, ",\"embedding\":");
    if (w->base64) {
        buffer_append_char(out, '"');
        append_base64(out, v, (size_t)dimension * sizeof *v);
        buffer_append_char(out, '"');
    } else {
        append_floats(out, v, dimension);
    }
    buffer_append_char(out, '}');
}

static void write_reply(struct exchange *x, const struct wanted *w)
{
    struct buffer *out = &x->reply;
    union component *v = malloc((size_t)w->dimension * sizeof *v);
    size_t count = w->count - (x->fault == FAULT_MISSING_ITEM);
    if (!v)
        return;
    if (w->base64)
        buffer_reserve(out, count * ((size_t)w->dimension * 16 / 3 + 80) + 256);
    buffer_append_string(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_append_char(out, ',');
        append_embedding(out, w, x->fault == FAULT_REVERSED ? count - 1 - i : i, v, x->fault);
    }
    buffer_append_string(out, "],\"model\":\"");
    buffer_append_string(out, w->model);
    buffer_append_string(out, "\",\"usage\":{\"prompt_tokens\":");
    reply_number(out, w->tokens);
    buffer_append_string(out, ",\"total_tokens\":");
    reply_number(out, w->tokens);
    buffer_append_string(out, "}}");
    free(v);
    x->billed_tokens = w->tokens;
    x->embedded = (int64_t)w->count;
    snprintf(x->embed_model, sizeof x->embed_model, "%s", w->model);
    x->status = 200;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static bool read_item(struct exchange *x, yyjson_val *item, struct wanted *w)
{
    struct input *input = &w->inputs[w->count];
    int64_t tokens;
    if (request_text(item, &input->text)) {
        tokens = tokens_of(input->text.length);
    } else {
        input->text.text = NULL;
        input->token_count = yyjson_arr_size(item);
        tokens = (int64_t)input->token_count;
    }
    if (tokens == 0) {
        reply_invalid(x, "input", NULL, "Invalid 'input[%zu]': input cannot be an empty string.",
                      w->count);
        return false;
    }
    if (tokens > EMBED_INPUT_TOKENS) {
        reply_invalid(x, "input", NULL,
                      "This model's maximum context length is %d tokens, however you requested "
                      "%lld tokens (%lld in your prompt; 0 for the completion). Please reduce your "
                      "prompt; or completion length.",
                      EMBED_INPUT_TOKENS, (long long)tokens, (long long)tokens);
        return false;
    }
    w->tokens += tokens;
    w->count++;
    return true;
}

static bool read_inputs(struct exchange *x, const struct request *r, struct wanted *w)
{
    yyjson_val *input = yyjson_obj_get(r->json, "input"), *item;
    size_t n = yyjson_is_str(input) || yyjson_is_int(yyjson_arr_get(input, 0))
                   ? 1
                   : yyjson_arr_size(input);
    if (n == 0 || n > EMBED_INPUTS) {
        reply_invalid(x, "input", NULL,
                      n ? "Invalid 'input': array too long. Expected an array "
                          "with maximum length 2048."
                        : "'$.input' is invalid. Please check the API reference: "
                          "https://platform.openai.com/docs/api-reference.");
        return false;
    }
    w->inputs = calloc(n, sizeof *w->inputs);
    if (!w->inputs)
        return false;
    if (n == 1 && (yyjson_is_str(input) || yyjson_is_int(yyjson_arr_get(input, 0))))
        return read_item(x, input, w);
    size_t i, max;
    yyjson_arr_foreach(input, i, max, item) if (!read_item(x, item, w)) return false;
    return true;
}

static bool read_dimension(struct exchange *x, yyjson_val *body, struct wanted *w)
{
    int full = models_dimension(w->model);
    int64_t asked = json_int_at(body, "dimensions", full);
    w->dimension = (int)asked;
    if (yyjson_obj_get(body, "dimensions") && strcmp(w->model, "text-embedding-ada-002") == 0) {
        reply_invalid(x, "dimensions", NULL, "This model does not support specifying dimensions.");
        return false;
    }
    if (asked >= 1 && asked <= full)
        return true;
    reply_invalid(x, "dimensions", NULL,
                  "Invalid value for 'dimensions' = %lld. Must be less than or equal to %d.",
                  (long long)asked, full);
    return false;
}

static bool check_fields(struct exchange *x, yyjson_val *body)
{
    size_t i, max;
    yyjson_val *name, *value;
    yyjson_obj_foreach(body, i, max, name, value)
    {
        const char *key = yyjson_get_str(name);
        if (strcmp(key, "input") == 0 || strcmp(key, "model") == 0 || strcmp(key, "user") == 0 ||
            strcmp(key, "dimensions") == 0 || strcmp(key, "encoding_format") == 0)
            continue;
        reply_invalid(x, NULL, NULL, "Unrecognized request argument supplied: %s", key);
        return false;
    }
    return true;
}

static bool read_wanted(struct exchange *x, const struct request *r, struct wanted *w)
{
    const char *format = json_string_at(r->json, "encoding_format", "float");
    w->model = json_string_at(r->json, "model", NULL);
    w->base64 = strcmp(format, "base64") == 0;
    if (!w->model) {
        reply_invalid(x, NULL, NULL, "you must provide a model parameter");
        return false;
    }
    if (!w->base64 && strcmp(format, "float") != 0) {
        reply_invalid(x, "encoding_format", NULL,
                      "'%s' is not one of ['float', 'base64'] - 'encoding_format'", format);
        return false;
    }
    return check_fields(x, r->json) &&
           model_accept(x, w->model, MODEL_EMBEDDING, MODEL_EMBEDDING) &&
           read_dimension(x, r->json, w) && read_inputs(x, r, w);
}

void embeddings_create(struct exchange *x)
{
    struct request r;
    struct wanted w = {0};
    if (!request_open(x, &r))
        return;
    if (read_wanted(x, &r, &w)) {
        if (w.tokens > EMBED_REQUEST_TOKENS)
            reply_invalid(x, NULL, "max_tokens_per_request",
                          "Requested %lld tokens, max %d tokens per request", (long long)w.tokens,
                          EMBED_REQUEST_TOKENS);
        else
            write_reply(x, &w);
    }
    free(w.inputs);
    request_close(&r);
}
