/* Lists and their paging, summaries, segments, money. */
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"

static const int64_t DAY_MS = 86400000;

static void single_things_that_are_not_there(void **state)
{
    struct fixture *f = *state;
    struct media_row m;
    struct job_row j;
    struct attempt_row *a;
    struct summary s;
    size_t n;
    assert_int_equal(DB(f, media_get, 7, &f->arena, &m), ERR_NOT_FOUND);
    assert_int_equal(DB(f, media_find, "media", "x", &f->arena, &m), ERR_NOT_FOUND);
    assert_int_equal(DB(f, summary_get, 7, &f->arena, &s), ERR_NOT_FOUND);
    assert_int_equal(DB(f, job_get, 7, &f->arena, &j, &a, &n), ERR_NOT_FOUND);
    int64_t unpublished = upload(f, "x", "e", 1).media_id;
    assert_int_equal(DB(f, summary_get, unpublished, &f->arena, &s), ERR_NOT_FOUND);
    OKAY(DB(f, media_find, "media", "x", &f->arena, &m));
    assert_int_equal(m.media_id, unpublished);
}

/* ten media: even ones audio in "even", odd ones text in "odd"; every third one German */
static void make_ten(struct fixture *f, int64_t media[10])
{
    for (int i = 0; i < 10; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s/%02d", i < 5 ? "low" : "high", i);
        const char *text = arena_strdup(&f->arena, key);
        media[i] = put_media(f, key, i % 2 ? "odd" : "even",
                             &(struct simple_result){.chunks = &text,
                                                     .chunk_count = 1,
                                                     .kind = i % 2 ? "text" : "audio",
                                                     .language = i % 3 ? "en" : "de"});
        atomic_fetch_add(&f->now_ms, 1000);
    }
}

static size_t list(struct fixture *f, const struct media_filter *filter, struct media_row **rows)
{
    size_t n;
    OKAY(DB(f, media_list, filter, 0, 100, &f->arena, rows, &n));
    for (size_t i = 1; i < n; i++)
        assert_true((*rows)[i - 1].media_id > (*rows)[i].media_id);
    return n;
}

static void media_lists_honour_every_filter(void **state)
{
    struct fixture *f = *state;
    struct media_row *rows;
    int64_t media[10], first = atomic_load(&f->now_ms);
    make_ten(f, media);
    assert_int_equal(list(f, NULL, &rows), 10);
    assert_int_equal(rows[0].media_id, media[9]);
    assert_int_equal(list(f, &(struct media_filter){.collection = ""}, &rows), 10);
    assert_int_equal(list(f, &(struct media_filter){.collection = "odd"}, &rows), 5);
    assert_string_equal(rows[0].collection, "odd");
    assert_int_equal(list(f, &(struct media_filter){.collection = "none"}, &rows), 0);
    assert_int_equal(list(f, &(struct media_filter){.kind = "audio"}, &rows), 5);
    assert_int_equal(list(f, &(struct media_filter){.language = "de"}, &rows), 4);
    assert_int_equal(list(f, &(struct media_filter){.prefix = "low/"}, &rows), 5);
    assert_int_equal(list(f, &(struct media_filter){.prefix = "low/03"}, &rows), 1);
    assert_int_equal(list(f, &(struct media_filter){.prefix = "lov"}, &rows), 0);
    assert_int_equal(list(f, &(struct media_filter){.since_ms = first + 3000}, &rows), 7);
    assert_int_equal(list(f, &(struct media_filter){.until_ms = first + 3000}, &rows), 3);
    assert_int_equal(list(f, &(struct media_filter){.media_id = media[4]}, &rows), 1);
    assert_string_equal(rows[0].key, "low/04");
    assert_int_equal(
        list(f, &(struct media_filter){.media_id = media[4], .collection = "odd"}, &rows), 0);
    assert_int_equal(list(f,
                          &(struct media_filter){.collection = "even",
                                                 .kind = "audio",
                                                 .language = "de",
                                                 .prefix = "high/",
                                                 .since_ms = first},
                          &rows),
                     1);
    assert_string_equal(rows[0].key, "high/06");
}

static void page_through(struct fixture *f, const struct media_filter *filter, size_t expected)
{
    int64_t before = 0;
    size_t seen = 0, n;
    do {
        struct media_row *rows;
        OKAY(DB(f, media_list, filter, before, 2, &f->arena, &rows, &n));
        for (size_t i = 0; i < n; i++, seen++) {
            assert_true(!before || rows[i].media_id < before);
            before = rows[i].media_id;
        }
    } while (n > 0);
    assert_int_equal(seen, expected);
}

static void media_lists_are_paged(void **state)
{
    struct fixture *f = *state;
    int64_t media[10];
    make_ten(f, media);
    page_through(f, NULL, 10);
    page_through(f, &(struct media_filter){.collection = "odd"}, 5);
    page_through(f, &(struct media_filter){.language = "en"}, 6);
    page_through(f, &(struct media_filter){.prefix = "high"}, 5);
}

static void job_lists_by_state_are_paged(void **state)
{
    struct fixture *f = *state;
    int64_t jobs[JOB_STATES][3];
    for (int i = 0; i < 3; i++) {
        for (int state_wanted = 0; state_wanted < JOB_STATES; state_wanted++) {
            char key[32];
            snprintf(key, sizeof key, "%d-%d", state_wanted, i);
            struct event_outcome out = upload(f, key, "e", 1);
            jobs[state_wanted][i] = out.job_id;
            if (state_wanted == JOB_QUEUED)
                continue;
            struct job_work w = start(f, out.job_id);
            const char *text = arena_strdup(&f->arena, key);
            if (state_wanted == JOB_RETRYING)
                OKAY(end_with(f, &w, ATTEMPT_RETRY, "x"));
            if (state_wanted == JOB_PAUSED)
                OKAY(DB(f, set_paused, w.job_id, true, "r", "m"));
            if (state_wanted == JOB_SUCCEEDED)
                OKAY(publish_result(f, &w,
                                    &(struct simple_result){.chunks = &text, .chunk_count = 1}));
            if (state_wanted == JOB_DEAD)
                OKAY(end_with(f, &w, ATTEMPT_DEAD, "x"));
            if (state_wanted == JOB_CANCELLED)
                OKAY(end_with(f, &w, ATTEMPT_CANCELLED, "x"));
        }
    }
    struct job_row *rows;
    size_t n;
    for (int s = 0; s < JOB_STATES; s++) {
        OKAY(DB(f, job_list, s, 0, 2, &f->arena, &rows, &n));
        assert_int_equal(n, 2);
        assert_int_equal(rows[0].job_id, jobs[s][2]);
        assert_int_equal(rows[1].job_id, jobs[s][1]);
        assert_int_equal(rows[0].state, s);
        OKAY(DB(f, job_list, s, jobs[s][1], 2, &f->arena, &rows, &n));
        assert_int_equal(n, 1);
        assert_int_equal(rows[0].job_id, jobs[s][0]);
    }
    OKAY(DB(f, job_list, -1, 0, 100, &f->arena, &rows, &n));
    assert_int_equal(n, 3 * JOB_STATES);
    for (size_t i = 1; i < n; i++)
        assert_true(rows[i - 1].job_id > rows[i].job_id);
    OKAY(DB(f, job_list, -1, rows[4].job_id, 3, &f->arena, &rows, &n));
    assert_int_equal(n, 3);
}

static void summary_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    const char *points[] = {"one \"quoted\"", "zwei ä"}, *topics[] = {"t"},
               *entities[] = {"e1", "e2"};
    struct action_item items[] = {{.text = "do it", .owner = "Ann"}, {.text = "then", .owner = ""}};
    struct summary in = {.title = "Titel",
                         .abstract = "Kurz\ngesagt",
                         .language = "de",
                         .key_points = points,
                         .key_point_count = 2,
                         .topics = topics,
                         .topic_count = 1,
                         .entities = entities,
                         .entity_count = 2,
                         .action_items = items,
                         .action_item_count = 2},
                   out;
    struct result_info info = {
        .kind = "pdf", .format = "", .language = "de", .title = "", .stages_json = "{}"};
    struct event_outcome o = upload(f, "a", "e", 1);
    struct job_work w = start(f, o.job_id);
    struct publication p = {.job_id = w.job_id,
                            .attempt = w.attempt,
                            .key = {.content = digest_text("c")},
                            .info = &info,
                            .summary = &in,
                            .stage_times_json = "{}"};
    OKAY(DB(f, publish, &p));
    OKAY(DB(f, summary_get, o.media_id, &f->arena, &out));
    assert_string_equal(out.title, "Titel");
    assert_string_equal(out.abstract, "Kurz\ngesagt");
    assert_string_equal(out.language, "de");
    assert_int_equal(out.key_point_count, 2);
    assert_string_equal(out.key_points[0], points[0]);
    assert_string_equal(out.key_points[1], points[1]);
    assert_int_equal(out.topic_count, 1);
    assert_int_equal(out.entity_count, 2);
    assert_string_equal(out.entities[1], "e2");
    assert_int_equal(out.action_item_count, 2);
    assert_string_equal(out.action_items[0].owner, "Ann");
    assert_string_equal(out.action_items[1].text, "then");
}

struct segment_walk {
    int seen;
    int stop_at;
};

static int see_segment(void *arg, const struct segment_row *row)
{
    struct segment_walk *w = arg;
    assert_int_equal(row->ordinal, w->seen);
    assert_int_equal(row->start_ms, w->seen * 1000);
    assert_int_equal(row->end_ms, w->seen * 1000 + 900);
    assert_string_equal(row->speaker, w->seen % 2 ? "B" : "");
    assert_string_equal(row->text, w->seen == 2 ? "three" : w->seen ? "two" : "one");
    return ++w->seen == w->stop_at ? 55 : 0;
}

static void segments_come_in_order(void **state)
{
    struct fixture *f = *state;
    const char *chunks[] = {"one", "two", "three"};
    int64_t media = put_media(
        f, "a", NULL, &(struct simple_result){.chunks = chunks, .chunk_count = 3, .kind = "audio"});
    struct segment_walk all = {.stop_at = -1}, some = {.stop_at = 2};
    OKAY(DB(f, segments_each, media, see_segment, &all));
    assert_int_equal(all.seen, 3);
    assert_int_equal(DB(f, segments_each, media, see_segment, &some), 55);
    assert_int_equal(some.seen, 2);
    int64_t bare = upload(f, "b", "e", 1).media_id;
    assert_int_equal(DB(f, segments_each, bare, see_segment, &all), ERR_NOT_FOUND);
}

/* ---- money ---- */

static void pay(struct fixture *f, const char *key, const char *collection, const char *model,
                int64_t cost)
{
    struct media_event e = event_of(key, key, atomic_load(&f->now_ms));
    struct model_call calls[2] = {
        {.provider = "openai",
         .operation = MODEL_EMBED,
         .input_tokens = 100,
         .cached_tokens = 40,
         .output_tokens = 7,
         .audio_ms = 60000,
         .cost_nanousd = cost},
        {.provider = "offline", .model = "free", .operation = MODEL_SUMMARISE, .input_tokens = 1}};
    snprintf(calls[0].model, sizeof calls[0].model, "%s", model);
    e.collection = collection;
    struct event_outcome out = record(f, e);
    struct checkpoint checkpoint = {.job_id = out.job_id,
                                    .key = {.stage = "embed", .input = digest_text(key)},
                                    .bytes = "x",
                                    .length = 1,
                                    .calls = calls,
                                    .call_count = 2};
    OKAY(DB(f, checkpoints_put, &checkpoint, 1));
    assert_int_equal(checkpoint.rc, OK);
}

static size_t usage_rows(struct fixture *f, const struct media_filter *filter, unsigned group,
                         struct usage_row **rows)
{
    size_t n;
    OKAY(DB(f, usage, filter, group, &f->arena, rows, &n));
    return n;
}

static void usage_sums_up_by_anything(void **state)
{
    struct fixture *f = *state;
    struct usage_row *u;
    assert_int_equal(usage_rows(f, NULL, 0, &u), 0);
    int64_t first = atomic_load(&f->now_ms);
    pay(f, "a/1", "one", "m1", 1000);
    pay(f, "a/2", "two", "m2", -1);
    atomic_fetch_add(&f->now_ms, DAY_MS);
    pay(f, "b/3", "two", "m1", 500);
    assert_int_equal(usage_rows(f, NULL, 0, &u), 1);
    assert_int_equal(u[0].calls, 6);
    assert_int_equal(u[0].input_tokens, 303);
    assert_int_equal(u[0].cached_tokens, 120);
    assert_int_equal(u[0].output_tokens, 21);
    assert_int_equal(u[0].audio_ms, 180000);
    assert_int_equal(u[0].cost_nanousd, 1500);
    assert_int_equal(u[0].unpriced_calls, 1);
    assert_string_equal(u[0].day, "");
    assert_string_equal(u[0].collection, "");
    assert_string_equal(u[0].model, "");
    assert_string_equal(u[0].operation, "");
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_DAY, &u), 2);
    assert_string_equal(u[0].day, "2026-03-01");
    assert_string_equal(u[1].day, "2026-03-02");
    assert_int_equal(u[0].calls, 4);
    assert_int_equal(u[1].cost_nanousd, 500);
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_COLLECTION, &u), 2);
    assert_int_equal(u[0].calls + u[1].calls, 6);
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_MEDIA, &u), 3);
    assert_string_equal(u[0].key, "a/1");
    assert_int_equal(u[0].cost_nanousd, 1000);
    assert_int_equal(u[1].unpriced_calls, 1);
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_MODEL, &u), 3);
    size_t embed = 0;
    for (int i = 0; i < 3; i++)
        embed += !strcmp(u[i].operation, "embed");
    assert_int_equal(embed, 2);
    assert_int_equal(
        usage_rows(f, NULL, USAGE_BY_DAY | USAGE_BY_COLLECTION | USAGE_BY_MEDIA | USAGE_BY_MODEL,
                   &u),
        6);
    assert_int_equal(usage_rows(f, &(struct media_filter){.collection = "two"}, 0, &u), 1);
    assert_int_equal(u[0].cost_nanousd, 500);
    assert_int_equal(usage_rows(f, &(struct media_filter){.collection = "two"}, USAGE_BY_MEDIA, &u),
                     2);
    assert_int_equal(usage_rows(f, &(struct media_filter){.prefix = "a/"}, 0, &u), 1);
    assert_int_equal(u[0].calls, 4);
    assert_int_equal(usage_rows(f, &(struct media_filter){.since_ms = first + DAY_MS}, 0, &u), 1);
    assert_int_equal(u[0].calls, 2);
    int64_t next_day = first - first % DAY_MS + DAY_MS;
    assert_int_equal(
        usage_rows(f, &(struct media_filter){.until_ms = next_day}, USAGE_BY_MEDIA, &u), 2);
    assert_int_equal(usage_rows(f, &(struct media_filter){.collection = "none"}, 0, &u), 0);
}

static void unknown_prices_are_told(void **state)
{
    struct fixture *f = *state;
    struct media_row m;
    pay(f, "priced", NULL, "m", 1000);
    pay(f, "unpriced", NULL, "m", -1);
    OKAY(DB(f, media_find, "media", "priced", &f->arena, &m));
    assert_true(m.cost_known);
    assert_int_equal(m.cost_nanousd, 1000);
    OKAY(DB(f, media_find, "media", "unpriced", &f->arena, &m));
    assert_false(m.cost_known);
    assert_int_equal(m.cost_nanousd, 0);
    struct totals t = totals_of(f);
    assert_int_equal(t.cost_nanousd, 1000);
    assert_int_equal(t.unpriced_calls, 1);
}

static void money_outlives_the_medium(void **state)
{
    struct fixture *f = *state;
    struct usage_row *u;
    pay(f, "a", NULL, "m", 1000);
    remove_key(f, "a", atomic_load(&f->now_ms) + 1);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(totals_of(f).cost_nanousd, 1000);
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_MEDIA, &u), 1);
    assert_int_equal(u[0].cost_nanousd, 1000);
}

static void calls_for_no_job_are_counted(void **state)
{
    struct fixture *f = *state;
    struct usage_row *u;
    const struct model_call calls[] = {
        {.provider = "openai", .model = "m", .operation = MODEL_EMBED, .cost_nanousd = 20},
        {.provider = "openai", .model = "m", .operation = MODEL_ANSWER, .cost_nanousd = -1}};
    OKAY(DB(f, calls_record, NULL, 0));
    assert_int_equal(usage_rows(f, NULL, 0, &u), 0);
    pay(f, "a", NULL, "m", 1000);
    OKAY(DB(f, calls_record, calls, 2));
    OKAY(DB(f, calls_record, calls, 1));
    assert_int_equal(totals_of(f).cost_nanousd, 1040);
    assert_int_equal(totals_of(f).unpriced_calls, 1);
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_DAY, &u), 1);
    assert_string_equal(u[0].day, "2026-03-01");
    assert_int_equal(u[0].calls, 5);
    assert_int_equal(u[0].cost_nanousd, 1040);
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_MEDIA, &u), 2);
    assert_int_equal(u[0].media_id, 0);
    assert_string_equal(u[0].key, "");
    assert_int_equal(u[0].calls, 3);
    assert_int_equal(u[0].cost_nanousd, 40);
    assert_int_equal(u[0].unpriced_calls, 1);
    assert_int_equal(usage_rows(f, NULL, USAGE_BY_COLLECTION, &u), 2);
    assert_string_equal(u[0].collection, "");
    assert_int_equal(u[0].cost_nanousd, 40);
    assert_int_equal(usage_rows(f, &(struct media_filter){.prefix = "a"}, 0, &u), 1);
    assert_int_equal(u[0].cost_nanousd, 1000);
    assert_int_equal(usage_rows(f, &(struct media_filter){.collection = "media"}, 0, &u), 1);
    assert_int_equal(u[0].cost_nanousd, 1000);
}

const struct suite_test database_read_tests[] = {
    SUITE_TEST(single_things_that_are_not_there),
    SUITE_TEST(media_lists_honour_every_filter),
    SUITE_TEST(media_lists_are_paged),
    SUITE_TEST(job_lists_by_state_are_paged),
    SUITE_TEST(summary_comes_back_whole),
    SUITE_TEST(segments_come_in_order),
    SUITE_TEST(usage_sums_up_by_anything),
    SUITE_TEST(calls_for_no_job_are_counted),
    SUITE_TEST(unknown_prices_are_told),
    SUITE_TEST(money_outlives_the_medium),
};
const size_t database_read_test_count = sizeof database_read_tests / sizeof database_read_tests[0];
