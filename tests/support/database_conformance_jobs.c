/* Attempts, leases, pauses, dead letters, stranded jobs, the outbox. */
#include <stdio.h>
#include <stdlib.h>

#include "support/database_fixture.h"
#include "support/database_suite.h"

static int64_t now_of(struct fixture *f)
{
    return atomic_load(&f->now_ms);
}

static void pass_time(struct fixture *f, int64_t ms)
{
    atomic_fetch_add(&f->now_ms, ms);
}

static void start_tells_what_to_do(void **state)
{
    struct fixture *f = *state;
    struct media_event e = event_of("path/to file.txt", "tag", 1234);
    struct job_work work;
    e.object_version = "ver";
    e.collection = "papers";
    e.content = digest_text("body");
    struct event_outcome out = record(f, e);
    memset(&work, 0xee, sizeof work);
    assert_int_equal(start_rc(f, out.job_id, 1, now_of(f) + 1000, &work), 0);
    assert_int_equal(work.job_id, out.job_id);
    assert_int_equal(work.media_id, out.media_id);
    assert_int_equal(work.version_id, out.version_id);
    assert_int_equal(work.attempt, 1);
    assert_int_equal(work.size, 100);
    assert_int_equal(work.queued_ms, now_of(f));
    assert_true(digest_equal(&work.content, &e.content));
    assert_string_equal(work.trace_id, e.trace_id);
    assert_string_equal(work.bucket, "media");
    assert_string_equal(work.key, "path/to file.txt");
    assert_string_equal(work.object_version, "ver");
    assert_string_equal(work.etag, "tag");
    assert_string_equal(work.collection, "papers");
    assert_string_equal(work.content_type, "text/plain");
    struct job_row j = job_of(f, out.job_id);
    assert_int_equal(j.state, JOB_RUNNING);
    assert_int_equal(j.attempts, 1);
    assert_string_equal(j.worker, "host:1");
    assert_int_equal(j.started_ms, now_of(f));
    assert_int_equal(life_count(f, "job.started", out.job_id), 1);
}

static void start_refuses_each_for_its_own_reason(void **state)
{
    struct fixture *f = *state;
    struct event_outcome a = upload(f, "a", "e", 1), b = upload(f, "b", "e", 1),
                         c = upload(f, "c", "e", 1);
    struct job_work works[4];
    start(f, b.job_id);
    struct job_work dead = start(f, c.job_id);
    OKAY(end_with(f, &dead, ATTEMPT_DEAD, "broken"));
    struct job_start s[4] = {
        {.job_id = a.job_id, .receive_count = 1, .rc = -1, .work = &works[0]},
        {.job_id = b.job_id, .receive_count = 1, .rc = -1, .work = &works[1]},
        {.job_id = c.job_id, .receive_count = 1, .rc = -1, .work = &works[2]},
        {.job_id = 999999, .receive_count = 1, .rc = -1, .work = &works[3]},
    };
    OKAY(DB(f, start_attempts, s, 4, "host:2", now_of(f) + 1000));
    assert_int_equal(s[0].rc, 0);
    assert_int_equal(s[1].rc, ERR_BUSY);
    assert_int_equal(s[2].rc, ERR_CONFLICT);
    assert_int_equal(s[3].rc, ERR_NOT_FOUND);
    assert_string_equal(job_of(f, b.job_id).worker, "host:1");
}

static size_t attempts_of(struct fixture *f, int64_t job_id, struct attempt_row **attempts)
{
    struct job_row row;
    size_t n;
    OKAY(DB(f, job_get, job_id, &f->arena, &row, attempts, &n));
    return n;
}

static void expired_lease_is_a_lost_attempt(void **state)
{
    struct fixture *f = *state;
    struct attempt_row *a;
    struct job_work second;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work first = start(f, out.job_id);
    assert_int_equal(start_rc(f, out.job_id, 1, now_of(f) + 1000, &second), ERR_BUSY);
    pass_time(f, 60001);
    assert_int_equal(start_rc(f, out.job_id, 1, now_of(f) + 1000, &second), 0);
    assert_int_equal(second.attempt, 2);
    assert_int_equal(attempts_of(f, out.job_id, &a), 2);
    assert_string_equal(a[0].outcome, "lost");
    assert_int_equal(a[0].attempt, 1);
    assert_int_equal(a[0].ended_ms, now_of(f));
    assert_string_equal(a[1].outcome, "running");
    assert_int_equal(a[1].attempt, 2);
    assert_int_equal(a[1].ended_ms, 0);
    assert_int_equal(end_with(f, &first, ATTEMPT_RETRY, "late"), ERR_CONFLICT);
    assert_int_equal(state_of(f, out.job_id), JOB_RUNNING);
}

static void risen_receive_count_is_a_lost_attempt(void **state)
{
    struct fixture *f = *state;
    struct job_work second;
    struct event_outcome out = upload(f, "a", "e", 1);
    start(f, out.job_id);
    assert_int_equal(start_rc(f, out.job_id, 2, now_of(f) + 1000, &second), 0);
    assert_int_equal(second.attempt, 2);
    assert_int_equal(job_of(f, out.job_id).attempts, 2);
    assert_int_equal(totals_of(f).jobs[JOB_RUNNING], 1);
}

static void extended_lease_keeps_others_out(void **state)
{
    struct fixture *f = *state;
    struct job_work other;
    struct event_outcome a = upload(f, "a", "e", 1), b = upload(f, "b", "e", 1);
    start(f, a.job_id);
    pass_time(f, 50000);
    int64_t ids[3] = {a.job_id, b.job_id, 424242};
    OKAY(DB(f, extend_leases, ids, 3, now_of(f) + 60000));
    pass_time(f, 30000);
    assert_int_equal(start_rc(f, a.job_id, 1, now_of(f) + 1000, &other), ERR_BUSY);
    assert_int_equal(state_of(f, b.job_id), JOB_QUEUED);
    OKAY(DB(f, extend_leases, NULL, 0, now_of(f)));
}

static void same_content_runs_once(void **state)
{
    struct fixture *f = *state;
    struct digest same = digest_text("same"), other = digest_text("other");
    struct event_outcome a = upload(f, "a", "e", 1), b = upload(f, "b", "e", 1),
                         c = upload(f, "c", "e", 1);
    struct job_work wa = start(f, a.job_id), wb = start(f, b.job_id), wc = start(f, c.job_id);
    (void)wb;
    (void)wc;
    OKAY(DB(f, set_content, a.job_id, &same));
    OKAY(DB(f, set_content, a.job_id, &same)); /* the same job again */
    assert_int_equal(DB(f, set_content, b.job_id, &same), ERR_BUSY);
    OKAY(DB(f, set_content, c.job_id, &other));
    OKAY(end_with(f, &wa, ATTEMPT_DEAD, "broken"));
    OKAY(DB(f, set_content, b.job_id, &same));
}

static void same_content_waits_only_for_a_live_lease(void **state)
{
    struct fixture *f = *state;
    struct digest same = digest_text("same");
    struct event_outcome a = upload(f, "a", "e", 1), b = upload(f, "b", "e", 1);
    start(f, a.job_id);
    OKAY(DB(f, set_content, a.job_id, &same));
    pass_time(f, 60001);
    start(f, b.job_id);
    OKAY(DB(f, set_content, b.job_id, &same));
}

static void start_waits_for_the_same_content_too(void **state)
{
    struct fixture *f = *state;
    struct media_event one = event_of("a", "e", 1), two = event_of("b", "e", 1);
    struct job_work works[2];
    one.content = two.content = digest_text("same");
    int64_t a = record(f, one).job_id, b = record(f, two).job_id;
    struct job_start s[2] = {{.job_id = a, .receive_count = 1, .rc = -1, .work = &works[0]},
                             {.job_id = b, .receive_count = 1, .rc = -1, .work = &works[1]}};
    OKAY(DB(f, start_attempts, s, 2, "host:1", now_of(f) + 60000));
    assert_int_equal(s[0].rc, 0);
    assert_int_equal(s[1].rc, ERR_BUSY);
    assert_int_equal(state_of(f, b), JOB_QUEUED);
    OKAY(end_with(f, &works[0], ATTEMPT_GIVEN_BACK, "drained"));
    assert_int_equal(start_rc(f, b, 2, now_of(f) + 60000, &works[1]), 0);
}

/* Where it is told that there are none, there are none: of whichever medium they were made. */
static void checkpoints_of_a_content_are_told(void **state)
{
    struct fixture *f = *state;
    struct media_event one = event_of("a", "e", 1), two = event_of("b", "e", 1);
    one.content = two.content = digest_text("same");
    struct job_work w = start(f, record(f, one).job_id);
    struct checkpoint item = {
        .job_id = w.job_id,
        .key = {.stage = "summarise", .input = digest_text("in"), .settings = digest_text("set")},
        .bytes = "paid",
        .length = 4};
    OKAY(DB(f, checkpoints_put, &item, 1));
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "timeout"));
    w = start(f, w.job_id);
    assert_false(w.no_checkpoints);
    OKAY(end_with(f, &w, ATTEMPT_DEAD, "broken"));
    w = start(f, record(f, two).job_id);
    assert_true(w.content_is_new);
    assert_false(w.no_checkpoints);
    w = start(f, upload(f, "c", "e", 1).job_id);
    assert_false(digest_known(&w.content));
    assert_false(w.no_checkpoints); /* it may turn out to be of that content */
}

static void set_content_is_remembered(void **state)
{
    struct fixture *f = *state;
    struct digest d = digest_text("found out");
    struct event_outcome a = upload(f, "a", "e", 1);
    struct job_work w = start(f, a.job_id);
    assert_false(digest_known(&w.content));
    OKAY(DB(f, set_content, a.job_id, &d));
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "timeout"));
    w = start(f, a.job_id);
    assert_true(digest_equal(&w.content, &d));
    assert_int_equal(DB(f, set_content, 424242, &d), ERR_NOT_FOUND);
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "timeout"));
    assert_int_equal(DB(f, set_content, a.job_id, &d), ERR_CONFLICT);
}

static void retry_tells_when_and_why(void **state)
{
    struct fixture *f = *state;
    struct attempt_row *a;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "rate_limited"));
    struct job_row j = job_of(f, out.job_id);
    assert_int_equal(j.state, JOB_RETRYING);
    assert_int_equal(j.due_ms, now_of(f) + 5000);
    assert_int_equal(j.attempts, 1);
    assert_int_equal(j.finished_ms, 0);
    assert_string_equal(j.stage, "extract");
    assert_string_equal(j.reason, "rate_limited");
    assert_string_equal(j.message, "it said \"no\"");
    struct media_row m = media_of(f, out.media_id);
    assert_int_equal(m.state, JOB_RETRYING);
    assert_string_equal(m.reason, "rate_limited");
    assert_string_equal(m.message, "it said \"no\"");
    assert_int_equal(attempts_of(f, out.job_id, &a), 1);
    assert_string_equal(a[0].outcome, "retry");
    assert_string_equal(a[0].stage, "extract");
    assert_string_equal(a[0].reason, "rate_limited");
    assert_string_equal(a[0].worker, "host:1");
    assert_int_equal(end_with(f, &w, ATTEMPT_RETRY, "again"), ERR_CONFLICT);
    assert_int_equal(start(f, out.job_id).attempt, 2);
}

static void given_back_does_not_count(void **state)
{
    struct fixture *f = *state;
    struct attempt_row *a;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(end_with(f, &w, ATTEMPT_GIVEN_BACK, "drained"));
    assert_int_equal(state_of(f, out.job_id), JOB_QUEUED);
    assert_int_equal(job_of(f, out.job_id).attempts, 0);
    assert_int_equal(start(f, out.job_id).attempt, 1);
    assert_int_equal(attempts_of(f, out.job_id, &a), 2);
    assert_string_equal(a[0].outcome, "given_back");
    assert_int_equal(life_count(f, "job.given_back", out.job_id), 1);
}

static void cancelled_attempt_cancels_the_job(void **state)
{
    struct fixture *f = *state;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id), again;
    OKAY(end_with(f, &w, ATTEMPT_CANCELLED, "gone"));
    assert_int_equal(state_of(f, out.job_id), JOB_CANCELLED);
    assert_int_equal(job_of(f, out.job_id).finished_ms, now_of(f));
    assert_int_equal(start_rc(f, out.job_id, 2, now_of(f) + 1, &again), ERR_CONFLICT);
}

static void pause_and_resume(void **state)
{
    struct fixture *f = *state;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work other;
    assert_int_equal(DB(f, set_paused, out.job_id, true, "invalid_key", "mend it"), ERR_CONFLICT);
    struct job_work w = start(f, out.job_id);
    OKAY(DB(f, set_paused, out.job_id, true, "invalid_key", "mend it"));
    OKAY(DB(f, set_paused, out.job_id, true, "invalid_key", "mend it"));
    struct job_row j = job_of(f, out.job_id);
    assert_int_equal(j.state, JOB_PAUSED);
    assert_string_equal(j.reason, "invalid_key");
    assert_string_equal(j.message, "mend it");
    assert_int_equal(start_rc(f, out.job_id, 1, now_of(f) + 1, &other), ERR_BUSY);
    OKAY(DB(f, extend_leases, &out.job_id, 1, now_of(f) + 90000));
    pass_time(f, 70000);
    assert_int_equal(start_rc(f, out.job_id, 1, now_of(f) + 1, &other), ERR_BUSY);
    OKAY(DB(f, set_paused, out.job_id, false, "", ""));
    assert_int_equal(state_of(f, out.job_id), JOB_RUNNING);
    assert_int_equal(life_count(f, "job.paused", out.job_id), 1);
    assert_int_equal(life_count(f, "job.resumed", out.job_id), 1);
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "x"));
    assert_int_equal(DB(f, set_paused, 424242, true, "r", "m"), ERR_NOT_FOUND);
}

static void dead_is_redriven_or_dropped(void **state)
{
    struct fixture *f = *state;
    struct attempt_row *a;
    struct event_outcome out = upload(f, "a", "e", 1);
    assert_int_equal(DB(f, redrive, out.job_id), ERR_CONFLICT);
    assert_int_equal(DB(f, drop, out.job_id), ERR_CONFLICT);
    assert_int_equal(DB(f, redrive, 424242), ERR_NOT_FOUND);
    assert_int_equal(DB(f, drop, 424242), ERR_NOT_FOUND);
    struct job_work w = start(f, out.job_id);
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "x"));
    w = start(f, out.job_id);
    OKAY(end_with(f, &w, ATTEMPT_DEAD, "unreadable"));
    assert_int_equal(state_of(f, out.job_id), JOB_DEAD);
    assert_int_equal(totals_of(f).jobs[JOB_DEAD], 1);
    assert_int_equal(life_count(f, "job.dead", out.job_id), 1);
    OKAY(DB(f, redrive, out.job_id));
    assert_int_equal(state_of(f, out.job_id), JOB_QUEUED);
    assert_int_equal(job_of(f, out.job_id).attempts, 0);
    w = start(f, out.job_id);
    assert_int_equal(w.attempt, 1);
    OKAY(end_with(f, &w, ATTEMPT_DEAD, "unreadable"));
    assert_int_equal(attempts_of(f, out.job_id, &a), 3); /* history stays */
    OKAY(DB(f, drop, out.job_id));
    assert_int_equal(state_of(f, out.job_id), JOB_CANCELLED);
    assert_string_equal(job_of(f, out.job_id).reason, "unreadable");
    assert_int_equal(DB(f, drop, out.job_id), ERR_CONFLICT);
    struct totals t = totals_of(f);
    assert_int_equal(t.jobs[JOB_DEAD], 0);
    assert_int_equal(t.jobs[JOB_CANCELLED], 1);
}

static int64_t dead_one(struct fixture *f, const char *key, const char *etag, int order)
{
    struct event_outcome out = upload(f, key, etag, order);
    struct job_work w = start(f, out.job_id);
    OKAY(end_with(f, &w, ATTEMPT_DEAD, "unreadable"));
    assert_int_equal(state_of(f, out.job_id), JOB_DEAD);
    return out.job_id;
}

static void assert_left(struct fixture *f, int64_t job_id)
{
    assert_int_equal(state_of(f, job_id), JOB_CANCELLED);
    assert_string_equal(job_of(f, job_id).reason, "unreadable"); /* still says why it died */
    assert_int_equal(life_count(f, "job.cancelled", job_id), 1);
    assert_int_equal(DB(f, redrive, job_id), ERR_CONFLICT);
    assert_int_equal(DB(f, drop, job_id), ERR_CONFLICT);
}

/* As soon as there is a newer job of the medium, or no medium: it could not be redriven. */
static void a_dead_letter_leaves_with_what_it_was_of(void **state)
{
    struct fixture *f = *state;
    struct job_row *rows;
    size_t count;
    int64_t replaced = dead_one(f, "a", "e1", 1), reprocessed = dead_one(f, "b", "e1", 1),
            gone = dead_one(f, "c", "e1", 1), stays = dead_one(f, "d", "e1", 1);
    record(f, event_of("a", "e1", 1)); /* the same event once more changes nothing */
    assert_int_equal(totals_of(f).jobs[JOB_DEAD], 4);
    struct event_outcome newer = upload(f, "a", "e2", 2);
    assert_left(f, replaced);
    assert_int_equal(state_of(f, newer.job_id), JOB_QUEUED);
    struct media_filter only = {.media_id = job_of(f, reprocessed).media_id};
    OKAY(DB(f, reprocess, &only, 0, 10, &f->arena, &rows, &count));
    assert_int_equal(count, 1);
    assert_left(f, reprocessed);
    remove_key(f, "c", 2);
    assert_left(f, gone);
    OKAY(DB(f, job_list, JOB_DEAD, 0, 10, &f->arena, &rows, &count));
    assert_int_equal(count, 1);
    assert_int_equal(rows[0].job_id, stays);
    struct totals t = totals_of(f);
    assert_int_equal(t.jobs[JOB_DEAD], 1);
    assert_int_equal(t.jobs[JOB_CANCELLED], 3);
}

static void superseded_dead_job_is_not_redriven(void **state)
{
    struct fixture *f = *state;
    struct event_outcome one = upload(f, "a", "e1", 1);
    struct job_work w = start(f, one.job_id);
    OKAY(end_with(f, &w, ATTEMPT_DEAD, "unreadable"));
    struct event_outcome two = upload(f, "a", "e2", 2);
    assert_int_equal(DB(f, redrive, one.job_id), ERR_CONFLICT);
    assert_int_equal(state_of(f, two.job_id), JOB_QUEUED);
}

static void queue_that_gives_up_makes_dead(void **state)
{
    struct fixture *f = *state;
    struct attempt_row *a;
    struct event_outcome out = upload(f, "a", "e", 1), done;
    start(f, out.job_id);
    OKAY(DB(f, mark_dead, out.job_id, "max_receives", "received 5 times"));
    struct job_row j = job_of(f, out.job_id);
    assert_int_equal(j.state, JOB_DEAD);
    assert_string_equal(j.reason, "max_receives");
    assert_int_equal(attempts_of(f, out.job_id, &a), 1);
    assert_string_equal(a[0].outcome, "dead");
    OKAY(DB(f, drop, out.job_id));
    OKAY(DB(f, mark_dead, out.job_id, "max_receives", "")); /* over already: nothing changes */
    assert_int_equal(state_of(f, out.job_id), JOB_CANCELLED);
    assert_int_equal(DB(f, mark_dead, 424242, "r", "m"), ERR_NOT_FOUND);
    done = upload(f, "b", "e", 1);
    OKAY(DB(f, mark_dead, done.job_id, "max_receives", "never started"));
    assert_int_equal(state_of(f, done.job_id), JOB_DEAD);
}

static size_t stranded_count(struct fixture *f, int64_t before_ms, struct job_row **rows)
{
    size_t n;
    OKAY(DB(f, stranded, before_ms, 10, &f->arena, rows, &n));
    return n;
}

static void stranded_jobs_are_found(void **state)
{
    struct fixture *f = *state;
    struct job_row *rows;
    struct event_outcome queued = upload(f, "queued", "e", 1);
    pass_time(f, 1);
    struct event_outcome retrying = upload(f, "retrying", "e", 1),
                         running = upload(f, "running", "e", 1), done = upload(f, "done", "e", 1);
    struct job_work w = start(f, retrying.job_id);
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "x")); /* due in 5 s */
    start(f, running.job_id);                  /* lease of 60 s */
    w = start(f, done.job_id);
    OKAY(end_with(f, &w, ATTEMPT_DEAD, "x"));
    assert_int_equal(stranded_count(f, now_of(f), &rows), 1);
    assert_int_equal(rows[0].job_id, queued.job_id);
    assert_string_equal(rows[0].key, "queued");
    assert_int_equal(stranded_count(f, now_of(f) + 5001, &rows), 2);
    assert_int_equal(rows[1].job_id, retrying.job_id);
    assert_int_equal(stranded_count(f, now_of(f) + 60001, &rows), 3);
    assert_int_equal(rows[2].job_id, running.job_id);
    OKAY(DB(f, touch, &queued.job_id, 1, now_of(f) + 100000));
    assert_int_equal(stranded_count(f, now_of(f) + 60001, &rows), 2);
    OKAY(DB(f, touch, &running.job_id, 1, now_of(f) + 200000));
    assert_int_equal(stranded_count(f, now_of(f) + 60001, &rows), 1);
    /* a new message does not prolong the lease */
    pass_time(f, 60001);
    struct job_work again;
    assert_int_equal(start_rc(f, running.job_id, 1, now_of(f) + 1000, &again), 0);
}

static void stranded_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct job_row *rows;
    size_t n;
    for (int i = 0; i < 15; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        upload(f, key, "e", 1);
    }
    OKAY(DB(f, stranded, now_of(f) + 1, 4, &f->arena, &rows, &n));
    assert_int_equal(n, 4);
}

static void pipeline_pause_is_shared(void **state)
{
    struct fixture *f = *state;
    struct database second;
    const char *reason, *message;
    int64_t since;
    OKAY(DB(f, pause_get, &f->arena, &reason, &message, &since));
    assert_string_equal(reason, "");
    assert_int_equal(since, 0);
    OKAY(DB(f, pause_set, "quota", "buy more"));
    int64_t first = now_of(f);
    pass_time(f, 500);
    OKAY(DB(f, pause_set, "quota", "buy even more")); /* still the same pause */
    OKAY(f->harness->open_again(f->harness->ctx, &f->clock, &second));
    OKAY(second.ops->pause_get(second.ctx, &f->arena, &reason, &message, &since));
    assert_string_equal(reason, "quota");
    assert_string_equal(message, "buy even more");
    assert_int_equal(since, first);
    OKAY(second.ops->pause_set(second.ctx, "", ""));
    second.ops->close(second.ctx);
    OKAY(DB(f, pause_get, &f->arena, &reason, &message, &since));
    assert_string_equal(reason, "");
    assert_int_equal(since, 0);
}

static void outbox_tells_the_whole_story(void **state)
{
    struct fixture *f = *state;
    struct event_outcome out = upload(f, "a", "e", 1);
    struct job_work w = start(f, out.job_id);
    OKAY(end_with(f, &w, ATTEMPT_RETRY, "timeout"));
    w = start(f, out.job_id);
    const char *text = "words";
    OKAY(publish_result(f, &w, &(struct simple_result){.chunks = &text, .chunk_count = 1}));
    assert_int_equal(remove_key(f, "a", now_of(f)).result, EVENT_MEDIA_REMOVED);
    static const char *const types[] = {"job.queued",  "job.started",   "job.retrying",
                                        "job.started", "job.succeeded", "media.removed"};
    struct life_event *e;
    size_t n;
    OKAY(DB(f, life_events, 0, 100, &f->arena, &e, &n));
    assert_int_equal(n, 6);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(e[i].type, types[i]);
        assert_int_equal(e[i].media_id, out.media_id);
        assert_string_equal(e[i].bucket, "media");
        assert_string_equal(e[i].key, "a");
        assert_string_equal(e[i].trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_int_equal(e[i].at_ms, now_of(f));
    }
    assert_int_equal(e[1].attempt, 1);
    assert_int_equal(e[4].attempt, 2);
    assert_int_equal(e[5].job_id, 0);
    assert_non_null(strstr(e[2].detail_json, "\"reason\":\"timeout\""));
    assert_non_null(strstr(e[2].detail_json, "\"stage\":\"extract\""));
    assert_non_null(strstr(e[2].detail_json, "it said \\\"no\\\""));
    assert_non_null(strstr(e[4].detail_json, "{\"fetch\":1}"));
    struct life_event *rest;
    OKAY(DB(f, life_events, e[2].id, 2, &f->arena, &rest, &n));
    assert_int_equal(n, 2);
    assert_int_equal(rest[0].id, e[3].id);
    OKAY(DB(f, life_events, e[5].id, 2, &f->arena, &rest, &n));
    assert_int_equal(n, 0);
}

const struct suite_test database_job_tests[] = {
    SUITE_TEST(start_tells_what_to_do),
    SUITE_TEST(start_refuses_each_for_its_own_reason),
    SUITE_TEST(expired_lease_is_a_lost_attempt),
    SUITE_TEST(risen_receive_count_is_a_lost_attempt),
    SUITE_TEST(extended_lease_keeps_others_out),
    SUITE_TEST(same_content_runs_once),
    SUITE_TEST(same_content_waits_only_for_a_live_lease),
    SUITE_TEST(start_waits_for_the_same_content_too),
    SUITE_TEST(checkpoints_of_a_content_are_told),
    SUITE_TEST(set_content_is_remembered),
    SUITE_TEST(retry_tells_when_and_why),
    SUITE_TEST(given_back_does_not_count),
    SUITE_TEST(cancelled_attempt_cancels_the_job),
    SUITE_TEST(pause_and_resume),
    SUITE_TEST(dead_is_redriven_or_dropped),
    SUITE_TEST(a_dead_letter_leaves_with_what_it_was_of),
    SUITE_TEST(superseded_dead_job_is_not_redriven),
    SUITE_TEST(queue_that_gives_up_makes_dead),
    SUITE_TEST(stranded_jobs_are_found),
    SUITE_TEST(stranded_is_bounded),
    SUITE_TEST(pipeline_pause_is_shared),
    SUITE_TEST(outbox_tells_the_whole_story),
};
const size_t database_job_test_count = sizeof database_job_tests / sizeof database_job_tests[0];
