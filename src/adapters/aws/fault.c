#include "adapters/aws/fault.h"

#include <stdio.h>
#include <string.h>

#include "adapters/aws/xml.h"
#include "shared/error.h"
#include "shared/json.h"

enum { FAULT_BYTES = 64 << 10 }; /* of a body that are looked at */

/* ---- reading ---- */

static void put(char *out, size_t capacity, const char *text, size_t length)
{
    snprintf(out, capacity, "%.*s", (int)(length < capacity ? length : capacity - 1), text);
}

/* Its first line. What a service says of a wrong signature goes on with all it had to sign, the
 * session's token included. */
static void put_message(char message[AWS_MESSAGE_TEXT], const char *text)
{
    text += strspn(text, " \t\r\n");
    put(message, AWS_MESSAGE_TEXT, text, strcspn(text, "\r\n"));
}

/* "com.amazonaws.sqs#QueueDoesNotExist:http://..." is QueueDoesNotExist. */
static void put_code(struct aws_fault *out, const char *text)
{
    const char *hash = strchr(text, '#');
    const char *code = hash ? hash + 1 : text;
    put(out->code, sizeof out->code, code, strcspn(code, ":;"));
}

static void read_json(const struct http_response *r, struct aws_fault *out,
                      char message[AWS_MESSAGE_TEXT])
{
    yyjson_doc *document;
    struct error kept = *error_last();
    if (json_parse(buffer_string(&r->body), r->body.length, "an error of a service", &document)) {
        error_restore(&kept);
        return;
    }
    yyjson_val *root = yyjson_doc_get_root(document);
    const char *text = json_string_at(root, "message", json_string_at(root, "Message", ""));
    put_code(out, json_string_at(root, "__type", json_string_at(root, "code", "")));
    put_message(message, text);
    yyjson_doc_free(document);
}

static void read_element(xmlTextReaderPtr reader, struct aws_fault *out,
                         char message[AWS_MESSAGE_TEXT])
{
    const char *name = (const char *)libxml.xmlTextReaderConstLocalName(reader);
    bool code = !strcmp(name, "Code");
    if (!code && strcmp(name, "Message") != 0)
        return;
    xmlChar *text = libxml.xmlTextReaderReadString(reader);
    if (text && code && !out->code[0])
        put_code(out, (const char *)text);
    else if (text && !code && !message[0])
        put_message(message, (const char *)text);
    (*libxml.xmlFree)(text);
}

static void read_xml(const struct http_response *r, struct aws_fault *out,
                     char message[AWS_MESSAGE_TEXT])
{
    xmlTextReaderPtr reader;
    if (aws_xml_open(r->body.data, r->body.length, &reader)) /* then there is the status alone */
        return;
    while (libxml.xmlTextReaderRead(reader) == 1)
        if (libxml.xmlTextReaderNodeType(reader) == XML_READER_TYPE_ELEMENT)
            read_element(reader, out, message);
    libxml.xmlFreeTextReader(reader);
}

static const char *code_of_status(int status)
{
    switch (status) {
    case 301:
        return "PermanentRedirect";
    case 403:
        return "AccessDenied";
    case 404:
        return "NotFound";
    case 412:
        return "PreconditionFailed";
    case 503:
        return "ServiceUnavailable";
    default:
        return "";
    }
}

void fault_read(const struct http_response *response, struct aws_fault *out,
                char message[AWS_MESSAGE_TEXT])
{
    char header[AWS_CODE_TEXT + 64];
    *out = (struct aws_fault){.status = response->status};
    message[0] = '\0';
    const char *body = buffer_string(&response->body);
    if (response->body.length <= FAULT_BYTES && *body == '{')
        read_json(response, out, message);
    else if (response->body.length <= FAULT_BYTES && *body == '<')
        read_xml(response, out, message);
    if (!out->code[0] &&
        (http_response_header(response, "x-amzn-errortype", header, sizeof header) ||
         http_response_header(response, "x-amzn-query-error", header, sizeof header)))
        put_code(out, header);
    if (!out->code[0])
        put_code(out, code_of_status(response->status));
}

/* ---- judging ---- */

static const struct {
    const char *code;
    enum fault_kind kind;
} kinds[] = {
    /* botocore's and the Java SDK's lists of the "standard" retry mode */
    {"Throttling", FAULT_THROTTLED},
    {"ThrottlingException", FAULT_THROTTLED},
    {"ThrottledException", FAULT_THROTTLED},
    {"RequestThrottled", FAULT_THROTTLED},
    {"RequestThrottledException", FAULT_THROTTLED},
    {"TooManyRequestsException", FAULT_THROTTLED},
    {"RequestLimitExceeded", FAULT_THROTTLED},
    {"BandwidthLimitExceeded", FAULT_THROTTLED},
    {"LimitExceededException", FAULT_THROTTLED},
    {"PriorRequestNotComplete", FAULT_THROTTLED},
    {"ProvisionedThroughputExceededException", FAULT_THROTTLED},
    {"TransactionInProgressException", FAULT_THROTTLED},
    {"EC2ThrottledException", FAULT_THROTTLED},
    {"SlowDown", FAULT_THROTTLED},
    {"OverLimit", FAULT_THROTTLED},
    {"KmsThrottled", FAULT_THROTTLED},
    {"RequestTimeout", FAULT_UNAVAILABLE},
    {"RequestTimeoutException", FAULT_UNAVAILABLE},
    {"InternalError", FAULT_UNAVAILABLE},
    {"InternalFailure", FAULT_UNAVAILABLE},
    {"ExpiredToken", FAULT_EXPIRED},
    {"ExpiredTokenException", FAULT_EXPIRED},
    {"TokenRefreshRequired", FAULT_EXPIRED},
    {"InvalidAccessKeyId", FAULT_EXPIRED}, /* these four: deleted, as after a rotation */
    {"InvalidClientTokenId", FAULT_EXPIRED},
    {"InvalidToken", FAULT_EXPIRED},
    {"UnrecognizedClientException", FAULT_EXPIRED},
    {"RequestTimeTooSkewed", FAULT_SKEWED},
    {"RequestExpired", FAULT_SKEWED},
    {"RequestInTheFuture", FAULT_SKEWED},
    {"InvalidSignatureException", FAULT_SKEWED},
    {"SignatureDoesNotMatch", FAULT_SKEWED},
    {"BadDigest", FAULT_UNAVAILABLE}, /* the body was changed on its way */
    {"XAmzContentChecksumMismatch", FAULT_UNAVAILABLE},
    {"XAmzContentSHA256Mismatch", FAULT_UNAVAILABLE},
    {"AccessDenied", FAULT_DENIED},
    {"AccessDeniedException", FAULT_DENIED},
    {"AllAccessDisabled", FAULT_DENIED},
    {"IncompleteSignature", FAULT_DENIED},
    {"IncompleteSignatureException", FAULT_DENIED},
    {"MissingAuthenticationToken", FAULT_DENIED},
    {"MissingAuthenticationTokenException", FAULT_DENIED},
    {"OptInRequired", FAULT_DENIED},
    /* SQS, with 400: the key that encrypts a queue */
    {"KmsAccessDenied", FAULT_DENIED},
    {"KmsDisabled", FAULT_DENIED},
    {"KmsInvalidKeyUsage", FAULT_DENIED},
    {"KmsInvalidState", FAULT_DENIED},
    {"KmsNotFound", FAULT_DENIED},
    {"KmsOptInRequired", FAULT_DENIED},
    {"AuthorizationHeaderMalformed", FAULT_DENIED},
    {"NoSuchBucket", FAULT_NO_RESOURCE},
    {"QueueDoesNotExist", FAULT_NO_RESOURCE},
    {"AWS.SimpleQueueService.NonExistentQueue", FAULT_NO_RESOURCE},
};

enum fault_kind fault_kind(const struct aws_fault *fault)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (!strcmp(kinds[i].code, fault->code))
            return kinds[i].kind;
    if (fault->status == 429)
        return FAULT_THROTTLED;
    if (fault->status == 401 || fault->status == 403)
        return FAULT_DENIED;
    if (fault->status == 501 || fault->status == 505) /* the server cannot do that at all */
        return FAULT_OTHER;
    return fault->status >= 500 ? FAULT_UNAVAILABLE : FAULT_OTHER;
}

int fault_error(const struct aws_fault *fault, const char *message, const char *what)
{
    const char *code = fault->code[0] ? fault->code : "an error without a code";
    const char *colon = *message ? ": " : "";
    switch (fault_kind(fault)) {
    case FAULT_THROTTLED:
        return error_set(ERR_TRANSIENT, "aws_throttled", "%s was throttled (%s%s%s)", what, code,
                         colon, message);
    case FAULT_UNAVAILABLE:
        return error_set(ERR_TRANSIENT, "aws_unavailable", "%s failed with status %d (%s%s%s)",
                         what, fault->status, code, colon, message);
    case FAULT_EXPIRED:
        return error_set(ERR_SYSTEMIC, "aws_credentials",
                         "%s was refused, the credential has expired or is not known, and no newer "
                         "one is there (%s%s%s); sign in again, then see `aegis doctor`",
                         what, code, colon, message);
    case FAULT_SKEWED:
    case FAULT_DENIED:
        return error_set(ERR_SYSTEMIC, "aws_access_denied",
                         "%s was refused (%s%s%s); check credentials and the role's policy with "
                         "`aegis doctor`",
                         what, code, colon, message);
    case FAULT_NO_RESOURCE:
        return error_set(ERR_SYSTEMIC, "aws_no_such_resource",
                         "%s failed (%s%s%s); check its name and the region", what, code, colon,
                         message);
    default:
        break;
    }
    if (fault->status == 404)
        return error_set(ERR_NOT_FOUND, NULL, "%s found nothing (%s%s%s)", what, code, colon,
                         message);
    if (fault->status == 409 || fault->status == 412)
        return error_set(ERR_CONFLICT, NULL, "%s conflicts (%s%s%s)", what, code, colon, message);
    return error_set(ERR_INVALID, "aws_refused", "%s was refused with status %d (%s%s%s)", what,
                     fault->status, code, colon, message);
}
