/* doctor_checks.h - what `aegis doctor` looks at. */
#ifndef AEGIS_COMMANDS_DOCTOR_CHECKS_H
#define AEGIS_COMMANDS_DOCTOR_CHECKS_H

#include "commands/app.h"

enum finding_status { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct finding {
    const char *name;
    enum finding_status status;
    char detail[600];
    char advice[400]; /* "" if nothing is to be done */
};

enum { FINDINGS_CAP = 32 };

struct findings {
    struct app *app;
    struct finding items[FINDINGS_CAP];
    size_t count;
    enum finding_status worst;
    void (*print)(struct app *app, const struct finding *f); /* as they come; may be NULL */
};

void check_libraries(struct findings *all);
void check_helpers(struct findings *all);
void check_sandbox(struct findings *all); /* really parses something in a child */
void check_configuration(struct findings *all);
void check_data_directory(struct findings *all);
void check_databases(struct findings *all, bool deep);
void check_objects(struct findings *all); /* shared ones */
void check_aws(struct findings *all);     /* where something on AWS is set: the credentials */
void check_queue(struct findings *all);
/* Behind those of database and providers. */
void check_spaces(struct findings *all);
void check_providers(struct findings *all, bool call);

/* Adds one finding; `advice` may be NULL. */
void finding_add(struct findings *all, const char *name, enum finding_status status,
                 const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
