/* What a collector answers, and lists as OpenTelemetry's environment variables have them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/otlp_json.h"
#include "server/otlp_pairs.h"
#include "shared/caps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void read_pairs(const char *text)
{
    struct arena arena;
    struct http_header *pairs;
    size_t count;
    arena_init(&arena, MIB(16));
    if (!otlp_pairs_parse("a setting", text, &arena, &pairs, &count))
        for (size_t i = 0; i < count; i++)
            expect(*pairs[i].name && !strpbrk(pairs[i].name, "\r\n") &&
                   !strpbrk(pairs[i].value, "\r\n"));
    arena_free(&arena);
}

/* Labels come from names of models, which are read back for an export. */
static void labels_go_round(const char *text)
{
    char labels[LABELS_TEXT] = "", name[LABEL_NAME_TEXT], value[LABELS_TEXT];
    const char *at = labels;
    labels_add(labels, "model", text);
    expect(labels_next(&at, name, value) && !strcmp(name, "model"));
    expect(!labels_next(&at, name, value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[64];
    int64_t count;
    char *text = strndup((const char *)data, size);
    expect(text != NULL);
    if (otlp_json_rejected((const char *)data, size, &count, why, sizeof why))
        expect(count > 0 && memchr(why, '\0', sizeof why));
    read_pairs(text);
    labels_go_round(text);
    free(text);
    return 0;
}
