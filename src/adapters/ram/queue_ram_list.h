/*
 * queue_ram_list.h - the messages of the queue in memory, and lists of them.
 */
#ifndef AEGIS_ADAPTERS_RAM_QUEUE_RAM_LIST_H
#define AEGIS_ADAPTERS_RAM_QUEUE_RAM_LIST_H

#include "ports/job_queue.h"

/* A message is in exactly one list. `ready` has those never received and not delayed, in order of
 * rank, then of arrival; `hidden` those with a visible_ms, in order of it; `dead` the dead letters,
 * in order of id. */
struct message {
    struct message *prev, *next;
    uint64_t id;
    uint64_t rank; /* of one group each has one message: so groups take turns */
    size_t slot;   /* in ram_queue.slots while alive */
    int64_t visible_ms, sent_ms, dead_ms;
    int receives;
    char reason[QUEUE_REASON_TEXT];
    char *detail;      /* NULL: none */
    const char *group; /* in `body`, behind the text */
    size_t length;
    char body[];
};

struct message_list {
    struct message *head, *tail;
    int64_t count;
};

/* A copy of the body; NULL with ERR_NO_MEMORY set. */
struct message *message_new(const struct queue_send *s);
void message_free(struct message *m);
size_t message_bytes(const struct message *m);

/* Behind `after`; NULL is the front. */
void message_list_insert(struct message_list *l, struct message *after, struct message *m);
void message_list_remove(struct message_list *l, struct message *m);

/* Frees the messages. */
void message_list_free(struct message_list *l);

#endif
