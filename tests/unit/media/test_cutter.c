/* The cutter and the voice activity detector beneath it, with made-up signals. */
#include "unit/media/media_support.h"

#include <inttypes.h>
#include <math.h>

#include "media/cutter.h"
#include "media/frames.h"
#include "media/vad.h"
#include "media/wav.h"

/* ---- signals ---- */

struct signal {
    int16_t *samples;
    size_t count;
};

enum { MS = SAMPLE_RATE / 1000, LONGEST = 400 * SAMPLE_RATE };

static void begin(struct signal *s)
{
    s->samples = malloc(LONGEST * sizeof s->samples[0]);
    assert_non_null(s->samples);
    s->count = 0;
}

/* White noise at a level in dBFS (of its standard deviation). */
static void add(struct signal *s, int ms, double level)
{
    double deviation = 32768.0 * pow(10.0, level / 20.0);
    assert_true(s->count + (size_t)(ms * MS) <= LONGEST);
    for (int i = 0; i < ms * MS; i++) {
        double unit = (double)chance(1 << 20) / (1 << 20) * 2.0 - 1.0;
        double x = unit * deviation * sqrt(3.0);
        s->samples[s->count++] = (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x);
    }
}

static void add_zeros(struct signal *s, int ms)
{
    memset(s->samples + s->count, 0, (size_t)(ms * MS) * sizeof s->samples[0]);
    s->count += (size_t)(ms * MS);
}

/* ---- cutting ---- */

struct result {
    struct decoded pieces;
    int64_t sound_ms, position_ms;
};

/* Feeds in chunks of any size. */
static struct result cut(const struct signal *s, const struct audio_options *options)
{
    struct result r = {0};
    struct audio_sink sink = {.piece = take_piece, .ctx = &r.pieces};
    struct cutter *c = malloc(sizeof *c);
    assert_non_null(c);
    cutter_init(c, options, &sink);
    for (size_t at = 0; at < s->count;) {
        size_t n = 1 + (size_t)chance(5000);
        if (n > s->count - at)
            n = s->count - at;
        assert_int_equal(cutter_feed(c, s->samples + at, n), OK);
        at += n;
    }
    assert_int_equal(cutter_end(c), OK);
    r.sound_ms = cutter_sound_ms(c);
    r.position_ms = cutter_position_ms(c);
    cutter_fini(c);
    free(c);
    return r;
}

/* Whatever the signal: in order, without overlap, within the limits, and true to the recording. */
static void check(const struct signal *s, const struct audio_options *o, const struct result *r)
{
    int64_t before = 0;
    assert_int_equal(r->position_ms, s->count / MS);
    for (int i = 0; i < r->pieces.count; i++) {
        const struct audio_piece *p = &r->pieces.pieces[i];
        int64_t samples = (p->size - WAV_HEADER) / 2, at = p->start_ms * MS;
        assert_true(p->start_ms >= before && p->end_ms > p->start_ms);
        assert_true(p->end_ms <= r->position_ms);
        if (o->max_ms)
            assert_true(p->end_ms - p->start_ms <= o->max_ms);
        if (o->max_bytes)
            assert_true(p->size <= o->max_bytes);
        if (i + 1 < r->pieces.count && o->min_ms)
            assert_true(p->end_ms - p->start_ms >= o->min_ms);
        assert_true((size_t)(at + samples) <= s->count);
        assert_memory_equal(r->pieces.samples[i], s->samples + at, (size_t)samples * 2);
        before = p->end_ms;
    }
}

static void finish(struct signal *s, struct result *r)
{
    free_decoded(&r->pieces);
    free(s->samples);
}

static const struct audio_options seconds = {
    .spool_directory = ".", .max_ms = 30000, .min_ms = 5000};

static void silence_makes_no_piece(void **state)
{
    (void)state;
    static const double levels[] = {-200, -65, -62};
    for (size_t i = 0; i < 3; i++) {
        struct signal s;
        begin(&s);
        if (levels[i] < -100)
            add_zeros(&s, 20000);
        else
            add(&s, 20000, levels[i]);
        struct result r = cut(&s, &seconds);
        assert_int_equal(r.pieces.count, 0);
        assert_int_equal(r.sound_ms, 0);
        check(&s, &seconds, &r);
        finish(&s, &r);
    }
}

static void clicks_are_no_sound(void **state)
{
    (void)state;
    struct signal s;
    begin(&s);
    for (int i = 0; i < 10; i++) {
        add_zeros(&s, 1000);
        add(&s, 10, -10);
    }
    add_zeros(&s, 1000);
    struct result r = cut(&s, &seconds);
    assert_int_equal(r.pieces.count, 0);
    assert_int_equal(r.sound_ms, 0);
    finish(&s, &r);
}

static void nothing_at_all(void **state)
{
    (void)state;
    struct signal s;
    begin(&s);
    struct result r = cut(&s, &seconds);
    assert_int_equal(r.pieces.count, 0);
    assert_int_equal(r.position_ms, 0);
    finish(&s, &r);
}

static void silence_around_is_left_out(void **state)
{
    (void)state;
    struct signal s;
    begin(&s);
    add_zeros(&s, 10000);
    add(&s, 6000, -20);
    add_zeros(&s, 20000);
    add(&s, 2000, -20);
    add_zeros(&s, 7000);
    struct result r = cut(&s, &seconds);
    check(&s, &seconds, &r);
    assert_int_equal(r.pieces.count, 2);
    assert_in_range(r.pieces.pieces[0].start_ms, 9600, 10000);
    assert_in_range(r.pieces.pieces[0].end_ms, 16000, 17100);
    assert_in_range(r.pieces.pieces[1].start_ms, 35600, 36000);
    assert_in_range(r.pieces.pieces[1].end_ms, 38000, 41100);
    assert_in_range(r.sound_ms, 7900, 8200);
    finish(&s, &r);
}

/* Speech-like: bursts with pauses, noise behind. Every cut must fall into a pause. */
static void cuts_fall_into_pauses(void **state)
{
    (void)state;
    struct signal s;
    begin(&s);
    bool loud[400 * 50] = {false};
    while (s.count < 300 * (size_t)SAMPLE_RATE) {
        int burst = 400 + (int)chance(3000), pause = 250 + (int)chance(500);
        size_t from = s.count / VAD_FRAME;
        add(&s, burst, -18);
        for (size_t i = from; i < s.count / VAD_FRAME; i++)
            loud[i] = true;
        add(&s, pause, -45); /* above the level of silence: only the floor tells */
    }
    struct result r = cut(&s, &seconds);
    check(&s, &seconds, &r);
    assert_true(r.pieces.count >= 10);
    for (int i = 0; i + 1 < r.pieces.count; i++)
        assert_false(loud[r.pieces.pieces[i].end_ms / 20]);
    finish(&s, &r);
}

static void hard_cut_without_a_pause(void **state)
{
    (void)state;
    struct signal s;
    begin(&s);
    add(&s, 100000, -20);
    struct result r = cut(&s, &seconds);
    check(&s, &seconds, &r);
    assert_int_equal(r.pieces.count, 4);
    for (int i = 0; i < 4; i++) { /* nothing is lost */
        assert_int_equal(r.pieces.pieces[i].start_ms, 30000 * i);
        assert_int_equal(r.pieces.pieces[i].end_ms, i < 3 ? 30000 * (i + 1) : 100000);
    }
    assert_int_equal(r.sound_ms, 100000);
    finish(&s, &r);
}

static void steady_sound_is_not_silence(void **state)
{
    (void)state;
    struct signal s;
    begin(&s);
    add(&s, 60000, -35); /* all floor */
    struct result r = cut(&s, &seconds);
    assert_int_equal(r.sound_ms, 60000);
    finish(&s, &r);
}

static void a_constant_offset_is_silence(void **state)
{
    (void)state;
    struct signal s;
    begin(&s);
    for (int i = 0; i < 10 * SAMPLE_RATE; i++)
        s.samples[s.count++] = 8000;
    struct result r = cut(&s, &seconds);
    assert_int_equal(r.sound_ms, 0);
    finish(&s, &r);
}

static void bytes_limit_pieces(void **state)
{
    (void)state;
    struct audio_options o = {.spool_directory = ".", .max_bytes = 100000, .min_ms = 1000};
    struct signal s;
    begin(&s);
    add(&s, 20000, -20);
    struct result r = cut(&s, &o);
    check(&s, &o, &r);
    assert_int_equal(r.pieces.count, 7); /* 3.1 s of 32,000 bytes each */
    finish(&s, &r);

    o.max_bytes = 1; /* absurd: pieces as short as the lead allows, but no endless loop */
    begin(&s);
    add(&s, 2000, -20);
    r = cut(&s, &o);
    assert_in_range(r.pieces.count, 1, 10);
    finish(&s, &r);
}

/* A signal of random parts; every sound longer than a click is in some piece. */
static void nothing_heard_is_lost(void **state)
{
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct audio_options o = {
            .spool_directory = ".",
            .max_ms = 2000 + (int64_t)chance(20000),
            .min_ms = 20 + (int64_t)chance(900),
        };
        struct signal s;
        struct span {
            int64_t from, to;
        } sounds[80];
        int count = 0;
        begin(&s);
        for (int i = 0; i < 20; i++) {
            if (chance(3))
                add_zeros(&s, (int)chance(4000));
            else
                add(&s, (int)chance(4000), -70);
            int64_t from = (int64_t)s.count;
            add(&s, 100 + (int)chance(3000), -30 + (int)chance(25));
            sounds[count++] = (struct span){from, (int64_t)s.count};
        }
        add_zeros(&s, (int)chance(3000));
        struct result r = cut(&s, &o);
        if (r.pieces.count >= MOST_PIECES)
            fail_msg("too many pieces");
        check(&s, &o, &r);
        for (int i = 0; i < count; i++) {
            int64_t covered = 0;
            for (int k = 0; k < r.pieces.count; k++) {
                int64_t from = r.pieces.pieces[k].start_ms * MS,
                        to = r.pieces.pieces[k].end_ms * MS;
                from = from > sounds[i].from ? from : sounds[i].from;
                to = to < sounds[i].to ? to : sounds[i].to;
                covered += to > from ? to - from : 0;
            }
            if (covered < sounds[i].to - sounds[i].from - (int64_t)VAD_FRAME)
                fail_msg("of the sound %" PRId64 " ... %" PRId64 " ms only %" PRId64 " ms are kept",
                         sounds[i].from / MS, sounds[i].to / MS, covered / MS);
        }
        finish(&s, &r);
    }
}

static void gaps_move_time_on(void **state)
{
    (void)state;
    struct decoded d = {0};
    struct audio_sink sink = {.piece = take_piece, .ctx = &d};
    struct cutter *c = malloc(sizeof *c);
    struct signal s;
    assert_non_null(c);
    begin(&s);
    add(&s, 8000, -20);
    cutter_init(c, &seconds, &sink);
    assert_int_equal(cutter_gap(c, 2 * SAMPLE_RATE + 7), OK);
    assert_int_equal(cutter_feed(c, s.samples, s.count), OK);
    assert_int_equal(cutter_gap(c, (int64_t)3600 * 100 * SAMPLE_RATE),
                     OK); /* no hundred hours' work */
    assert_int_equal(cutter_feed(c, s.samples, s.count), OK);
    assert_int_equal(cutter_end(c), OK);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.pieces[0].start_ms, 2000);
    assert_in_range(d.pieces[0].end_ms, 10000, 11000);
    int64_t again = 2000 + 8000 + (int64_t)360000000;
    assert_in_range(d.pieces[1].start_ms, again - 20, again + 20);
    assert_int_equal(cutter_position_ms(c), again + 8000);
    cutter_fini(c);
    free(c);
    free(s.samples);
    free_decoded(&d);
}

static void a_lost_spool_is_an_error(void **state)
{
    (void)state;
    struct audio_options o = {.spool_directory = "no/such/directory"};
    struct decoded d = {0};
    struct audio_sink sink = {.piece = take_piece, .ctx = &d};
    struct cutter *c = malloc(sizeof *c);
    struct signal s;
    assert_non_null(c);
    begin(&s);
    add(&s, 1000, -20);
    cutter_init(c, &o, &sink);
    assert_int_not_equal(cutter_feed(c, s.samples, s.count), OK);
    assert_non_null(strstr(error_last()->message, "no/such/directory"));
    cutter_fini(c);
    free(c);
    free(s.samples);
}

int main(int argc, char **argv)
{
    child_dispatch(argc, argv, media_children);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_makes_no_piece),
        cmocka_unit_test(clicks_are_no_sound),
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(silence_around_is_left_out),
        cmocka_unit_test(cuts_fall_into_pauses),
        cmocka_unit_test(hard_cut_without_a_pause),
        cmocka_unit_test(steady_sound_is_not_silence),
        cmocka_unit_test(a_constant_offset_is_silence),
        cmocka_unit_test(bytes_limit_pieces),
        cmocka_unit_test(nothing_heard_is_lost),
        cmocka_unit_test(gaps_move_time_on),
        cmocka_unit_test(a_lost_spool_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
