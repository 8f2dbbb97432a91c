#include "adapters/ram/queue_ram_list.h"

#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

void message_list_insert(struct message_list *l, struct message *after, struct message *m)
{
    m->prev = after;
    m->next = after ? after->next : l->head;
    *(m->next ? &m->next->prev : &l->tail) = m;
    *(after ? &after->next : &l->head) = m;
    l->count++;
}

void message_list_remove(struct message_list *l, struct message *m)
{
    *(m->next ? &m->next->prev : &l->tail) = m->prev;
    *(m->prev ? &m->prev->next : &l->head) = m->next;
    l->count--;
}

struct message *message_new(const struct queue_send *s)
{
    const char *group = s->group ? s->group : "";
    struct message *m = malloc(sizeof *m + s->length + 1 + strlen(group) + 1);
    if (!m) {
        error_set(ERR_NO_MEMORY, NULL, "out of memory for a message of %zu bytes", s->length);
        return NULL;
    }
    *m = (struct message){.length = s->length};
    if (s->length)
        memcpy(m->body, s->body, s->length);
    m->body[s->length] = '\0';
    m->group = memcpy(m->body + s->length + 1, group, strlen(group) + 1);
    return m;
}

void message_free(struct message *m)
{
    if (m)
        free(m->detail);
    free(m);
}

size_t message_bytes(const struct message *m)
{
    return sizeof *m + m->length + 1 + strlen(m->group) + 1;
}

void message_list_free(struct message_list *l)
{
    struct message *next;
    for (struct message *m = l->head; m; m = next) {
        next = m->next;
        message_free(m);
    }
}
