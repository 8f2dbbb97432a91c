#include "processor/text_source.h"

#include <unistd.h>

#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"

void text_source_init(struct text_source *t, const char *spool_directory)
{
    *t = (struct text_source){.spool_directory = spool_directory, .fd = -1};
    buffer_init(&t->memory, CAP_TEXT_IN_MEMORY);
}

void text_source_fini(struct text_source *t)
{
    buffer_free(&t->memory);
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
}

static int spool(struct text_source *t)
{
    if (t->fd < 0) {
        int rc = file_temporary(t->spool_directory, &t->fd);
        if (rc)
            return rc;
    }
    int rc = file_write_all(t->fd, "spool file", t->memory.data, t->memory.length);
    if (rc)
        return rc;
    t->spooled += (int64_t)t->memory.length;
    buffer_clear(&t->memory);
    return OK;
}

int text_source_write(struct text_source *t, const char *text, size_t length)
{
    while (length > 0) {
        size_t room = t->memory.limit - t->memory.length;
        size_t n = length < room ? length : room;
        int rc = n > 0 ? buffer_append(&t->memory, text, n) : spool(t);
        if (rc)
            return rc;
        text += n;
        length -= n;
    }
    return OK;
}

int text_source_finish(struct text_source *t)
{
    if (t->fd < 0)
        return OK;
    int rc = spool(t);
    buffer_free(&t->memory);
    return rc;
}

bool text_source_spooled(const struct text_source *t)
{
    return t->fd >= 0;
}

int64_t text_source_length(const struct text_source *t)
{
    return t->spooled + (int64_t)t->memory.length;
}

int text_source_read(const struct text_source *t, int64_t offset, size_t length,
                     struct buffer *scratch, const char **text)
{
    if (t->fd < 0) {
        *text = buffer_string(&t->memory) + offset;
        return OK;
    }
    buffer_clear(scratch);
    int rc = buffer_reserve(scratch, length);
    if (rc)
        return rc;
    size_t got;
    rc = file_read_at(t->fd, "spool file", scratch->data, length, offset, &got);
    if (!rc && got < length)
        rc = error_set(ERR_IO, NULL, "the spool file ended early");
    scratch->length = rc ? 0 : length;
    *text = scratch->data;
    return rc;
}
