#include <string.h>

#include "fake.h"
#include "shared/error.h"

int64_t tokens_of(size_t bytes)
{
    return (int64_t)(bytes + 3) / 4;
}

static bool lifted_valid(const struct json_lifted *lifted)
{
    for (size_t i = 0; i < lifted->count; i++)
        if (!json_lifted_valid(&lifted->strings[i]))
            return false;
    return true;
}

bool request_open(struct exchange *x, struct request *out)
{
    *out = (struct request){0};
    int rc = json_lift(buffer_string(&x->body), x->body.length, LIFT_THRESHOLD, JSON_LIMIT,
                       &out->lifted);
    if (!rc && lifted_valid(&out->lifted))
        rc = json_lifted_parse(&out->lifted, "the body", &out->json);
    if (!rc && json_is_object(out->json))
        return true;
    reply_invalid(x, NULL, NULL,
                  "We could not parse the JSON body of your request. (HINT: This likely means you "
                  "aren't using your HTTP library correctly. The API expects a JSON payload.)");
    request_close(out);
    return false;
}

void request_close(struct request *r)
{
    json_decref(r->json);
    json_lifted_free(&r->lifted);
}

bool request_text(const struct request *r, const json_t *value, struct json_slice *out)
{
    return json_lifted_string(&r->lifted, value, out);
}
