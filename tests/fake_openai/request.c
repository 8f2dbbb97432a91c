#include "fake.h"
#include "shared/json.h"

int64_t tokens_of(size_t bytes)
{
    return (int64_t)(bytes + 3) / 4;
}

bool request_open(struct exchange *x, struct request *out)
{
    *out = (struct request){0};
    if (!json_parse(buffer_string(&x->body), x->body.length, "the body", &out->doc))
        out->json = yyjson_doc_get_root(out->doc);
    if (yyjson_is_obj(out->json))
        return true;
    reply_invalid(x, NULL, NULL,
                  "We could not parse the JSON body of your request. (HINT: This likely means you "
                  "aren't using your HTTP library correctly. The API expects a JSON payload.)");
    request_close(out);
    return false;
}

void request_close(struct request *r)
{
    yyjson_doc_free(r->doc);
}

bool request_text(yyjson_val *value, struct slice *out)
{
    *out = (struct slice){.text = yyjson_get_str(value), .length = yyjson_get_len(value)};
    return out->text != NULL;
}
