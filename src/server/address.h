/*
 * address.h - where the monitoring server listens: "127.0.0.1:9464", "[::1]:9464", ":9464".
 *
 * Without an address it is the loopback: only who writes "0.0.0.0" or "[::]" is heard everywhere.
 */
#ifndef AEGIS_SERVER_ADDRESS_H
#define AEGIS_SERVER_ADDRESS_H

#include <sys/socket.h>

enum { ADDRESS_TEXT = 80 };

struct address {
    struct sockaddr_storage socket;
    socklen_t length;
};

/* Numeric addresses and "localhost" only: no name is looked up. Port 0 is any free one.
 * ERR_INVALID. */
int address_parse(const char *text, struct address *out);

/* A listening socket, closed on exec; *bound (may be NULL) is where it really listens. ERR_BUSY:
 * the port is taken. ERR_INVALID: this machine does not have that address. */
int address_listen(const struct address *address, int *fd, struct address *bound);

/* "127.0.0.1:9464", "[::1]:9464". Returns `out`. */
char *address_format(const struct address *address, char out[ADDRESS_TEXT]);

/* Where somebody on this machine finds a server that listens there: "any address" becomes the
 * loopback. */
void address_reachable(const struct address *listening, struct address *out);

#endif
