#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adapters/offline/language.h"
#include "adapters/offline/terms.h"
#include "support/seed.h"

static struct stopwords *stopwords;
static struct language_detector *detector;

static int open_all(void **state)
{
    (void)state;
    return stopwords_open(&stopwords) || language_open(stopwords, &detector);
}

static int close_all(void **state)
{
    (void)state;
    language_close(detector);
    stopwords_close(stopwords);
    return 0;
}

static const char *language_of(const char *text)
{
    static char out[LANGUAGE_TEXT];
    language_detect(detector, text, strlen(text), out);
    return out;
}

static const struct {
    const char *language, *text;
} samples[] = {
    {"en", "The committee met on Monday to decide about the old water pump."},
    {"de", "Die Versammlung hat beschlossen, dass die Pumpe im Garten ersetzt werden soll."},
    {"fr", "La réunion a décidé que la pompe du jardin serait remplacée avant l'été."},
    {"es", "La reunión de vecinos decidió que la bomba de agua se cambiará antes del verano."},
    {"it", "La riunione ha deciso che la pompa del giardino sarà sostituita prima dell'estate."},
    {"pt", "A reunião decidiu que a bomba do jardim não será reparada, mas substituída."},
    {"nl", "De vergadering heeft besloten dat de pomp in de tuin vervangen moet worden."},
    {"sv", "Mötet beslutade att pumpen i trädgården ska bytas ut innan sommaren kommer."},
    {"ru", "Собрание решило, что насос в саду будет заменён до начала лета."},
    {"ja", "会議では、庭の古いポンプを交換することが決まりました。"},
    {"zh", "会议决定更换花园里的旧水泵。"},
    {"ko", "회의에서 정원의 낡은 펌프를 교체하기로 결정했습니다."},
    {"el", "Η συνέλευση αποφάσισε να αντικαταστήσει την αντλία του κήπου."},
    {"he", "האסיפה החליטה להחליף את המשאבה הישנה בגינה."},
    {"th", "ที่ประชุมตัดสินใจเปลี่ยนเครื่องสูบน้ำเก่าในสวน"},
    {"pl",
     "Zebranie zdecydowało, że stara pompa w ogrodzie zostanie wymieniona jeszcze przed latem, "
     "ponieważ naprawa byłaby zbyt droga, a wszyscy potrzebują wody każdego dnia."},
    {"tr", "Toplantıda bahçedeki eski pompanın yazdan önce değiştirilmesine karar verildi, çünkü "
           "onarım çok pahalı olacaktı ve herkesin her gün suya ihtiyacı var."},
    {"hu", "A gyűlés úgy döntött, hogy a kertben lévő régi szivattyút még a nyár előtt kicserélik, "
           "mert a javítás túl drága lenne, és mindenkinek szüksége van vízre minden nap."},
    {"ar", "قرر الاجتماع استبدال المضخة القديمة في الحديقة قبل حلول الصيف لأن إصلاحها سيكون مكلفا "
           "جدا والجميع بحاجة إلى الماء كل يوم."},
};

static void knows_common_languages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++)
        assert_string_equal(language_of(samples[i].text), samples[i].language);
}

static void a_draft_transcript_is_still_english(void **state)
{
    (void)state;
    assert_string_equal(language_of("and oregon needs water every day last week the water pump was "
                                    "broken we can read while they're from the rework"),
                        "en");
}

static void few_words_are_not_guessed_at(void **state)
{
    (void)state;
    assert_string_equal(language_of(""), "");
    assert_string_equal(language_of("pump"), "");
    assert_string_equal(language_of("12 345 --"), "");
    assert_string_equal(language_of("how does the pump work"), "en");
}

static void terms_are_stemmed_and_sorted_out(void **state)
{
    (void)state;
    struct term_scan scan;
    struct term a, b, c;
    const char *text = "The pump's pumping Pumps";
    term_scan_begin(&scan, stopwords, "en");
    term_scan_text(&scan, text, strlen(text));
    assert_true(term_next(&scan, &a));
    assert_true(a.stop);
    assert_true(term_next(&scan, &a) && term_next(&scan, &b) && term_next(&scan, &c));
    assert_true(!a.stop && a.stem == b.stem && b.stem == c.stem);
    assert_false(term_next(&scan, &a));
    term_scan_end(&scan);

    text = "l'été dell'acqua";
    term_scan_begin(&scan, stopwords, "fr");
    term_scan_text(&scan, text, strlen(text));
    assert_true(term_next(&scan, &a));
    assert_int_equal(a.length, 3);
    assert_memory_equal(a.word, "ete", 3);
    assert_true(term_next(&scan, &a));
    assert_memory_equal(a.word, "acqua", 5);
    term_scan_end(&scan);
}

static void any_bytes_are_safe(void **state)
{
    (void)state;
    srand48((long)test_seed());
    for (int round = 0; round < 100; round++) {
        size_t length = (size_t)lrand48() % 3000;
        char *text = malloc(length + 1), out[LANGUAGE_TEXT];
        assert_non_null(text);
        for (size_t i = 0; i < length; i++)
            text[i] = (char)lrand48();
        language_detect(detector, text, length, out);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_common_languages),
        cmocka_unit_test(a_draft_transcript_is_still_english),
        cmocka_unit_test(few_words_are_not_guessed_at),
        cmocka_unit_test(terms_are_stemmed_and_sorted_out),
        cmocka_unit_test(any_bytes_are_safe),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
