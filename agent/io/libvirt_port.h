/* Does another host's libvirt take a connection from here, as libvirt itself would make it? */
#pragma once

#include "agent/io/limit.h"
#include "proto/probe.pb-c.h"

#include <stdint.h>

#define LIBVIRT_PKI "/etc/pki"

/* The parts of qemu+tls://host:port/system that matter. False for transports that are no TCP port of libvirt's. */
struct libvirt_url {
    char host[256];
    uint32_t port;
    bool tls;
};
bool libvirt_url_parse(const char *url, struct libvirt_url *ret);

/* `pki`: libvirt's files, LIBVIRT_PKI but in tests (CA/cacert.pem, libvirt/clientcert.pem, libvirt/private/clientkey.pem). With TLS the server's
 * certificate is checked for CA, time and name, and ours is shown. */
void libvirt_port_connect(const struct limit *limit, const char *pki, const char *from, const char *url,
                          Drover__V1__ProbeResult *result);
