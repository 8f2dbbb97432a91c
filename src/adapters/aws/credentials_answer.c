/*
 * credentials_answer.c - what STS (XML) and the endpoints of containers and instances (JSON) say.
 */
#include <stdio.h>
#include <string.h>

#include "adapters/aws/credentials_internal.h"
#include "adapters/aws/xml.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/json.h"

static int set_expiry(struct aws_credential *c, const char *text)
{
    if (clock_parse(text, &c->expires_ms) || c->expires_ms <= 0)
        return error_set(ERR_INVALID, NULL, "its Expiration '%.32s' is no time", text);
    return OK;
}

/* ---- STS ---- */

static const struct field {
    const char *parent, *name;
    size_t offset, size;
    bool cut; /* for people; others have to fit */
} fields[] = {
#define FIELD(parent, name, member, cut)                                                           \
    {                                                                                              \
        parent, name, offsetof(struct aws_sts_answer, member),                                     \
            sizeof((struct aws_sts_answer *)0)->member, cut                                        \
    }
    FIELD("Credentials", "AccessKeyId", credential.access_key_id, false),
    FIELD("Credentials", "SecretAccessKey", credential.secret_access_key, false),
    FIELD("Credentials", "SessionToken", credential.session_token, false),
    FIELD("Credentials", "Expiration", expiration, false),
    FIELD("Error", "Code", code, true),
    FIELD("Error", "Message", message, true),
};

static const struct field *find_field(const char *parent, const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (!strcmp(fields[i].parent, parent) && !strcmp(fields[i].name, name))
            return &fields[i];
    return NULL;
}

static int take_text(xmlTextReaderPtr reader, const struct field *f, struct aws_sts_answer *out)
{
    char *member = (char *)out + f->offset;
    xmlChar *text = libxml.xmlTextReaderReadString(reader);
    size_t length = text ? strlen((char *)text) : 0;
    int rc = OK;
    if (length >= f->size && !f->cut)
        rc = error_set(ERR_INVALID, NULL, "its %s is longer than %zu characters", f->name,
                       f->size - 1);
    else
        snprintf(member, f->size, "%s", text ? (char *)text : "");
    (*libxml.xmlFree)(text);
    return rc;
}

static int malformed(void)
{
    return error_set(ERR_INVALID, NULL, "it is not the XML of STS");
}

/* The element that an element is in is one of two, or none that matters. */
static int walk(xmlTextReaderPtr reader, struct aws_sts_answer *out)
{
    char parent[16] = "";
    int rc = OK, more = 0;
    while (!rc && (more = libxml.xmlTextReaderRead(reader)) == 1) {
        int type = libxml.xmlTextReaderNodeType(reader);
        const char *name = (const char *)libxml.xmlTextReaderConstLocalName(reader);
        name = name ? name : "";
        if (type == XML_READER_TYPE_DOCUMENT_TYPE || type == XML_READER_TYPE_ENTITY_REFERENCE)
            return malformed();
        if (type != XML_READER_TYPE_ELEMENT && type != XML_READER_TYPE_END_ELEMENT)
            continue;
        const struct field *f = find_field(parent, name);
        if (f && type == XML_READER_TYPE_ELEMENT)
            rc = take_text(reader, f, out);
        else if (!f && (!strcmp(name, "Credentials") || !strcmp(name, "Error")))
            snprintf(parent, sizeof parent, "%s", type == XML_READER_TYPE_ELEMENT ? name : "");
    }
    return rc ? rc : more < 0 ? malformed() : OK;
}

int aws_read_sts(const char *text, size_t length, struct aws_sts_answer *out)
{
    *out = (struct aws_sts_answer){.code = ""};
    if (length == 0 || length > CAP_AWS_ANSWER)
        return malformed();
    xmlTextReaderPtr reader;
    int rc = aws_xml_open(text, length, &reader);
    if (rc)
        return rc;
    rc = walk(reader, out);
    libxml.xmlFreeTextReader(reader);
    if (rc || *out->code)
        return rc;
    return *out->credential.access_key_id ? set_expiry(&out->credential, out->expiration)
                                          : malformed();
}

/* ---- endpoints ---- */

static int take_string(yyjson_val *root, const char *name, char *out, size_t capacity)
{
    const char *text = json_string_at(root, name, NULL);
    if (!text)
        return error_set(ERR_INVALID, NULL, "it has no '%s'", name);
    return aws_copy(out, capacity, text, name);
}

static int take_credential(yyjson_val *root, struct aws_credential *out)
{
    char expiration[CLOCK_TEXT];
    /* The metadata service says so with status 200. */
    const char *code = json_string_at(root, "Code", "Success");
    if (strcmp(code, "Success"))
        return error_set(ERR_INVALID, NULL, "it says '%.64s': %.128s", code,
                         json_string_at(root, "Message", ""));
    int rc = take_string(root, "AccessKeyId", out->access_key_id, sizeof out->access_key_id);
    rc = rc ? rc
            : take_string(root, "SecretAccessKey", out->secret_access_key,
                          sizeof out->secret_access_key);
    rc = rc ? rc : take_string(root, "Token", out->session_token, sizeof out->session_token);
    rc = rc ? rc : take_string(root, "Expiration", expiration, sizeof expiration);
    return rc ? rc : set_expiry(out, expiration);
}

int aws_read_endpoint(struct buffer *text, struct aws_credential *out)
{
    yyjson_doc *doc;
    *out = (struct aws_credential){.expires_ms = 0};
    int rc = json_parse_in_place(text, "its answer", &doc);
    rc = rc ? rc : take_credential(yyjson_doc_get_root(doc), out);
    yyjson_doc_free(doc);
    return rc;
}
