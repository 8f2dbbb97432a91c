/*
 * Redriving and dropping many dead letters: how often the queue is asked, and with what. The queue
 * and the database are counted, not real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands/letters.h"
#include "shared/error.h"
#include "shared/job_message.h"

enum { MANY = 1200, STRAYS = 3 };

/* What the queue was asked. */
static struct {
    bool dear;
    size_t letters; /* of jobs 1 to letters, and STRAYS that name none */
    int lists, moves, sends;
    size_t longest_page, moved_ids;
    bool moved_all;
    int64_t short_of; /* letters that have vanished when they are moved */
} queue;

static void limits(void *ctx, struct queue_limits *out)
{
    (void)ctx;
    *out = (struct queue_limits){.max_batch = 10, .dear_letters = queue.dear};
}

static void letter(struct arena *arena, size_t i, struct queue_dead_letter *out)
{
    char body[JOB_MESSAGE_TEXT] = "nonsense";
    struct job_message m = {.job_id = (int64_t)i + 1,
                            .trace_id = "0123456789abcdef0123456789abcdef"};
    if (i < queue.letters)
        job_message_format(&m, body);
    *out = (struct queue_dead_letter){.body = arena_strdup(arena, body), .length = strlen(body)};
    snprintf(out->id, sizeof out->id, "m-%zu", i);
}

static int dead_list(void *ctx, const char *after, size_t limit, struct arena *arena,
                     struct queue_dead_letter **out, size_t *count)
{
    size_t from = 0, all = queue.letters + STRAYS;
    (void)ctx;
    if (*after && sscanf(after, "m-%zu", &from) == 1)
        from++;
    queue.lists++;
    queue.longest_page = limit > queue.longest_page ? limit : queue.longest_page;
    *count = all - from < limit ? all - from : limit;
    *out = arena_array(arena, *count, sizeof **out);
    for (size_t i = 0; i < *count; i++)
        letter(arena, from + i, &(*out)[i]);
    return OK;
}

static int dead_move(void *ctx, const char *const *ids, size_t count, int64_t *moved)
{
    (void)ctx;
    queue.moves++;
    queue.moved_all |= !ids;
    queue.moved_ids += count;
    *moved = (int64_t)count - queue.short_of;
    return OK;
}

static int send(void *ctx, const struct queue_send *messages, size_t count,
                char (*ids)[QUEUE_ID_TEXT])
{
    (void)ctx, (void)messages, (void)ids;
    queue.sends += (int)count;
    return OK;
}

static int job_get(void *ctx, int64_t job_id, struct arena *arena, struct job_row *out,
                   struct attempt_row **attempts, size_t *count)
{
    (void)ctx, (void)arena, (void)attempts, (void)count;
    *out = (struct job_row){.job_id = job_id, .collection = ""};
    return OK;
}

static const struct job_queue_ops queue_ops = {.limits = limits,
                                               .send = send,
                                               .dead_list = dead_list,
                                               .dead_redrive = dead_move,
                                               .dead_drop = dead_move};
static const struct database_ops database_ops = {.job_get = job_get};

static struct app app = {.queue = {.ops = &queue_ops}, .database = {.ops = &database_ops}};
static struct letters letters;

static void begin(bool dear, size_t count)
{
    memset(&queue, 0, sizeof queue);
    queue.dear = dear;
    queue.letters = count;
    assert_int_equal(letters_read(&app, &letters), OK);
    assert_int_equal(letters.count, count + STRAYS);
}

static void jobs(int64_t *out, int64_t from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = from + (int64_t)i;
}

static void where_each_look_is_paid_for_there_is_one(void **state)
{
    (void)state;
    begin(true, MANY);
    assert_int_equal(queue.lists, 1);
    assert_true(queue.longest_page > MANY + STRAYS);
    assert_true(letters.whole);
    letters_free(&letters);
    begin(false, MANY);
    assert_int_equal(queue.lists, 3);
    assert_int_equal(queue.longest_page, 500);
    assert_true(letters.whole);
    letters_free(&letters);
}

static void the_letters_of_many_jobs_are_moved_at_once(void **state)
{
    int64_t ids[100];
    (void)state;
    begin(false, MANY);
    jobs(ids, 7, 100);
    assert_int_equal(letters_redrive_messages(&app, &letters, ids, 100), OK);
    assert_int_equal(queue.moves, 1);
    assert_int_equal(queue.moved_ids, 100);
    assert_int_equal(queue.sends, 0);
    assert_int_equal(letters_drop_messages(&app, &letters, ids, 100), OK);
    assert_int_equal(queue.moves, 2);
    letters_free(&letters);
}

static void a_job_without_a_letter_gets_a_message(void **state)
{
    int64_t ids[4], strays;
    (void)state;
    begin(false, 10);
    jobs(ids, 9, 4); /* 9 and 10 have one */
    assert_int_equal(letters_redrive_messages(&app, &letters, ids, 4), OK);
    assert_int_equal(queue.moved_ids, 2);
    assert_int_equal(queue.sends, 2);
    queue.short_of = 1; /* nobody knows which */
    assert_int_equal(letters_redrive_messages(&app, &letters, ids, 4), OK);
    assert_int_equal(queue.sends, 2 + 4);
    queue.short_of = 0;
    assert_int_equal(letters_redrive_rest(&app, &letters, &strays), OK);
    assert_int_equal(strays, STRAYS);
    assert_false(queue.moved_all);
    letters_free(&letters);
}

static void all_of_a_dear_queue_are_moved_as_they_come(void **state)
{
    int64_t ids[4], strays;
    (void)state;
    begin(true, 10);
    letters_take_together(&app, &letters);
    jobs(ids, 9, 4);
    assert_int_equal(letters_redrive_messages(&app, &letters, ids, 4), OK);
    assert_int_equal(queue.moves, 0);
    assert_int_equal(queue.sends, 2);
    assert_int_equal(letters_redrive_rest(&app, &letters, &strays), OK);
    assert_int_equal(queue.moves, 1);
    assert_true(queue.moved_all);
    assert_int_equal(strays, STRAYS);
    letters_free(&letters);
}

static void what_was_not_looked_at_may_have_a_letter(void **state)
{
    int64_t id = 20000;
    (void)state;
    begin(true, 9997); /* as many as are looked at, with the strays */
    assert_false(letters.whole);
    letters_take_together(&app, &letters);
    assert_int_equal(letters_redrive_messages(&app, &letters, &id, 1), OK);
    assert_int_equal(queue.sends, 0);
    letters_free(&letters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_each_look_is_paid_for_there_is_one),
        cmocka_unit_test(the_letters_of_many_jobs_are_moved_at_once),
        cmocka_unit_test(a_job_without_a_letter_gets_a_message),
        cmocka_unit_test(all_of_a_dear_queue_are_moved_as_they_come),
        cmocka_unit_test(what_was_not_looked_at_may_have_a_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
