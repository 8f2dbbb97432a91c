/* Events: identity, order, duplicates, removal, revival; and all of it at random against a model.
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"
#include "support/seed.h"

static void first_event_makes_media_version_and_job(void **state)
{
    struct fixture *f = *state;
    struct media_event e = event_of("talks/one.txt", "e1", 1000);
    e.collection = "talks";
    struct event_outcome out = record(f, e);
    assert_int_equal(out.result, EVENT_JOB_QUEUED);
    struct media_row m = media_of(f, out.media_id);
    assert_string_equal(m.bucket, "media");
    assert_string_equal(m.key, "talks/one.txt");
    assert_string_equal(m.collection, "talks");
    assert_string_equal(m.etag, "e1");
    assert_int_equal(m.size, 100);
    assert_int_equal(m.uploaded_ms, 1000);
    assert_int_equal(m.published_ms, 0);
    assert_int_equal(m.result_id, 0);
    assert_int_equal(m.version_id, out.version_id);
    assert_int_equal(m.job_id, out.job_id);
    assert_int_equal(m.state, JOB_QUEUED);
    assert_string_equal(m.kind, "");
    assert_true(m.cost_known);
    struct job_row j = job_of(f, out.job_id);
    assert_int_equal(j.media_id, out.media_id);
    assert_int_equal(j.version_id, out.version_id);
    assert_string_equal(j.trace_id, e.trace_id);
    assert_int_equal(j.attempts, 0);
    assert_int_equal(j.queued_ms, atomic_load(&f->now_ms));
    assert_int_equal(life_count(f, "job.queued", out.job_id), 1);
    struct totals t = totals_of(f);
    assert_int_equal(t.media, 1);
    assert_int_equal(t.jobs[JOB_QUEUED], 1);
}

static void collection_is_the_bucket_unless_told(void **state)
{
    struct fixture *f = *state;
    struct event_outcome out = upload(f, "a", "e", 1);
    assert_string_equal(media_of(f, out.media_id).collection, "media");
}

static void same_event_twice_is_one_job(void **state)
{
    struct fixture *f = *state;
    struct media_event pair[2] = {event_of("a", "e1", 1000), event_of("a", "e1", 1000)};
    struct event_outcome out[2];
    OKAY(DB(f, record_events, pair, 2, out));
    assert_int_equal(out[0].result, EVENT_JOB_QUEUED);
    assert_int_equal(out[1].result, EVENT_DUPLICATE);
    assert_int_equal(out[1].job_id, out[0].job_id);
    assert_int_equal(out[1].media_id, out[0].media_id);
    assert_int_equal(out[1].version_id, out[0].version_id);
    struct event_outcome later = record(f, pair[0]);
    assert_int_equal(later.result, EVENT_DUPLICATE);
    assert_int_equal(later.job_id, out[0].job_id);
    assert_int_equal(totals_of(f).jobs[JOB_QUEUED], 1);
}

static void same_key_in_another_bucket_is_another_medium(void **state)
{
    struct fixture *f = *state;
    struct event_outcome a = upload(f, "a", "e1", 1000);
    struct media_event e = event_of("a", "e1", 1000);
    e.bucket = "other";
    struct event_outcome b = record(f, e);
    assert_int_equal(b.result, EVENT_JOB_QUEUED);
    assert_int_not_equal(a.media_id, b.media_id);
}

static void object_version_is_the_identity_where_there_is_one(void **state)
{
    struct fixture *f = *state;
    struct media_event e = event_of("a", "same", 1000);
    e.object_version = "v1";
    struct event_outcome one = record(f, e);
    e.object_version = "v2";
    e.event_ms = 2000;
    struct event_outcome two = record(f, e);
    assert_int_equal(one.result, EVENT_JOB_QUEUED);
    assert_int_equal(two.result, EVENT_JOB_QUEUED);
    assert_int_not_equal(one.version_id, two.version_id);
    assert_int_equal(record(f, e).result, EVENT_DUPLICATE);
}

static void newer_version_cancels_the_unfinished_job(void **state)
{
    struct fixture *f = *state;
    struct event_outcome one = upload(f, "a", "e1", 1000);
    struct job_work work = start(f, one.job_id);
    struct event_outcome two = upload(f, "a", "e2", 2000);
    assert_int_equal(one.media_id, two.media_id);
    assert_int_equal(state_of(f, one.job_id), JOB_CANCELLED);
    assert_string_equal(job_of(f, one.job_id).reason, "superseded");
    assert_int_equal(state_of(f, two.job_id), JOB_QUEUED);
    assert_int_equal(media_of(f, two.media_id).job_id, two.job_id);
    assert_int_equal(life_count(f, "job.cancelled", one.job_id), 1);
    const char *text = "late";
    assert_int_equal(
        publish_result(f, &work, &(struct simple_result){.chunks = &text, .chunk_count = 1}),
        ERR_CONFLICT);
    assert_int_equal(end_with(f, &work, ATTEMPT_CANCELLED, "superseded"), ERR_CONFLICT);
    assert_int_equal(lexical_count(f, "late", NULL), 0);
    struct totals t = totals_of(f);
    assert_int_equal(t.media, 1);
    assert_int_equal(t.jobs[JOB_CANCELLED], 1);
    assert_int_equal(t.jobs[JOB_RUNNING], 0);
}

static void newer_version_leaves_a_finished_job_alone(void **state)
{
    struct fixture *f = *state;
    int64_t media = put_text(f, "a", "old words");
    int64_t old_job = media_of(f, media).job_id;
    int64_t old_result = media_of(f, media).result_id;
    upload(f, "a", "e-new", atomic_load(&f->now_ms) + 1);
    assert_int_equal(state_of(f, old_job), JOB_SUCCEEDED);
    assert_int_equal(media_of(f, media).result_id, old_result);
    assert_int_equal(lexical_count(f, "old", NULL), 1);
}

static void same_bytes_uploaded_again_keep_their_job(void **state)
{
    struct fixture *f = *state;
    struct media_event e = event_of("a", "e1", 1000);
    e.content = digest_of("one", 3);
    struct event_outcome one = record(f, e);
    e.etag = "e2";
    e.event_ms = 2000;
    struct event_outcome again = record(f, e);
    assert_int_equal(again.result, EVENT_DUPLICATE);
    assert_int_equal(again.job_id, one.job_id);
    assert_int_equal(again.version_id, one.version_id);
    assert_int_equal(job_of(f, one.job_id).state, JOB_QUEUED);
    assert_int_equal(record(f, event_of("a", "e1", 1500)).result, EVENT_STALE);
    e.collection = "another";
    e.etag = "e3";
    e.event_ms = 3000;
    assert_int_equal(record(f, e).result, EVENT_JOB_QUEUED);
    assert_int_equal(job_of(f, one.job_id).state, JOB_CANCELLED);
    e.content = digest_of("two", 3);
    e.etag = "e4";
    e.event_ms = 4000;
    assert_int_equal(record(f, e).result, EVENT_JOB_QUEUED);
}

static void stale_event_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct event_outcome two = upload(f, "a", "e2", 2000);
    struct event_outcome out = record(f, event_of("a", "e1", 1000));
    assert_int_equal(out.result, EVENT_STALE);
    assert_int_equal(out.job_id, 0);
    assert_int_equal(state_of(f, two.job_id), JOB_QUEUED);
    assert_string_equal(media_of(f, two.media_id).etag, "e2");
    assert_int_equal(remove_key(f, "a", 1500).result, EVENT_STALE);
    assert_string_equal(media_of(f, two.media_id).etag, "e2");
}

static void sequencer_orders_before_time(void **state)
{
    struct fixture *f = *state;
    struct {
        const char *first, *second;
        enum event_result expected; /* of the second */
    } table[] = {
        {.first = "0055AED6DCD90281E5",
         .second = "0055AED6DCD90281E6",
         .expected = EVENT_JOB_QUEUED},
        {.first = "0055AED6DCD90281E6", .second = "0055AED6DCD90281E5", .expected = EVENT_STALE},
        /* right padded with zeros: "B" is "B0", after "AF" */
        {.first = "00AF", .second = "00B", .expected = EVENT_JOB_QUEUED},
        {.first = "00B", .second = "00AF", .expected = EVENT_STALE},
        {.first = "00B", .second = "00B000", .expected = EVENT_JOB_QUEUED}, /* equal: the later */
        {.first = "00af", .second = "00AE", .expected = EVENT_STALE},       /* either case */
        {.first = "00ae", .second = "00AF", .expected = EVENT_JOB_QUEUED},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char key[32];
        snprintf(key, sizeof key, "key-%zu", i);
        struct media_event one = event_of(key, "e1", 9000), two = event_of(key, "e2", 1);
        one.sequencer = table[i].first;
        two.sequencer = table[i].second;
        assert_int_equal(record(f, one).result, EVENT_JOB_QUEUED);
        assert_int_equal(record(f, two).result, table[i].expected);
    }
}

static void without_a_sequencer_time_orders(void **state)
{
    struct fixture *f = *state;
    struct media_event one = event_of("a", "e1", 5000), two = event_of("a", "e2", 4000);
    one.sequencer = "0055";
    assert_int_equal(record(f, one).result, EVENT_JOB_QUEUED);
    assert_int_equal(record(f, two).result, EVENT_STALE);
    two.event_ms = 6000;
    assert_int_equal(record(f, two).result, EVENT_JOB_QUEUED);
}

static void later_event_of_the_same_version_moves_the_order_on(void **state)
{
    struct fixture *f = *state;
    upload(f, "a", "e1", 1000);
    assert_int_equal(record(f, event_of("a", "e1", 3000)).result, EVENT_DUPLICATE);
    assert_int_equal(record(f, event_of("a", "e2", 2000)).result, EVENT_STALE);
}

static void going_back_to_old_content_is_a_new_version(void **state)
{
    struct fixture *f = *state;
    struct event_outcome one = upload(f, "a", "e1", 1000);
    upload(f, "a", "e2", 2000);
    struct event_outcome three = upload(f, "a", "e1", 3000);
    assert_int_not_equal(one.version_id, three.version_id);
    assert_int_equal(media_of(f, one.media_id).version_id, three.version_id);
}

static void removal_takes_it_out_of_everything(void **state)
{
    struct fixture *f = *state;
    int64_t media = put_text(f, "a", "walrus");
    struct event_outcome again = upload(f, "a", "e-next", atomic_load(&f->now_ms) + 1);
    assert_int_equal(lexical_count(f, "walrus", NULL), 1);
    assert_int_equal(vector_count(f, "walrus", NULL), 1);
    struct event_outcome out = remove_key(f, "a", atomic_load(&f->now_ms) + 2);
    assert_int_equal(out.result, EVENT_MEDIA_REMOVED);
    assert_int_equal(out.media_id, media);
    assert_int_equal(lexical_count(f, "walrus", NULL), 0);
    assert_int_equal(vector_count(f, "walrus", NULL), 0);
    assert_int_equal(state_of(f, again.job_id), JOB_CANCELLED);
    assert_string_equal(job_of(f, again.job_id).reason, "removed");
    struct media_row row, *rows;
    size_t n;
    assert_int_equal(DB(f, media_get, media, &f->arena, &row), ERR_NOT_FOUND);
    assert_int_equal(DB(f, media_find, "media", "a", &f->arena, &row), ERR_NOT_FOUND);
    OKAY(DB(f, media_list, NULL, 0, 10, &f->arena, &rows, &n));
    assert_int_equal(n, 0);
    assert_int_equal(life_count(f, "media.removed", 0), 1);
    struct totals t = totals_of(f);
    assert_int_equal(t.media, 0);
    assert_int_equal(t.published, 0);
    assert_int_equal(t.chunks, 0);
    assert_int_equal(t.results, 0);
    OKAY(f->harness->settle(f->harness->ctx, &f->db));
    assert_int_equal(lexical_count(f, "walrus", NULL), 0);
    assert_int_equal(remove_key(f, "a", atomic_load(&f->now_ms) + 3).result,
                     EVENT_NOTHING_TO_REMOVE);
}

static void removal_of_an_old_version_leaves_the_newest(void **state)
{
    struct fixture *f = *state;
    struct media_event e = event_of("k", "e1", 1);
    e.object_version = "v1";
    record(f, e);
    e = event_of("k", "e2", 2);
    e.object_version = "v2";
    struct event_outcome newest = record(f, e);
    struct media_event old = event_of("k", "", 3), current = event_of("k", "", 4);
    old.kind = current.kind = EVENT_REMOVED;
    old.object_version = "v1";
    current.object_version = "v2";
    assert_int_equal(record(f, old).result, EVENT_NOTHING_TO_REMOVE);
    assert_int_equal(state_of(f, newest.job_id), JOB_QUEUED);
    assert_int_equal(record(f, current).result, EVENT_MEDIA_REMOVED);
    assert_int_equal(state_of(f, newest.job_id), JOB_CANCELLED);
}

static void removal_of_the_unknown_makes_its_late_creation_stale(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(remove_key(f, "ghost", 2000).result, EVENT_NOTHING_TO_REMOVE);
    assert_int_equal(record(f, event_of("ghost", "e1", 1000)).result, EVENT_STALE);
    assert_int_equal(totals_of(f).media, 0);
    struct event_outcome out = record(f, event_of("ghost", "e2", 3000));
    assert_int_equal(out.result, EVENT_JOB_QUEUED);
    assert_int_equal(totals_of(f).media, 1);
    assert_string_equal(media_of(f, out.media_id).etag, "e2");
}

static void removed_medium_comes_back(void **state)
{
    struct fixture *f = *state;
    struct event_outcome one = upload(f, "a", "e1", 1000);
    assert_int_equal(remove_key(f, "a", 2000).result, EVENT_MEDIA_REMOVED);
    assert_int_equal(record(f, event_of("a", "e1", 1000)).result, EVENT_STALE);
    struct event_outcome two = upload(f, "a", "e1", 3000);
    assert_int_equal(one.media_id, two.media_id);
    assert_int_not_equal(one.job_id, two.job_id);
    assert_int_equal(totals_of(f).media, 1);
    struct job_work work = start(f, two.job_id);
    const char *text = "revived";
    OKAY(publish_result(f, &work, &(struct simple_result){.chunks = &text, .chunk_count = 1}));
    assert_int_equal(lexical_best(f, "revived", NULL), two.media_id);
}

static void events_of_one_call_are_taken_in_order(void **state)
{
    struct fixture *f = *state;
    struct media_event events[3] = {event_of("a", "e1", 1000), event_of("a", "", 2000),
                                    event_of("a", "e3", 3000)};
    struct event_outcome out[3];
    events[1].kind = EVENT_REMOVED;
    OKAY(DB(f, record_events, events, 3, out));
    assert_int_equal(out[0].result, EVENT_JOB_QUEUED);
    assert_int_equal(out[1].result, EVENT_MEDIA_REMOVED);
    assert_int_equal(out[2].result, EVENT_JOB_QUEUED);
    assert_int_equal(state_of(f, out[0].job_id), JOB_CANCELLED);
    assert_int_equal(state_of(f, out[2].job_id), JOB_QUEUED);
}

static void bad_events_are_refused_whole(void **state)
{
    struct fixture *f = *state;
    char long_key[CAP_KEY + 2];
    memset(long_key, 'k', sizeof long_key);
    long_key[CAP_KEY + 1] = '\0';
    struct media_event events[2] = {event_of("good", "e", 1), event_of(long_key, "e", 1)};
    struct event_outcome out[2];
    assert_int_equal(DB(f, record_events, events, 2, out), ERR_INVALID);
    events[1] = event_of("", "e", 1);
    assert_int_equal(DB(f, record_events, events, 2, out), ERR_INVALID);
    assert_int_equal(totals_of(f).media, 0);
    OKAY(DB(f, record_events, events, 0, out));
}

static void collection_follows_the_newest_version(void **state)
{
    struct fixture *f = *state;
    int64_t media =
        put_media(f, "a", "first",
                  &(struct simple_result){
                      .chunks = (const char *[]){"words"}, .chunk_count = 1, .kind = "audio"});
    struct media_event e = event_of("a", "e-second", atomic_load(&f->now_ms) + 1);
    e.collection = "second";
    assert_int_equal(record(f, e).result, EVENT_JOB_QUEUED);
    struct media_row m = media_of(f, media);
    assert_string_equal(m.collection, "second");
    assert_string_equal(m.kind, "audio");
    assert_int_equal(lexical_count(f, "words", &(struct media_filter){.collection = "second"}), 1);
    assert_int_equal(lexical_count(f, "words", &(struct media_filter){.collection = "first"}), 0);
}

/* ---- random events against a model ---- */

enum { KEYS = 5, EVENTS = 600, ORDERS = 40, ETAGS = 6 };

struct model_key {
    bool known, removed;
    int order, etag;
    int64_t job_id;
};

static enum event_result expect(struct model_key *k, bool creation, int order, int etag)
{
    bool newer = !k->known || order >= k->order;
    enum event_result result;
    if (creation && k->known && !k->removed && k->etag == etag) {
        if (order > k->order)
            k->order = order;
        return EVENT_DUPLICATE;
    }
    if (!newer)
        return EVENT_STALE;
    if (creation)
        result = EVENT_JOB_QUEUED;
    else
        result = k->known && !k->removed ? EVENT_MEDIA_REMOVED : EVENT_NOTHING_TO_REMOVE;
    *k = (struct model_key){.known = true, .removed = !creation, .order = order, .etag = etag};
    return result;
}

/* At most one unfinished job per medium, and only of what is there. */
static void check_model(struct fixture *f, const struct model_key *keys)
{
    int64_t unfinished = 0, media = 0;
    for (int i = 0; i < KEYS; i++) {
        bool there = keys[i].known && !keys[i].removed;
        media += there;
        if (there && state_of(f, keys[i].job_id) <= JOB_PAUSED)
            unfinished++;
    }
    struct totals t = totals_of(f);
    assert_int_equal(t.media, media);
    assert_int_equal(t.jobs[JOB_QUEUED] + t.jobs[JOB_RUNNING] + t.jobs[JOB_RETRYING] +
                         t.jobs[JOB_PAUSED],
                     unfinished);
}

static void random_events_agree_with_a_model(void **state)
{
    struct fixture *f = *state;
    unsigned seed = test_seed();
    struct model_key keys[KEYS] = {0};
    for (int i = 0; i < EVENTS; i++) {
        int key = rand_r(&seed) % KEYS, order = rand_r(&seed) % ORDERS,
            etag = rand_r(&seed) % ETAGS;
        bool creation = rand_r(&seed) % 3 > 0;
        char name[16], tag[16], sequencer[16];
        snprintf(name, sizeof name, "key-%d", key);
        snprintf(tag, sizeof tag, "tag-%d", etag);
        snprintf(sequencer, sizeof sequencer, "00%02X", order);
        struct media_event e = event_of(name, creation ? tag : "", order);
        e.kind = creation ? EVENT_CREATED : EVENT_REMOVED;
        e.sequencer = rand_r(&seed) % 2 ? sequencer : "";
        enum event_result expected = expect(&keys[key], creation, order, etag);
        struct event_outcome out = record(f, e);
        assert_int_equal(out.result, expected);
        if (expected == EVENT_JOB_QUEUED) {
            keys[key].job_id = out.job_id;
            if (rand_r(&seed) % 2)
                start(f, out.job_id);
        }
        if (expected == EVENT_DUPLICATE)
            assert_int_equal(out.job_id, keys[key].job_id);
    }
    check_model(f, keys);
}

const struct suite_test database_event_tests[] = {
    SUITE_TEST(first_event_makes_media_version_and_job),
    SUITE_TEST(collection_is_the_bucket_unless_told),
    SUITE_TEST(same_event_twice_is_one_job),
    SUITE_TEST(same_key_in_another_bucket_is_another_medium),
    SUITE_TEST(object_version_is_the_identity_where_there_is_one),
    SUITE_TEST(newer_version_cancels_the_unfinished_job),
    SUITE_TEST(newer_version_leaves_a_finished_job_alone),
    SUITE_TEST(same_bytes_uploaded_again_keep_their_job),
    SUITE_TEST(stale_event_changes_nothing),
    SUITE_TEST(sequencer_orders_before_time),
    SUITE_TEST(without_a_sequencer_time_orders),
    SUITE_TEST(later_event_of_the_same_version_moves_the_order_on),
    SUITE_TEST(going_back_to_old_content_is_a_new_version),
    SUITE_TEST(removal_takes_it_out_of_everything),
    SUITE_TEST(removal_of_an_old_version_leaves_the_newest),
    SUITE_TEST(removal_of_the_unknown_makes_its_late_creation_stale),
    SUITE_TEST(removed_medium_comes_back),
    SUITE_TEST(events_of_one_call_are_taken_in_order),
    SUITE_TEST(bad_events_are_refused_whole),
    SUITE_TEST(collection_follows_the_newest_version),
    SUITE_TEST(random_events_agree_with_a_model),
};
const size_t database_event_test_count =
    sizeof database_event_tests / sizeof database_event_tests[0];
