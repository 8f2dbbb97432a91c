#include "server/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/error.h"

enum { HOST_TEXT = 64, PORT_TEXT = 8, BACKLOG = 64 };

static int refuse(const char *text)
{
    return error_set(ERR_INVALID, NULL,
                     "'%.80s' is not where a server can listen; write ADDRESS:PORT such as "
                     "127.0.0.1:9464, or :9464 for this machine only",
                     text);
}

/* Splits at the last colon; brackets around an IPv6 address go. */
static bool split(const char *text, char host[HOST_TEXT], char port[PORT_TEXT])
{
    const char *colon = strrchr(text, ':');
    if (!colon || strlen(colon + 1) >= PORT_TEXT || colon - text >= HOST_TEXT)
        return false;
    size_t length = (size_t)(colon - text);
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';
    snprintf(host, HOST_TEXT, "%.*s", (int)(bracketed ? length - 2 : length), text + bracketed);
    snprintf(port, PORT_TEXT, "%s", colon + 1);
    bool ipv6 = strchr(host, ':') != NULL; /* "[]" is none: it would be the loopback */
    return ipv6 == bracketed && *port && strspn(port, "0123456789") == strlen(port);
}

static bool parse_host(const char *host, in_port_t port, struct address *out)
{
    struct sockaddr_in *four = (struct sockaddr_in *)&out->socket;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out->socket;
    *out = (struct address){0};
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = port;
        out->length = sizeof *six;
        return true;
    }
    four->sin_family = AF_INET;
    four->sin_port = port;
    out->length = sizeof *four;
    return inet_pton(AF_INET, host, &four->sin_addr) == 1;
}

/* Not by getaddrinfo: to that "*" is an address too, and everybody's. */
int address_parse(const char *text, struct address *out)
{
    char host[HOST_TEXT], port[PORT_TEXT];
    if (!split(text, host, port))
        return refuse(text);
    unsigned long number = strtoul(port, NULL, 10);
    bool loopback = !*host || !strcmp(host, "localhost");
    if (number > 65535 || !parse_host(loopback ? "127.0.0.1" : host, htons((in_port_t)number), out))
        return refuse(text);
    return OK;
}

static int fail(int fd, const struct address *address)
{
    char text[ADDRESS_TEXT];
    int e = errno;
    if (fd >= 0)
        close(fd);
    address_format(address, text);
    if (e == EADDRINUSE)
        return error_set(ERR_BUSY, NULL,
                         "cannot listen on '%s': another process does; choose another port", text);
    if (e == EADDRNOTAVAIL)
        return error_set(ERR_INVALID, NULL,
                         "cannot listen on '%s': this machine does not have that address", text);
    return error_set_errno(e, "cannot listen on '%s'", text);
}

int address_listen(const struct address *address, int *out, struct address *bound)
{
    int on = 1;
    const struct sockaddr *socket_address = (const struct sockaddr *)&address->socket;
    int fd = socket(socket_address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(fd, address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (socket_address->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, socket_address, address->length) || listen(fd, BACKLOG))
        return fail(fd, address);
    if (bound) {
        bound->length = sizeof bound->socket;
        if (getsockname(fd, (struct sockaddr *)&bound->socket, &bound->length))
            return fail(fd, address);
    }
    *out = fd;
    return OK;
}

char *address_format(const struct address *address, char out[ADDRESS_TEXT])
{
    char host[HOST_TEXT] = "?", port[PORT_TEXT] = "?";
    bool ipv6 = address->socket.ss_family == AF_INET6;
    getnameinfo((const struct sockaddr *)&address->socket, address->length, host, sizeof host, port,
                sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(out, ADDRESS_TEXT, ipv6 ? "[%s]:%s" : "%s:%s", host, port);
    return out;
}

void address_reachable(const struct address *listening, struct address *out)
{
    *out = *listening;
    struct sockaddr_in *four = (struct sockaddr_in *)&out->socket;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out->socket;
    if (out->socket.ss_family == AF_INET && four->sin_addr.s_addr == htonl(INADDR_ANY))
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (out->socket.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
        six->sin6_addr = in6addr_loopback;
}
