#include "database/postgres_columns.h"

#include <string.h>

static const size_t widths[] = {
    [COLUMN_INT] = sizeof(int64_t),           [COLUMN_BOOL] = sizeof(int64_t),
    [COLUMN_TEXT] = sizeof(const char *),     [COLUMN_TEXTN] = sizeof(struct pg_bytes),
    [COLUMN_BYTES] = sizeof(struct pg_bytes), [COLUMN_DIGEST] = sizeof(struct pg_bytes),
    [COLUMN_WORDS] = sizeof(struct pg_bytes),
};

static void put_cell(void *cells, size_t i, const struct column *column, const char *row)
{
    const void *from = row + column->offset;
    if (column->kind == COLUMN_BOOL) {
        ((int64_t *)cells)[i] = *(const bool *)from;
    } else if (column->kind == COLUMN_DIGEST) {
        const struct digest *d = from;
        ((struct pg_bytes *)cells)[i] =
            (struct pg_bytes){.data = digest_known(d) ? d->bytes : NULL, .length = DIGEST_BYTES};
    } else {
        memcpy((char *)cells + i * widths[column->kind], from, widths[column->kind]);
    }
}

static struct pg_value array_of(enum column_kind kind, const void *cells, size_t count)
{
    switch (kind) {
    case COLUMN_TEXT:
        return P_TEXTS(cells, count);
    case COLUMN_TEXTN:
        return P_TEXTNS(cells, count);
    case COLUMN_BYTES:
    case COLUMN_DIGEST:
        return P_BYTEAS(cells, count);
    case COLUMN_WORDS:
        return P_TSVECTORS(cells, count);
    default:
        return P_INTS(cells, count);
    }
}

/* `rows`: pointers to them. */
static void send_rows(struct batch *b, const struct table *table, void *const *rows, size_t count)
{
    struct pg_value values[COLUMNS];
    if (!count)
        return;
    for (size_t c = 0; c < table->count; c++) {
        const struct column *column = &table->columns[c];
        void *cells = batch_alloc(b, count * widths[column->kind]);
        for (size_t i = 0; !b->broken && i < count; i++)
            put_cell(cells, i, column, rows[i]);
        values[c] = array_of(column->kind, cells, count);
    }
    if (!b->broken)
        pg_send(b->c, table->sql, values, table->count);
}

static void **pointers(struct batch *b, size_t count)
{
    return batch_alloc(b, (count + 1) * sizeof(void *));
}

void send_list(struct batch *b, const struct table *table, const struct list *list)
{
    void **rows = pointers(b, list->count);
    for (size_t i = 0; !b->broken && i < list->count; i++)
        rows[i] = (char *)list->items + i * list->size;
    send_rows(b, table, rows, list->count);
}

/* Those of a list of images that `wanted` picks. */
void send_images(struct batch *b, const struct table *table, const struct list *images,
                 bool (*wanted)(const void *image))
{
    void **rows = pointers(b, images->count);
    size_t count = 0;
    for (size_t i = 0; !b->broken && i < images->count; i++)
        if (wanted(((void **)images->items)[i]))
            rows[count++] = ((void **)images->items)[i];
    send_rows(b, table, rows, count);
}
