#include "server/instruments.h"

#include "server/process_figures.h"
#include "shared/error.h"

enum { FIGURES_MAX_AGE_MS = 5000 };

int instruments_open(struct instruments *i, const struct database *database,
                     const struct job_queue *queue, int64_t figures_max_age_ms)
{
    *i = (struct instruments){
        .start_time = process_start_time(),
        .figures = {.database = *database,
                    .queue = *queue,
                    .max_age_ms = figures_max_age_ms ? figures_max_age_ms : FIGURES_MAX_AGE_MS}};
    int rc = metrics_open(&i->metrics);
    if (!rc)
        rc = figures_start(&i->figures);
    i->looks = !rc;
    return rc;
}

void instruments_close(struct instruments *i)
{
    if (i->looks)
        figures_stop(&i->figures);
    metrics_close(i->metrics);
    *i = (struct instruments){0};
}

void instruments_write(struct instruments *i, struct exposition *x)
{
    exposition_family(x, "aegis_build_info", "gauge", "1; the version is the label.");
    exposition_sample(x, "aegis_build_info", "version=\"" AEGIS_VERSION "\"", 1);
    figures_write(&i->figures, x);
    metrics_write(i->metrics, x);
    process_figures_write(x, i->start_time);
}
