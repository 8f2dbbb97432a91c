/*
 * otlp_pairs.h - lists as OpenTelemetry's environment variables have them: "name=value,name=value",
 * values percent-encoded where need be
 * (https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables).
 */
#ifndef AEGIS_SERVER_OTLP_PAIRS_H
#define AEGIS_SERVER_OTLP_PAIRS_H

#include "shared/arena.h"
#include "shared/http.h"

/* Copies into the arena; spaces around names and values go. `setting` is named in errors, values
 * are not: they may be secret. ERR_INVALID (an entry without a name or "=", a malformed escape, a
 * control character, more than CAP_OTLP_PAIRS), ERR_NO_MEMORY. */
int otlp_pairs_parse(const char *setting, const char *text, struct arena *arena,
                     struct http_header **out, size_t *count);

#endif
