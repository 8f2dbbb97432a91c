#include "commands/libraries.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <seccomp.h>
#include <sqlite3.h>
#include <stdio.h>

#include "yyjson.h"

size_t libraries_list(struct library out[LIBRARIES_CAP])
{
    size_t n = 0;
    const curl_version_info_data *curl = curl_version_info(CURLVERSION_NOW);
    const struct scmp_version *seccomp = seccomp_version();
    out[n].name = "sqlite";
    snprintf(out[n++].version, 64, "%s", sqlite3_libversion());
    out[n].name = "libcurl";
    snprintf(out[n++].version, 64, "%s (%s, %s)", curl->version,
             curl->ssl_version ? curl->ssl_version : "no TLS",
             curl->features & CURL_VERSION_HTTP2 ? "HTTP/2" : "no HTTP/2");
    out[n].name = "openssl";
    snprintf(out[n++].version, 64, "%s", OpenSSL_version(OPENSSL_VERSION_STRING));
    out[n].name = "yyjson";
    snprintf(out[n++].version, 64, "%s", YYJSON_VERSION_STRING);
    out[n].name = "libseccomp";
    snprintf(out[n++].version, 64, "%u.%u.%u", seccomp->major, seccomp->minor, seccomp->micro);
    return n;
}
